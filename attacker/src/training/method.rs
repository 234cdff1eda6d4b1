use serde::{Deserialize, Serialize};
use tch::{Reduction, Tensor};

use super::cross_entropy;
use crate::{choice::choice, networks::Network};

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Empirical risk minimisation: cross-entropy on the images as they are.
    Erm,
    /// Gaussian augmentation (Cohen et al., 2019): cross-entropy on the images with noise σ·η, fresh every time.
    Gaussian,
}

choice!(Method, "a training method", {
    Erm = "erm",
    Gaussian = "gaussian",
});

impl Method {
    /// Logits N×K of a batch of images N×C×H×W as the method trains on them. `noise` is called for standard normal
    /// noise of the shape of the images if the method wants any.
    pub fn logits(
        self,
        network: &Network,
        images: &Tensor,
        sigma: f64,
        noise: impl FnOnce(&[i64]) -> Tensor,
    ) -> Tensor {
        network.forward(&self.inputs(images, sigma, noise))
    }

    /// The same in training: batch normalisation by the statistics of the batch, which move the running ones.
    pub fn training_logits(
        self,
        network: &Network,
        images: &Tensor,
        sigma: f64,
        noise: impl FnOnce(&[i64]) -> Tensor,
    ) -> Tensor {
        network.forward_training(&self.inputs(images, sigma, noise))
    }

    fn inputs(self, images: &Tensor, sigma: f64, noise: impl FnOnce(&[i64]) -> Tensor) -> Tensor {
        match self {
            Self::Erm => images.shallow_clone(),
            Self::Gaussian => images + noise(&images.size()) * sigma,
        }
    }

    /// Loss of a batch with labels N: the cross-entropy of [`Method::logits`].
    pub fn loss(
        self,
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        sigma: f64,
        reduction: Reduction,
        noise: impl FnOnce(&[i64]) -> Tensor,
    ) -> Tensor {
        cross_entropy(&self.logits(network, images, sigma, noise), labels, reduction)
    }
}
