//! ONNX Runtime as the engine.

mod bound;
mod classifier;
mod library;
mod model;
mod probe;
mod provider;
mod reading;
mod session;
mod signature;

pub use bound::BoundClassifier;
pub use classifier::OnnxClassifier;
pub use library::OnnxRuntime;
pub use model::{Batching, OnnxModel};
pub use probe::OutputKind;
pub use provider::Provider;
pub use reading::Reading;

/// Most values in one batch of inputs: 1 GiB of floats.
pub const MAX_VALUES: usize = 1 << 28;
