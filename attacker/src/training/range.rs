use crate::Error;

/// Checks that the setting `name` is positive and finite.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::setting(name, "a positive finite number", &value))
}

/// Checks that the setting `name` is finite and not negative.
pub(crate) fn not_negative(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::setting(name, "a finite number that is not negative", &value))
}

/// Checks that the setting `name` is at least 1.
pub(crate) fn at_least_one(name: &'static str, value: usize) -> Result<(), Error> {
    if value >= 1 { Ok(()) } else { Err(Error::setting(name, "at least 1", &value)) }
}
