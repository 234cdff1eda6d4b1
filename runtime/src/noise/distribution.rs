use std::fmt;

use serde::{Deserialize, Serialize};

use crate::statistics::Norm;

/// What the noise of the smoothed classifier is distributed as, each value for itself, with standard deviation σ.
///
/// ```
/// use mithridate_runtime::{noise::Distribution, statistics::Norm};
///
/// assert_eq!(Distribution::QuantizedGaussian.to_string(), "quantized-gaussian");
/// assert_eq!(Distribution::Uniform.norm(), Norm::L1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// N(0, σ²), drawn and added in single precision; certifies ℓ2 balls (Cohen et al. 2019).
    #[default]
    Gaussian,
    /// Uniform on \[−λ, λ\] with λ = σ√3, drawn and added in single precision; certifies ℓ1 balls (Lee et al. 2019).
    Uniform,
    /// N(0, σ²) rounded to whole levels of 1/255, drawn with integers only and added exactly; certifies the images
    /// on the grid of 1/255 in an ℓ2 ball (after Voráček and Hein 2023).
    ///
    /// For an image x on the grid, rounding x + N(0, σ²I) to the grid gives x plus the rounded noise: the smoothed
    /// classifier is that of Cohen et al. for the classifier that rounds its input to the grid first. So its answer
    /// is the same for every image *on the grid* within the radius. Nothing is claimed of images between the levels,
    /// for which the program draws no noise at all. What rounding in the model does is part of the classifier.
    QuantizedGaussian,
}

impl Distribution {
    /// Its name, as evidence files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Uniform => "uniform",
            Self::QuantizedGaussian => "quantized-gaussian",
        }
    }

    /// The norm in which its certificates are radii.
    pub fn norm(self) -> Norm {
        match self {
            Self::Gaussian | Self::QuantizedGaussian => Norm::L2,
            Self::Uniform => Norm::L1,
        }
    }

    /// Whether a noisy image is the sum of image and noise in single precision, so that noise drawn once can be added to
    /// any image.
    pub fn is_added(self) -> bool {
        match self {
            Self::Gaussian | Self::Uniform => true,
            Self::QuantizedGaussian => false,
        }
    }

    /// What the evidence file says of how the noise was made; a change of any step changes this text.
    pub fn generator(self) -> &'static str {
        match self {
            Self::Gaussian => "sha256-keyed xoshiro256++, ziggurat normal, block 64, v1",
            Self::Uniform => "sha256-keyed xoshiro256++, 24-bit uniform, block 64, v1",
            Self::QuantizedGaussian => {
                "sha256-keyed xoshiro256++, 128-bit thresholds on the grid of 1/255, block 64, v1"
            }
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}
