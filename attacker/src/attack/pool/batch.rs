use tch::Tensor;

use crate::{
    random::Purpose,
    training::{Crops, Perturbation},
};

/// Which images a batch of the lower level is made of.
#[derive(Debug)]
pub(in crate::attack) struct Batch {
    /// Numbers of clean images, `int64`.
    pub clean: Tensor,
    /// Numbers of poison images, `int64`.
    pub poison: Tensor,
    /// Part of the key of its noise.
    pub key: u64,
}

/// Which random streams a batch is prepared with.
#[derive(Clone, Copy, Debug)]
pub(in crate::attack) struct Streams {
    /// Key of the batch in both.
    pub key: u64,
    /// Stream of the noise.
    pub noise: Purpose,
    /// Stream of crops and flips.
    pub augmentation: Purpose,
}

/// A batch as a network trains on it: images, labels, and what is held fixed while its loss is differentiated.
#[derive(Debug)]
pub(in crate::attack) struct Drawn {
    pub images: Tensor,
    pub labels: Tensor,
    pub crops: Option<Crops>,
    pub perturbation: Perturbation,
}

impl Drawn {
    /// What the network gets for images in place of these; differentiable.
    pub fn inputs(&self, images: &Tensor) -> Tensor {
        let cropped = self.crops.as_ref().map(|crops| crops.apply(images));
        self.perturbation.apply(cropped.as_ref().unwrap_or(images))
    }
}
