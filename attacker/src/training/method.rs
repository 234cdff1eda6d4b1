use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tch::{Reduction, Tensor};

use super::cross_entropy;
use crate::networks::Network;

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Empirical risk minimisation: cross-entropy on the images as they are.
    Erm,
    /// Gaussian augmentation (Cohen et al., 2019): cross-entropy on the images with noise σ·η, fresh every time.
    Gaussian,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 2] = [Self::Erm, Self::Gaussian];

    /// Its name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Erm => "erm",
            Self::Gaussian => "gaussian",
        }
    }

    /// Loss of a batch: images N×C×H×W, labels N. `noise` is called for standard normal noise of the shape of the
    /// images if the method wants any.
    pub fn loss(
        self,
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        sigma: f64,
        reduction: Reduction,
        noise: impl FnOnce(&[i64]) -> Tensor,
    ) -> Tensor {
        let logits = match self {
            Self::Erm => network.forward(images),
            Self::Gaussian => network.forward(&(images + noise(&images.size()) * sigma)),
        };
        cross_entropy(&logits, labels, reduction)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|method| method.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("'{text}' is not a training method; use one of {names}")
        })
    }
}
