use std::{fmt::Debug, sync::Arc};

use rand_xoshiro::Xoshiro256PlusPlus;

use super::{NoiseError, expected::Expected};
use crate::{statistics::Norm, units::Sigma};

/// The definition of a noise distribution: all that differs between distributions.
///
/// The noise values of an input are independent of each other, with standard deviation σ and a distribution symmetric
/// about 0.
pub(crate) trait DistributionDefinition: Sync {
    /// Its name in evidence files.
    fn name(&self) -> &'static str;

    /// Description of the generator, as recorded in the evidence file. Any change to the generator must change it.
    fn generator(&self) -> &'static str;

    /// The first four noise values for σ = 1 of the block that the self-test names. They must never change: older
    /// evidence could not be replayed.
    fn known_answers(&self) -> [f32; 4];

    /// Prepares a sampler for noise of standard deviation `sigma`.
    ///
    /// # Errors
    /// [`NoiseError`] if `sigma` is out of the range of the distribution.
    fn sampler(&self, sigma: Sigma) -> Result<Arc<dyn NoiseSampler>, NoiseError>;

    /// Whether a noisy image is the sum of image and noise in single precision. If so, noise drawn once can be added to
    /// any image.
    fn is_added(&self) -> bool {
        true
    }

    /// The index of the first value of `image` to which the noise can't be added; `None` if there is no such value.
    fn unfit_value(&self, _image: &[f32]) -> Option<usize> {
        None
    }

    /// The norm of the certified radius.
    fn norm(&self) -> Norm;

    /// The certified radius for the lower bound `p_lower` on the probability of the class, in the unit of `sigma`,
    /// rounded down. `None` (abstain) unless `p_lower` is above ½.
    fn radius(&self, p_lower: f64, sigma: Sigma) -> Option<f64>;

    /// The largest probability of all other classes together for which `radius` is valid. `rscert verify` checks radii
    /// with it a second time, so it must not share code with [`radius`](Self::radius). Its relative error may be 3e-10.
    fn others_at(&self, radius: f64, sigma: Sigma) -> f64;

    /// The distribution of single noise values that the self-test expects. `rounding` is the largest change of a value
    /// by rounding, in units of σ.
    fn expected(&self, sigma: Sigma, rounding: f64) -> Expected;
}

/// Draws noise of one distribution and one σ.
pub(crate) trait NoiseSampler: Debug + Send + Sync {
    /// Fills `batch` with noisy copies of `image`, with noise from `stream`. The length of `batch` is a multiple of that
    /// of `image`.
    ///
    /// `stream` is passed by value so that the compiler keeps its state in registers.
    fn add(&self, stream: Xoshiro256PlusPlus, image: &[f32], batch: &mut [f32]);
}
