//! Conversion of an image to the input of a model: layout, range, normalisation, and rounding to the model's number
//! type.

mod precision;
mod preprocessing;

pub use precision::{InputPrecision, MAX_ROUNDING, UnfitValue};
pub use preprocessing::{Layout, Preprocessing};
