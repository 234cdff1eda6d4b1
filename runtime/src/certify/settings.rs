use serde::{Deserialize, Serialize};

use super::StoppingRule;
use crate::{
    noise::{Distribution, Noise, NoiseBank, NoiseError, Role},
    statistics::{
        MAX_TRIALS, SequenceForm, certified_radius, certified_radius_on_grid, certified_radius_uniform,
    },
    units::{Alpha, Sigma},
};

/// Numbers of samples that can't be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// No samples.
    #[error("{name} must be at least 1 and is {value}")]
    NoSamples {
        /// Which number.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// More samples than a bound can be computed for.
    #[error("{name} must be at most {MAX_TRIALS} and is {value}")]
    TooManySamples {
        /// Which number.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// Noise that can't be drawn.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// Instances that are not of one model.
    #[error("the model instances differ in input size, classes or batch")]
    DifferentModels,
    /// More classes than votes are kept of.
    #[error("the model has {classes} classes, and at most 65,533 can be told apart")]
    TooManyClasses {
        /// Classes of the model.
        classes: usize,
    },
    /// No workers or no batch.
    #[error("at least one model instance and a batch of at least one input are needed")]
    NoWorkers,
}

/// What a certificate depends on, besides model and input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Standard deviation of the noise.
    pub sigma: Sigma,
    /// What the noise is distributed as.
    #[serde(default)]
    pub distribution: Distribution,
    /// Probability that a certificate may be wrong.
    pub alpha: Alpha,
    /// Samples that choose the class.
    pub n0: u64,
    /// Fresh samples that bound its probability, at most.
    pub n: u64,
    /// When to stop before.
    #[serde(rename = "stopping_rule")]
    pub stop: StoppingRule,
    /// How bounds are made that hold whenever sampling stops.
    pub sequence: SequenceForm,
    /// Seed of all noise.
    pub seed: u64,
}

impl Settings {
    /// The field's usual Gaussian noise, α = 0.001, n0 = 100 and n = 100,000, never fewer.
    pub fn new(sigma: Sigma, seed: u64) -> Self {
        Self {
            sigma,
            distribution: Distribution::Gaussian,
            alpha: Alpha::USUAL,
            n0: 100,
            n: 100_000,
            stop: StoppingRule::Fixed,
            sequence: SequenceForm::Looks,
            seed,
        }
    }

    /// Refuses numbers of samples below 1 or above what a bound can be computed for, and a σ that the noise can't have.
    ///
    /// # Errors
    /// [`SettingsError::NoSamples`], [`SettingsError::TooManySamples`], [`SettingsError::Noise`].
    pub fn check(&self) -> Result<(), SettingsError> {
        for (name, value) in [("n0", self.n0), ("n", self.n)] {
            if value < 1 {
                return Err(SettingsError::NoSamples { name, value });
            }
            if value > MAX_TRIALS {
                return Err(SettingsError::TooManySamples { name, value });
            }
        }
        self.noise().map(|_| ())
    }

    /// The noise, ready to be drawn.
    ///
    /// # Errors
    /// [`SettingsError::Noise`].
    pub fn noise(&self) -> Result<Noise, SettingsError> {
        Ok(Noise::new(self.distribution, self.sigma)?)
    }

    /// The noise that inputs share when they are certified, ready to be drawn once for all, and what there is of it;
    /// none for noise that is not simply added to an image.
    pub fn shared_noise(&self) -> Option<(Noise, NoiseBank)> {
        self.bank(&[(Role::Selection, self.n0), (Role::Estimation, self.n)])
    }

    /// As [`shared_noise`](Self::shared_noise), for inputs whose classes are predicted.
    pub fn shared_prediction_noise(&self) -> Option<(Noise, NoiseBank)> {
        self.bank(&[(Role::Prediction, self.n)])
    }

    fn bank(&self, samples: &[(Role, u64)]) -> Option<(Noise, NoiseBank)> {
        let noise = self.noise().ok().filter(|_| self.distribution.is_added())?;
        Some((noise, NoiseBank::new(self.seed, samples)))
    }

    /// The radius that a lower bound on the probability of a class proves, in the norm of the noise, rounded down;
    /// `None` (abstain) unless it is above ½.
    pub fn radius(&self, p_lower: f64) -> Option<f64> {
        match self.distribution {
            Distribution::Gaussian => certified_radius(p_lower, self.sigma),
            Distribution::Uniform => certified_radius_uniform(p_lower, self.sigma),
            Distribution::QuantizedGaussian => certified_radius_on_grid(p_lower, self.sigma),
        }
    }
}
