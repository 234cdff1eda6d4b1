//! Models for tests: one linear classifier of 3×4×4 images in the many forms that models come in, and numbers for weights
//! and images.

// They panic for numbers that make no model, which the tests that use them find out.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

mod numbers;
pub mod zoo;

pub use numbers::numbers;
