//! Settings of jobs as keywords: the names and values of one JSON object.

use std::{fmt::Display, str::FromStr};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Control, JobError};

/// A job that can be run by its name, with its settings as keywords.
pub(super) trait NamedJob: Sized {
    /// The name of the job: that of the sub-command of `rscert`.
    const NAME: &'static str;

    /// The job with the settings in `keywords`.
    ///
    /// # Errors
    /// [`JobError::Refused`] if a required keyword is missing or a value is invalid.
    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError>;

    /// Runs the job; returns its result as a JSON document.
    ///
    /// # Errors
    /// [`JobError`].
    fn run_to_json(&self, control: &Control) -> Result<Value, JobError>;
}

/// The given keywords of a job. Reading a keyword removes it, so the keywords that remain at the end are unknown ones.
pub(super) struct Keywords {
    given: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Keywords {
    /// The members of the JSON object `text`.
    ///
    /// # Errors
    /// [`JobError::Refused`] if `text` is not a JSON object.
    pub fn parse(text: &str) -> Result<Self, JobError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(given)) => Ok(Self { given, known: Vec::new() }),
            Ok(_) => Err(JobError::Refused(
                "the settings are not a JSON object; write them as {\"name\": value, …}".into(),
            )),
            Err(error) => Err(JobError::Refused(format!("the settings are not a JSON object: {error}"))),
        }
    }

    /// The value of the keyword `name`, or `None` if it is not given or null.
    ///
    /// # Errors
    /// [`JobError::Refused`] if the value can't be read as a `T`.
    pub fn get<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<Option<T>, JobError> {
        let value = self.take(name);
        value
            .map(|value| {
                let text = value.to_string();
                serde_json::from_value(value).map_err(|error| unreadable(name, &text, &error))
            })
            .transpose()
    }

    /// As [`get`](Self::get), for a value that may be a JSON string or a number.
    ///
    /// # Errors
    /// [`JobError::Refused`] if the value can't be read as a `T`.
    pub fn get_text<T>(&mut self, name: &'static str) -> Result<Option<T>, JobError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let value = self.take(name);
        let read = |value: Value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.parse().map_err(|error| unreadable(name, &value.to_string(), &error))
        };
        value.map(read).transpose()
    }

    /// Sets `place` to the value of the keyword `name`, if it is given.
    ///
    /// # Errors
    /// [`JobError::Refused`] if the value can't be read as a `T`.
    pub fn set<T: DeserializeOwned>(&mut self, name: &'static str, place: &mut T) -> Result<(), JobError> {
        if let Some(value) = self.get(name)? {
            *place = value;
        }
        Ok(())
    }

    /// The value of the keyword `name`, which the job requires.
    ///
    /// # Errors
    /// [`JobError::Refused`] if it is missing, or can't be read as a `T`.
    pub fn need<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<T, JobError> {
        self.get(name)?.ok_or_else(|| JobError::Refused(format!("`{name}` is missing")))
    }

    /// Checks that no unknown keyword was given.
    ///
    /// # Errors
    /// [`JobError::Refused`].
    pub fn end(mut self, job: &str) -> Result<(), JobError> {
        let Some(name) = self.given.keys().next() else { return Ok(()) };
        self.known.sort_unstable();
        Err(JobError::Refused(format!(
            "'{}' is not a setting of {job}; its settings are {}",
            name.escape_debug(),
            self.known.join(", ")
        )))
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.given.remove(name).filter(|value| !value.is_null())
    }
}

fn unreadable(name: &str, value: &str, problem: &impl Display) -> JobError {
    JobError::Refused(format!("`{name}` is {value}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Sigma;

    fn refusal<T>(result: Result<T, JobError>) -> String {
        result.err().unwrap().to_string()
    }

    #[test]
    fn what_is_given_is_read_and_the_rest_keeps_its_value() {
        let mut keywords = Keywords::parse(r#"{"n": 5, "sigma": 0.25, "shard": null, "replay": 3}"#).unwrap();
        let (mut n, mut n0) = (1_u64, 2_u64);
        keywords.set("n", &mut n).unwrap();
        keywords.set("n0", &mut n0).unwrap();
        assert_eq!((n, n0), (5, 2));
        assert_eq!(keywords.need::<Sigma>("sigma").unwrap().get().to_bits(), 0.25_f64.to_bits());
        assert_eq!(keywords.get::<String>("shard").unwrap(), None);
        assert_eq!(keywords.get_text::<u8>("replay").unwrap(), Some(3));
        keywords.end("certify").unwrap();
    }

    #[test]
    fn a_wrong_keyword_is_refused_by_name() {
        for (text, sentence) in [
            ("[]", "the settings are not a JSON object; write them as {\"name\": value, …}"),
            ("{", "the settings are not a JSON object: EOF while parsing an object at line 1 column 1"),
        ] {
            assert_eq!(refusal(Keywords::parse(text)), sentence);
        }
        let parse = || Keywords::parse(r#"{"n": "many", "sigma": -1, "m\n": 2}"#).unwrap();
        assert_eq!(
            refusal(parse().get::<u64>("n")),
            "`n` is \"many\": invalid type: string \"many\", expected u64"
        );
        assert!(refusal(parse().get::<Sigma>("sigma")).starts_with("`sigma` is -1: "));
        assert_eq!(refusal(parse().need::<u64>("n0")), "`n0` is missing");
        let mut keywords = Keywords::parse(r#"{"m\n": 2}"#).unwrap();
        keywords.get::<u64>("n").unwrap();
        keywords.get::<u64>("alpha").unwrap();
        assert_eq!(
            refusal(keywords.end("predict")),
            r"'m\n' is not a setting of predict; its settings are alpha, n"
        );
    }
}
