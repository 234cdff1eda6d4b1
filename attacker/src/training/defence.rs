use tch::{Reduction, Tensor, no_grad};

use super::{MacerSettings, Method, SmoothAdvSettings, cross_entropy, macer, smoothadv};
use crate::networks::Network;

/// A training method with its settings: the loss that it minimises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defence {
    /// Which method.
    pub method: Method,
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// Settings of [`Method::SmoothAdv`].
    pub smoothadv: SmoothAdvSettings,
    /// Settings of [`Method::Macer`].
    pub macer: MacerSettings,
}

/// What is drawn anew for every loss, and held fixed while that loss is differentiated: noisy copies of each image, and
/// where the images have been moved to by an adversary.
#[derive(Debug)]
pub struct Perturbation {
    copies: i64,
    /// N·copies×C×H×W, the copies of an image side by side.
    offset: Option<Tensor>,
}

impl Perturbation {
    /// The images N×C×H×W as the network gets them, (N·copies)×C×H×W; differentiable.
    pub fn apply(&self, images: &Tensor) -> Tensor {
        match &self.offset {
            None => images.shallow_clone(),
            Some(offset) if self.copies == 1 => images + offset,
            Some(offset) => images.repeat_interleave_self_int(self.copies, 0, None) + offset,
        }
    }

    /// The logits (N·copies)×K of these as N×copies×K.
    pub fn by_image(&self, logits: &Tensor) -> Tensor {
        logits.view([-1, self.copies, logits.size()[1]])
    }

    /// The same in double precision, for checks.
    #[must_use]
    pub fn to_double(&self) -> Self {
        Self {
            copies: self.copies,
            offset: self.offset.as_ref().map(|offset| offset.to_kind(tch::Kind::Double)),
        }
    }
}

impl Defence {
    /// Noisy copies of every image that go into a loss.
    pub fn copies(&self) -> usize {
        match self.method {
            Method::Erm | Method::Gaussian => 1,
            Method::SmoothAdv => self.smoothadv.noises,
            Method::Macer => self.macer.noises,
        }
    }

    /// Draws what a loss on images N×C×H×W with labels N needs. `noise` gives standard normal numbers of a shape and is
    /// called if the method wants any; `strength` is the share of the adversary's radius that is in force (warm-up).
    pub fn perturb(
        &self,
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        strength: f64,
        noise: impl FnOnce(&[i64]) -> Tensor,
    ) -> Perturbation {
        let copies = self.copies() as i64;
        if self.method == Method::Erm {
            return Perturbation { copies, offset: None };
        }
        let mut shape = images.size();
        shape[0] *= copies;
        let mut offset = noise(&shape).to_kind(images.kind()) * self.sigma;
        if self.method == Method::SmoothAdv {
            let moved = smoothadv::perturbation(network, images, labels, &offset, strength, &self.smoothadv);
            offset = no_grad(|| offset + moved.repeat_interleave_self_int(copies, 0, None));
        }
        Perturbation { copies, offset: Some(offset) }
    }

    /// Loss of a batch from the logits N×copies×K of its perturbed images and the labels N.
    ///
    /// The mean over images, or their sum. Cross-entropy, over all copies of an image alike, or MACER's loss.
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
