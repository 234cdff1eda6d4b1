//! What tests of several crates share; what only one crate needs stands in that crate.
//!
//! | part | what |
//! | --- | --- |
//! | [`zoo`] | one linear classifier of 3×4×4 images in the many forms that models come in |
//! | [`halves`] | a linear classifier of images of 2×2 pixels |
//! | [`looping`] | models that never end, take all memory, or are slow |
//! | [`numbers`] | numbers for weights and images |
//! | [`place`] | temporary folders with a model and data |
//! | [`program`] | the programs of the workspace, run as a user runs them |
//! | [`processes`] | programs that are stopped while they run |
//! | [`sentences`] | what a command that must fail says |
//! | [`forgery`] | evidence that was changed and has good hashes |
//! | [`fuzzing`] | what each fuzz target does with its bytes |

// Whatever fails here fails the test that asked for it.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used)]

pub mod forgery;
pub mod fuzzing;
pub mod halves;
pub mod looping;
mod numbers;
pub mod place;
pub mod processes;
pub mod program;
pub mod sentences;
pub mod zoo;

pub use numbers::numbers;
