use std::sync::Arc;

use super::{BLOCK, Distribution, NoiseError, NoiseKey, definition::NoiseSampler};
use crate::units::Sigma;

/// A noise generator for one distribution and one σ. Clones are cheap: they share their tables.
#[derive(Clone, Debug)]
pub struct Noise {
    distribution: Distribution,
    sigma: Sigma,
    sampler: Arc<dyn NoiseSampler>,
}

impl Noise {
    /// Prepares the generator.
    ///
    /// # Errors
    /// [`NoiseError`] if `sigma` is out of the range of `distribution`.
    pub fn new(distribution: Distribution, sigma: Sigma) -> Result<Self, NoiseError> {
        let sampler = distribution.definition().sampler(sigma)?;
        Ok(Self { distribution, sigma, sampler })
    }

    /// Its distribution.
    pub fn distribution(&self) -> Distribution {
        self.distribution
    }

    /// Its standard deviation, before any rounding to the grid.
    pub fn sigma(&self) -> Sigma {
        self.sigma
    }

    /// Fills `batch` with noisy copies of `image`, using the noise of the first samples of the block that `key` names.
    ///
    /// The length of `batch` is a multiple of the length of `image`, for at most [`BLOCK`] samples. The noise is added
    /// in `f32` (on the grid of 1/255 in integers). The sum is not clipped to the range of the image.
    ///
    /// # Panics
    /// If `image` is empty, or `batch` is not a whole number of samples or is more than [`BLOCK`] of them.
    ///
    /// # Example
    /// ```
    /// use mithridate_runtime::{noise::{Distribution, Noise, NoiseKey, Role}, units::Sigma};
    ///
    /// let key = NoiseKey { seed: 7, role: Role::Estimation, input: 0, block: 0 };
    /// let noise = Noise::new(Distribution::Gaussian, Sigma::new(0.25)?)?;
    /// let (mut one, mut three) = ([0.0; 4], [0.0; 12]);
    /// noise.add(&key, &[0.5; 4], &mut one);
    /// noise.add(&key, &[0.5; 4], &mut three);
    /// assert_eq!(one, three[..4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&self, key: &NoiseKey, image: &[f32], batch: &mut [f32]) {
        assert!(
            !image.is_empty()
                && batch.len().is_multiple_of(image.len())
                && batch.len() / image.len() <= BLOCK as usize,
            "a block has at most {BLOCK} whole samples of {} values each; {} values were requested",
            image.len(),
            batch.len()
        );
        self.sampler.add(key.stream(), image, batch);
    }
}
