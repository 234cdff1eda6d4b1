//! A model in arithmetic of lower precision than it was trained in: float16, or 8-bit integers by static quantisation.
//!
//! Both take float32 inputs and give float32 outputs, so that the result stands in for the model it was made from.

mod activations;
mod affine;
mod float16;
mod int8;
mod rewriting;

pub use affine::Affine;
pub use float16::to_float16;
pub use int8::to_int8;
