//! Engines that run a classifier. A [`Classifier`] turns a batch of inputs into logits; certification knows no more
//! of it than that.

mod error;
mod external_source;
mod memory;
mod mock;
#[cfg(feature = "ort")]
mod onnxruntime;
mod rounding;

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
    OutputKind, PRODUCT, Precision, Provider, SharedNoise, Slot, SmoothingClassifier, SmoothingPlan,
    SmoothingSession, matrix_product,
};
pub use rounding::{Difference, HALF, Rounding, SINGLE};

pub use crate::{
    input::{InputPrecision, Layout, MAX_ROUNDING, Preprocessing, UnfitValue},
    votes::vote,
};

use crate::{noise::NoiseKey, votes::Vote};

/// A classifier that an engine runs.
pub trait Classifier: Send {
    /// Number of values in one input, C·H·W.
    fn input_len(&self) -> usize;

    /// Number of classes, K.
    fn classes(&self) -> usize;

    /// The only batch size the model takes, if it takes just one.
    fn fixed_batch(&self) -> Option<usize> {
        None
    }

    /// How far noisy inputs are rounded before the model gets them; single precision unless said otherwise.
    fn input_precision(&self) -> InputPrecision {
        InputPrecision::default()
    }

    /// Writes the logits of a batch: N×(C·H·W) values in, N×K values out, both row-major.
    ///
    /// # Errors
    /// [`BackendError::Run`] if the engine fails.
    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError>;

    /// The model as its file has it, where this is another form of it: one that was rewritten to take any number of inputs,
    /// or that counts votes.
    ///
    /// # Errors
    /// [`BackendError`] if it can't be loaded.
    fn in_file(&mut self) -> Result<Option<&mut dyn Classifier>, BackendError> {
        Ok(None)
    }

    /// Writes the logits of one input by itself, K values or more of which the first K count, as the model's own file
    /// computes them: alone in a batch, or where the model takes a fixed number of inputs with itself. `room` is a buffer
    /// for that.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    fn alone(
        &mut self,
        input: &[f32],
        room: &mut Vec<f32>,
        logits: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        if let Some(model) = self.in_file()? {
            return model.alone(input, room, logits);
        }
        room.clear();
        for _ in 0..self.fixed_batch().unwrap_or(1) {
            room.extend_from_slice(input);
        }
        self.logits(room, logits)
    }

    /// The relative rounding error of the arithmetic, by which two answers to the same input may differ ([`Rounding`]).
    fn rounding(&self) -> f32 {
        SINGLE
    }

    /// Adds the vote of each input of a batch, as [`vote`] tells it from the logits; `None` from an engine that leaves that to the caller.
    fn votes(&mut self, _batch: &[f32], _votes: &mut Vec<Vote>) -> Option<Result<(), BackendError>> {
        None
    }

    /// Whether the engine keeps the noise of all samples itself and [`banked_votes`](Self::banked_votes) is to be
    /// asked.
    fn has_bank(&self) -> bool {
        false
    }

    /// The same as [`votes`](Self::votes) for images to which the engine adds noise from its bank.
    ///
    /// # Errors
    /// [`BackendError::Run`] if there is no bank, or not this noise in it.
    fn banked_votes(&mut self, samples: &[Banked<'_>], _votes: &mut Vec<Vote>) -> Result<(), BackendError> {
        Err(BackendError::Run { batch: samples.len(), problem: "it keeps no noise".into() })
    }
}

/// Samples of one image, of a block of noise that an engine keeps.
#[derive(Clone, Copy, Debug)]
pub struct Banked<'a> {
    /// The image, C·H·W values.
    pub image: &'a [f32],
    /// Names the block.
    pub key: NoiseKey,
    /// How many samples of it, from the first.
    pub samples: usize,
}
