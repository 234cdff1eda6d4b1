mod double_double;
mod gaussian;
mod quantized_gaussian;
mod uniform;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::definition::DistributionDefinition;
use crate::{statistics::Norm, units::Sigma};
pub use quantized_gaussian::GRID;

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
    /// same class for every image *on the grid* within the radius. The certificate makes no claim about images off the grid; no
    /// noise is ever drawn for them. Rounding inside the model is part of the classifier.
    QuantizedGaussian,
}

impl Distribution {
    /// All distributions.
    pub const ALL: [Self; 3] = [Self::Gaussian, Self::Uniform, Self::QuantizedGaussian];

    /// The table of distributions: the definition of each.
    pub(crate) fn definition(self) -> &'static dyn DistributionDefinition {
        match self {
            Self::Gaussian => &gaussian::Gaussian,
            Self::Uniform => &uniform::Uniform,
            Self::QuantizedGaussian => &quantized_gaussian::QuantizedGaussian,
        }
    }

    /// Its name in evidence files: `gaussian`, `uniform` or `quantized-gaussian`.
    pub fn name(self) -> &'static str {
        self.definition().name()
    }

    /// The norm of the certified radius.
    pub fn norm(self) -> Norm {
        self.definition().norm()
    }

    /// The certified radius for the lower bound `p_lower` on the probability of the class, in the unit of `sigma` and in
    /// the norm [`norm`](Self::norm), rounded down. `None` (abstain) unless `p_lower` is above ½.
    ///
    /// ```
    /// use mithridate_runtime::{noise::Distribution, units::Sigma};
    ///
    /// let sigma = Sigma::new(0.5)?;
    /// let radius = Distribution::Gaussian.radius(0.999_930_92, sigma).unwrap();
    /// assert!((radius / 0.5 - 3.8115).abs() < 1e-4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn radius(self, p_lower: f64, sigma: Sigma) -> Option<f64> {
        self.definition().radius(p_lower, sigma)
    }

    /// Whether a noisy image is the sum of image and noise in single precision. If so, noise drawn once can be added to
    /// any image.
    pub fn is_added(self) -> bool {
        self.definition().is_added()
    }

    /// Description of the noise generator, as recorded in the evidence file.
    pub fn generator(self) -> &'static str {
        self.definition().generator()
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_in_evidence_files() {
        for distribution in Distribution::ALL {
            assert_eq!(serde_json::to_value(distribution).unwrap(), distribution.name());
        }
    }

    /// The second computation agrees with the first: at the radius of p̲, the other classes may have 1 − p̲ at most.
    #[test]
    fn radii_are_valid_up_to_the_probability_they_came_from() {
        for distribution in Distribution::ALL {
            for sigma in [0.05, 0.25, 1.0] {
                let sigma = Sigma::new(sigma).unwrap();
                for p_lower in [0.5001, 0.6, 0.9, 0.999, 0.999_999] {
                    let radius = distribution.radius(p_lower, sigma).unwrap();
                    let others = distribution.definition().others_at(radius, sigma);
                    let ratio = others / (1.0 - p_lower);
                    assert!((1.0 - 1e-9..1.0 + 1e-6).contains(&ratio), "{distribution} {p_lower}: {ratio}");
                }
            }
        }
    }
}
