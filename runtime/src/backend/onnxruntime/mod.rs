//! ONNX Runtime as the engine.

mod arithmetic;
mod bound;
mod classifier;
mod device;
mod input_options;
mod labels;
mod library;
mod model;
mod open;
mod operators;
mod output_kind;
mod probe;
mod provider;
mod scores;
mod session;
mod signature;
mod smoothing;
mod smoothing_sampler;

pub use arithmetic::{PRODUCT, matrix_product};
pub use bound::BoundClassifier;
pub use classifier::OnnxClassifier;
pub use device::{Device, Precision};
pub use input_options::InputOptions;
pub use library::OnnxRuntime;
#[cfg(feature = "cli")]
pub(crate) use library::forbid_telemetry;
pub use model::{Batching, OnnxModel};
pub use output_kind::OutputKind;
pub use provider::Provider;
pub use smoothing::{Slot, SmoothingPlan, SmoothingSession};
pub use smoothing_sampler::{SharedNoise, SmoothingSampler};

/// Largest number of values in one batch of inputs: 1 GiB in single precision.
pub const MAX_VALUES: usize = 1 << 28;
