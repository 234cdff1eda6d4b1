use mithridate_onnx::NoiseInput;

use super::{super::MAX_VALUES, Device, OnnxModel, SmoothingPlan};
use crate::{backend::BackendError, noise::BLOCK};

/// Largest number of bytes of a noise bank if no limit is given.
const MAX_BANK: usize = 8 << 30;

impl SmoothingPlan {
    /// Number of bytes on a device for noise, images and counts of the plan, for images with `values` values and
    /// `classes` classes. The memory of the model itself is not known before it runs.
    ///
    /// ```
    /// use mithridate_runtime::{backend::{NoiseInput, SmoothingPlan}, noise::BLOCK};
    ///
    /// let plan = SmoothingPlan { noise: NoiseInput::Noisy, slots: 2, votes: false, cuda_graph: false };
    /// // Noisy images and numbers of samples, and the returned counts.
    /// assert_eq!(plan.bytes(784, 10), 2 * (BLOCK as usize * 784 * 4 + 4) + 2 * 10 * 8);
    /// ```
    pub fn bytes(&self, values: usize, classes: usize) -> usize {
        let block = BLOCK as usize;
        let floats = |count: usize| count.saturating_mul(values).saturating_mul(4);
        let noise = match self.noise {
            NoiseInput::Noisy => floats(self.slots * block),
            NoiseInput::Bank { blocks } => floats(blocks.saturating_mul(block))
                .saturating_add(floats(self.slots))
                .saturating_add(4 * self.slots),
        };
        // A copy to a fixed address goes through a second buffer.
        let passing = match self.noise {
            NoiseInput::Noisy if self.cuda_graph => floats(self.slots * block),
            _ => 0,
        };
        let votes = if self.votes { 4 * self.slots * block } else { 0 };
        noise.saturating_add(passing).saturating_add(4 * self.slots + 8 * self.slots * classes + votes)
    }

    /// Rejects a plan with no slots or too many values in a batch, or one that needs more memory than the device may
    /// use, before any memory is allocated.
    pub(in super::super) fn check(&self, model: &OnnxModel, device: Device) -> Result<(), BackendError> {
        let values: usize = model.image_shape().iter().product();
        let batch = self.slots.saturating_mul(BLOCK as usize);
        if batch == 0 || batch.saturating_mul(values) > MAX_VALUES {
            let problem = format!(
                "it must have 1 to {} blocks of {BLOCK} samples",
                MAX_VALUES / values / BLOCK as usize
            );
            return Err(BackendError::Run { batch, problem });
        }
        let most = match (device.memory, self.noise) {
            (Some(most), _) => most,
            (None, NoiseInput::Bank { .. }) => MAX_BANK,
            (None, NoiseInput::Noisy) => return Ok(()),
        };
        let needed = self.bytes(values, model.classes());
        if needed <= most {
            return Ok(());
        }
        let (what, advice) = match self.noise {
            NoiseInput::Bank { blocks } => (
                format!("a noise bank of {} samples and batches of {batch}", blocks * BLOCK as usize),
                if device.provider.is_cpu() {
                    "give a smaller `n`, or use `noise_mode` independent"
                } else {
                    "allow more with `device_memory`, give a smaller `n`, or use `noise_mode` independent"
                },
            ),
            NoiseInput::Noisy => (format!("batches of {batch} inputs"), "allow more with `device_memory`"),
        };
        Err(BackendError::DeviceMemory { what, advice, needed, most })
    }
}
