use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Largest number of characters of a value that messages quote.
const MOST_TOLD: usize = 100;

/// Parses JSON and refuses duplicate members: parsers differ in which of the two they use, so one file could mean
/// different things to different readers.
pub(super) fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice::<Unique>(bytes).map(|unique| unique.0)
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members).map(Self)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = values.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the member '{name}' occurs twice")));
            }
            let Unique(value) = members.next_value()?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// The differences between two JSON values, each as a sentence. Numbers are compared by value, not by notation.
pub(super) fn differences(found: &Value, expected: &Value) -> Vec<String> {
    let mut list = Vec::new();
    compare(Some(found), Some(expected), "", &mut list);
    list
}

fn compare(found: Option<&Value>, expected: Option<&Value>, name: &str, list: &mut Vec<String>) {
    match (found, expected) {
        (Some(Value::Object(found)), Some(Value::Object(expected))) => {
            let more = found.keys().filter(|key| !expected.contains_key(*key));
            for key in expected.keys().chain(more) {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                compare(found.get(key), expected.get(key), &name, list);
            }
        }
        (Some(Value::Array(found)), Some(Value::Array(expected))) if found.len() == expected.len() => {
            for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
                compare(Some(found), Some(expected), &format!("{name}[{place}]"), list);
            }
        }
        (Some(Value::Number(found)), Some(Value::Number(expected)))
            if found == expected
                || (found.is_f64() != expected.is_f64() && found.as_f64() == expected.as_f64()) => {}
        _ if found == expected => {}
        _ => {
            let name = if name.is_empty() { "it" } else { name };
            list.push(format!("{} is {} and must be {}", short(name), words(found), words(expected)));
        }
    }
}

fn words(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| short(&value.to_string()))
}

/// The beginning of an untrusted text.
fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_TOLD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_there_once() {
        let text = r#"{"a":[1,-1,1.5,true,null,"x\u0041"],"b":{"a":{}},"seed":18446744073709551615}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for text in [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"\u0061":2}]}"#] {
            assert!(parse(text.as_bytes()).unwrap_err().to_string().contains("occurs twice"), "{text}");
        }
        for text in ["", "{", "{} {}", "[1e999]", &"[".repeat(100_000)] {
            assert!(parse(text.as_bytes()).is_err(), "{}", text.len());
        }
    }

    #[test]
    fn every_difference_is_named() {
        let differ = |found: &str, expected: &str| {
            differences(&parse(found.as_bytes()).unwrap(), &parse(expected.as_bytes()).unwrap())
        };
        assert!(differ(r#"{"a":1,"b":[2.0]}"#, r#"{"b":[2],"a":1.0}"#).is_empty());
        assert_eq!(
            differ(r#"{"a":{"b":1,"d":3},"c":[1,2]}"#, r#"{"a":{"b":2},"c":[1,3],"e":null}"#),
            [
                "a.b is 1 and must be 2",
                "a.d is 3 and must be absent",
                "c[1] is 2 and must be 3",
                "e is absent and must be null"
            ]
        );
        assert_eq!(differ("[1]", "[1,2]"), ["it is [1] and must be [1,2]"]);
        // Past 2^53 doubles are too coarse to tell whole numbers apart.
        assert_eq!(differ("9007199254740993", "9007199254740992").len(), 1);
    }
}
