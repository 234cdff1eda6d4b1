//! Conversion of a model to lower precision: float16, or 8-bit integers by static quantisation.
//!
//! Inputs and outputs stay float32, so the result can replace the original model.

mod activations;
mod affine;
mod float16;
mod int8;
mod rewriting;

pub use affine::Affine;
pub use float16::to_float16;
pub use int8::to_int8;
