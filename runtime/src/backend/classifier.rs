use super::{BackendError, InputPrecision, SINGLE};

/// A base classifier that an engine runs: it maps a batch of inputs to logits.
pub trait Classifier: Send {
    /// Number of values in one input, C·H·W.
    fn input_len(&self) -> usize;

    /// Number of classes, K.
    fn classes(&self) -> usize;

    /// The batch size of a model that takes batches of one size only, otherwise `None`.
    fn fixed_batch(&self) -> Option<usize> {
        None
    }

    /// Rounding of noisy inputs before the model gets them. The default is single precision.
    fn input_precision(&self) -> InputPrecision {
        InputPrecision::default()
    }

    /// Writes the logits of a batch: N×(C·H·W) values in, N×K values out, both row-major.
    ///
    /// # Errors
    /// [`BackendError::Run`] if the engine fails.
    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError>;

    /// The unchanged model of the file, if this classifier is a changed form of it: rewritten to take any batch size, or
    /// extended to count votes. `None` if this classifier is the unchanged model.
    ///
    /// # Errors
    /// [`BackendError`] if the model can't be loaded.
    fn in_file(&mut self) -> Result<Option<&mut dyn Classifier>, BackendError> {
        Ok(None)
    }

    /// Writes the logits of one input alone, as the model in the file computes them. A model with a fixed batch size
    /// gets a batch of copies of the input. `logits` then has K values for each copy, and the first K are the result.
    /// `room` is a buffer for the batch.
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

    /// Relative rounding error of the arithmetic, by which two answers to the same input may differ
    /// ([`Rounding`](super::Rounding)).
    fn rounding(&self) -> f32 {
        SINGLE
    }
}
