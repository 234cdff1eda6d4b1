//! Quantities that would be silently mixed up as bare numbers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A number that is not a valid σ, α or radius.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// A σ that is no positive number of a size that single precision can add to an image.
    #[error("sigma must be a number from 0.0001 to 10000 and is {0}")]
    Sigma(f64),
    /// An α outside (0, 1).
    #[error("alpha must lie strictly between 0 and 1 and is {0}")]
    Alpha(f64),
    /// Text that is no number.
    #[error("'{0}' is not a number")]
    NotANumber(String),
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// Checks the number.
            ///
            /// # Errors
            /// [`UnitError`] if it is out of range.
            pub fn new(value: f64) -> Result<Self, UnitError> {
                let valid: fn(f64) -> bool = $valid;
                if valid(value) { Ok(Self(value)) } else { Err(UnitError::$name(value)) }
            }

            /// The bare number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = UnitError;
            fn try_from(value: f64) -> Result<Self, UnitError> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }

        impl FromStr for $name {
            type Err = UnitError;
            fn from_str(text: &str) -> Result<Self, UnitError> {
                Self::new(text.trim().parse().map_err(|_| UnitError::NotANumber(text.into()))?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

unit! {
    /// Standard deviation σ of the smoothing noise, in units of the data set (images in \[0, 1\]).
    Sigma, |value| (1e-4..=1e4).contains(&value)
}

unit! {
    /// Probability α that a certificate may be wrong.
    Alpha, |value| value > 0.0 && value < 1.0
}

/// Reads a number of things, at least one, as programs want it.
///
/// # Errors
/// A sentence for the user.
///
/// ```
/// use mithridate_runtime::units::parse_count;
///
/// assert_eq!(parse_count::<usize>("12"), Ok(12));
/// assert_eq!(parse_count::<u64>("0").unwrap_err(), "it must be a whole number of at least 1");
/// ```
pub fn parse_count<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|count| *count >= T::from(1))
        .ok_or_else(|| "it must be a whole number of at least 1".to_owned())
}

impl Alpha {
    /// The field's usual 0.001.
    pub const USUAL: Self = Self(0.001);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sensible_numbers_pass() {
        for bad in [0.0, -0.25, f64::NAN, f64::INFINITY, 1e-9, 1e39] {
            assert!(Sigma::new(bad).is_err(), "{bad}");
        }
        for bad in [0.0, 1.0, -0.1, 1.5, f64::NAN] {
            assert!(Alpha::new(bad).is_err(), "{bad}");
        }
        assert_eq!("0.25".parse::<Sigma>().unwrap().get(), 0.25);
        assert!(serde_json::from_str::<Sigma>("-1").is_err());
    }
}
