//! The messages of an ONNX file, complete up to ONNX 1.23, so that reading and writing a file loses nothing.
//!
//! Field names and numbers are those of the published schema (`onnx.proto`). Each message is a plain struct; optional
//! fields are `Option`s.

mod distributed;
mod entry;
mod model;
mod tensor;
mod types;

pub use distributed::*;
pub use entry::*;
pub use model::*;
pub use tensor::*;
pub use types::*;
