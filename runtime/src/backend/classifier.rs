use super::{BackendError, InputPrecision, SINGLE};

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
}
