//! ONNX Runtime as the engine.

mod classifier;
mod library;
mod provider;

pub use classifier::{MAX_VALUES, OnnxClassifier};
pub use library::OnnxRuntime;
pub use provider::Provider;
