use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// How a network is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Empirical risk minimisation: cross-entropy on the images as they are.
    Erm,
    /// Gaussian augmentation (Cohen et al., 2019): cross-entropy on the images with noise σ·η, fresh every time.
    #[default]
    Gaussian,
    /// Adversarial training of the smoothed classifier (Salman et al., 2019).
    SmoothAdv,
    /// Maximising the certified radius (Zhai et al., 2020).
    Macer,
}

choice!(Method, "a training method", {
    Erm = "erm",
    Gaussian = "gaussian",
    SmoothAdv = "smoothadv",
    Macer = "macer",
});
