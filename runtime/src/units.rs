//! Types for quantities that could be mixed up silently if they were bare numbers: σ and α.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A value that is not a valid σ or α.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// A σ outside \[0.0001, 10000\], the range in which single precision can add the noise to an image.
    #[error("sigma must be a number from 0.0001 to 10000 and is {0}")]
    Sigma(f64),
    /// An α outside (0, 1).
    #[error("alpha must lie strictly between 0 and 1 and is {0}")]
    Alpha(f64),
    /// Text that can't be parsed as a number.
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
            /// Wraps `value` if it is in the valid range.
            ///
            /// # Errors
            /// [`UnitError`] if `value` is out of range.
            pub fn new(value: f64) -> Result<Self, UnitError> {
                let valid: fn(f64) -> bool = $valid;
                if valid(value) { Ok(Self(value)) } else { Err(UnitError::$name(value)) }
            }

            /// The value as a plain number.
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
    /// Standard deviation σ of the smoothing noise, from 0.0001 to 10000, in units of the data set (pixel values from 0
    /// to 1).
    Sigma, |value| (1e-4..=1e4).contains(&value)
}

unit! {
    /// Failure probability α: the largest probability with which a certificate may be wrong, strictly between 0 and 1.
    Alpha, |value| value > 0.0 && value < 1.0
}

/// Parses a whole number of at least 1 from a command-line argument.
///
/// # Errors
/// A message for the user if `text` is not a whole number of at least 1.
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
    /// 0.001, the value used in most publications on randomized smoothing.
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
