use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::StoppingRule;
use crate::{
    noise::{Distribution, Noise, NoiseBank, NoiseError, Role},
    statistics::{MAX_TRIALS, SequenceForm},
    units::{Alpha, Sigma},
};

/// Why settings of a certification are invalid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A number of samples is 0.
    #[error("`{name}` must be at least 1 and is {value}")]
    NoSamples {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// More samples than a bound can be computed for.
    #[error("`{name}` must be at most {MAX_TRIALS} and is {value}")]
    TooManySamples {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// The noise can't be drawn.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// σ is neither in the settings nor in the metadata of the model.
    #[error("{} doesn't say at which sigma it was trained; give one with `sigma`", model.display())]
    UnknownSigma {
        /// Path of the model.
        model: PathBuf,
    },
    /// The instances are not of the same model.
    #[error("the model instances differ in input size, classes or batch")]
    DifferentModels,
    /// More classes than a vote can represent.
    #[error("the model has {classes} classes, and at most 65,533 are possible")]
    TooManyClasses {
        /// Classes of the model.
        classes: usize,
    },
    /// No model instance, or a batch size of 0.
    #[error("at least one model instance and a batch of at least one input are needed")]
    NoWorkers,
}

/// Everything that a certificate depends on besides model and input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Standard deviation of the noise.
    pub sigma: Sigma,
    /// Distribution of the noise.
    #[serde(default)]
    pub distribution: Distribution,
    /// Failure probability: largest probability that a certificate is wrong.
    pub alpha: Alpha,
    /// Number of selection samples, which choose the class.
    pub n0: u64,
    /// Largest number of estimation samples: fresh samples that bound the probability of the class.
    pub n: u64,
    /// When to stop sampling before n samples.
    #[serde(rename = "stopping_rule")]
    pub stop: StoppingRule,
    /// Form of the confidence sequence, for the stopping rules that need one.
    pub sequence: SequenceForm,
    /// Seed of all noise.
    pub seed: u64,
}

impl Settings {
    /// The usual settings of the field: Gaussian noise, α = 0.001, n0 = 100 and n = 100,000, with the stopping rule
    /// `fixed`.
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

    /// Checks that n0 and n are from 1 to [`MAX_TRIALS`], and that noise of this σ can be drawn.
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

    /// The noise that all inputs share in certification, and the list of its blocks. `None` for a distribution whose
    /// noise is not simply added to an image.
    pub fn shared_noise(&self) -> Option<(Noise, NoiseBank)> {
        self.bank(&[(Role::Selection, self.n0), (Role::Estimation, self.n)])
    }

    /// As [`shared_noise`](Self::shared_noise), for prediction.
    pub fn shared_prediction_noise(&self) -> Option<(Noise, NoiseBank)> {
        self.bank(&[(Role::Prediction, self.n)])
    }

    fn bank(&self, samples: &[(Role, u64)]) -> Option<(Noise, NoiseBank)> {
        let noise = self.noise().ok().filter(|_| self.distribution.is_added())?;
        Some((noise, NoiseBank::new(self.seed, samples)))
    }

    /// The certified radius for the lower bound `p_lower` on the probability of the class, in data-set units and in the
    /// norm of the noise, rounded down. `None` (abstain) unless `p_lower` is above ½.
    pub fn radius(&self, p_lower: f64) -> Option<f64> {
        self.distribution.radius(p_lower, self.sigma)
    }
}
