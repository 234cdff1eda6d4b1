//! A classifier whose answers depend on the others of their batch, which must not be certified.

use mithridate_runtime::backend::{BackendError, Classifier, LinearClassifier};

/// Answers every input of a batch with the mean over the batch: the noise of all samples is averaged away.
pub struct Mixing(pub LinearClassifier);

impl Classifier for Mixing {
    fn input_len(&self) -> usize {
        self.0.input_len()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        self.0.logits(batch, logits)?;
        let classes = self.classes();
        let count = (logits.len() / classes) as f32;
        let means: Vec<f32> = (0..classes)
            .map(|class| logits.iter().skip(class).step_by(classes).sum::<f32>() / count)
            .collect();
        logits.chunks_mut(classes).for_each(|row| row.copy_from_slice(&means));
        Ok(())
    }
}
