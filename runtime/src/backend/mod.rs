//! Back ends: the code that lets an engine run a model. A [`Classifier`] maps a batch of inputs to logits. A
//! [`VoteSampler`] returns the votes of noisy samples, which is all that certification needs. Every `Classifier` is a
//! `VoteSampler`.

mod classifier;
mod error;
mod external_source;
mod memory;
mod mock;
#[cfg(feature = "ort")]
mod onnxruntime;
mod rounding;
mod vote_sampler;

pub use classifier::Classifier;
pub use error::BackendError;
pub use external_source::ExternalSource;
pub(crate) use memory::make_room;
#[cfg(feature = "ort")]
pub use mithridate_onnx::NoiseInput;
pub use mock::LinearClassifier;
#[cfg(feature = "cli")]
pub(crate) use onnxruntime::forbid_telemetry;
#[cfg(feature = "ort")]
pub use onnxruntime::{
    Batching, BoundClassifier, Device, InputOptions, MAX_VALUES, OnnxClassifier, OnnxModel, OnnxRuntime,
    OutputKind, PRODUCT, Precision, Provider, SharedNoise, Slot, SmoothingPlan, SmoothingSampler,
    SmoothingSession, matrix_product,
};
pub use rounding::{Difference, HALF, Rounding, SINGLE};
pub use vote_sampler::{Answers, KeyedSamples, NoiseSource, Samples, VoteSampler};

pub use crate::{
    input::{InputPrecision, Layout, MAX_ROUNDING, Preprocessing, UnfitValue},
    votes::vote,
};
