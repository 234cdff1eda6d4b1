//! Training methods. A method has a name, draws the noise of a loss, and defines the loss.
//!
//! A new method needs a variant of [`Method`] with its name, an arm in each function of [`Defence`] where it differs
//! from Gaussian augmentation, and a file here. If it has settings of its own, they are a field of [`Defence`], of
//! `TrainingSettings` and of `AttackSettings`.

mod macer;
mod perturbation;
mod smoothadv;

use serde::{Deserialize, Serialize};
use tch::{Reduction, Tensor, no_grad};

pub use macer::MacerSettings;
pub(crate) use perturbation::Perturbation;
pub use smoothadv::SmoothAdvSettings;

use super::cross_entropy;
use crate::{choice::choice, networks::Network};

/// A training method.
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

impl Method {
    /// Whether training draws noise.
    pub fn has_noise(self) -> bool {
        self != Self::Erm
    }

    /// Whether the loss is the cross-entropy of the images, with noise or without, and nothing else: then it is convex
    /// in the logits, and no adversary depends on the network.
    pub fn is_cross_entropy(self) -> bool {
        matches!(self, Self::Erm | Self::Gaussian)
    }
}

/// A training method with its settings: it defines the loss that training minimises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Defence {
    /// Which method.
    pub method: Method,
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// Settings of [`Method::SmoothAdv`].
    pub smoothadv: SmoothAdvSettings,
    /// Settings of [`Method::Macer`].
    pub macer: MacerSettings,
}

impl Defence {
    /// Noisy copies of every image in a loss.
    pub fn copies(&self) -> usize {
        match self.method {
            Method::Erm | Method::Gaussian => 1,
            Method::SmoothAdv => self.smoothadv.noises,
            Method::Macer => self.macer.noises,
        }
    }

    /// Draws noise, and finds adversarial perturbations, for a loss on images N×C×H×W with labels N.
    ///
    /// `noise` draws a tensor of standard normal numbers with a given shape; it is called only if the method needs noise. `strength` is the
    /// share of the adversary's radius in force, which rises to 1 over the warm-up.
    pub fn perturb(
        &self,
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        strength: f64,
        noise: impl FnOnce(&[i64]) -> Tensor,
    ) -> Perturbation {
        let copies = self.copies() as i64;
        if !self.method.has_noise() {
            return Perturbation::none();
        }
        let mut shape = images.size();
        shape[0] *= copies;
        let mut offset = noise(&shape).to_kind(images.kind()) * self.sigma;
        if self.method == Method::SmoothAdv {
            let moved = smoothadv::perturbation(network, images, labels, &offset, strength, &self.smoothadv);
            offset = no_grad(|| offset + moved.repeat_interleave_self_int(copies, 0, None));
        }
        Perturbation::new(copies, offset)
    }

    /// Loss of a batch from the logits N×copies×K of its perturbed images and the labels N: MACER's loss, or for the
    /// other methods the mean cross-entropy over the copies of an image. `reduction` is the mean or the sum over images.
    pub fn loss(&self, logits: &Tensor, labels: &Tensor, reduction: Reduction) -> Tensor {
        if self.method == Method::Macer {
            return macer::loss(logits, labels, self.sigma, &self.macer, reduction);
        }
        let copies = logits.size()[1];
        let labels = labels.repeat_interleave_self_int(copies, 0, None);
        let loss = cross_entropy(&logits.flatten(0, 1), &labels, reduction);
        // A sum over images of the mean over their copies.
        if matches!(reduction, Reduction::Sum) { loss / copies as f64 } else { loss }
    }
}
