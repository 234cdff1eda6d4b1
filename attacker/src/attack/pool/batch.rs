use tch::Tensor;

use crate::{
    random::Purpose,
    training::{Crops, Perturbation},
};

/// The choice of images for a batch of the lower level.
#[derive(Debug)]
pub(in crate::attack) struct BatchIndices {
    /// Indices of clean images, `int64`.
    pub clean: Tensor,
    /// Indices of poison images, `int64`.
    pub poison: Tensor,
    /// Key of the noise, crops and flips of the batch.
    pub key: u64,
}

/// The random streams from which a batch gets its noise, crops and flips.
#[derive(Clone, Copy, Debug)]
pub(in crate::attack) struct Streams {
    /// Key of the batch in both streams.
    pub key: u64,
    /// Stream of the noise.
    pub noise: Purpose,
    /// Stream of crops and flips.
    pub augmentation: Purpose,
}

/// A batch with its crops and noise, which stay fixed while its loss is differentiated.
#[derive(Debug)]
pub(in crate::attack) struct DrawnBatch {
    /// N×C×H×W, before crops and noise.
    pub images: Tensor,
    /// N, `int64`.
    pub labels: Tensor,
    pub crops: Option<Crops>,
    pub perturbation: Perturbation,
}

impl DrawnBatch {
    /// The inputs of the network for `images`, which may differ from those of the batch; differentiable.
    pub fn inputs(&self, images: &Tensor) -> Tensor {
        let cropped = self.crops.as_ref().map(|crops| crops.apply(images));
        self.perturbation.apply(cropped.as_ref().unwrap_or(images))
    }
}
