use std::fmt;

use serde::{Deserialize, Serialize};

use crate::statistics::Norm;

/// Distribution of the smoothing noise. The noise values of an input are independent, with standard deviation σ.
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
    /// N(0, σ²) rounded to multiples of 1/255, drawn with integers only and added exactly; certifies the images on the
    /// grid of 1/255 in an ℓ2 ball (after Voráček and Hein 2023).
    ///
    /// For an image x on the grid, rounding x + N(0, σ²I) to the grid gives x plus the rounded noise. So the smoothed
    /// classifier is that of Cohen et al. for a classifier that first rounds its input to the grid, and it returns the
    /// same class for every image *on the grid* within the radius. Nothing is claimed about images off the grid; no
    /// noise is ever drawn for them. Rounding inside the model is part of the classifier.
    QuantizedGaussian,
}

impl Distribution {
    /// Its name in evidence files: `gaussian`, `uniform` or `quantized-gaussian`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Uniform => "uniform",
            Self::QuantizedGaussian => "quantized-gaussian",
        }
    }

    /// The norm of the certified radius.
    pub fn norm(self) -> Norm {
        match self {
            Self::Gaussian | Self::QuantizedGaussian => Norm::L2,
            Self::Uniform => Norm::L1,
        }
    }

    /// Whether a noisy image is the sum of image and noise in single precision. If so, noise drawn once can be added to
    /// any image.
    pub fn is_added(self) -> bool {
        match self {
            Self::Gaussian | Self::Uniform => true,
            Self::QuantizedGaussian => false,
        }
    }

    /// Description of the noise generator, as recorded in the evidence file. Any change to the generator must change it.
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
