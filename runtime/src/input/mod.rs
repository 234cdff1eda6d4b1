//! What becomes of an image on its way into a model: layout, range and normalisation, and the type of its numbers.

mod precision;
mod preprocessing;

pub use precision::{InputPrecision, MAX_ROUNDING, UnfitValue};
pub use preprocessing::{Layout, Preprocessing};
