use statrs::distribution::{ContinuousCDF, Normal};

use crate::units::Sigma;

/// Assumed relative error of the normal quantile: four times the largest error measured at 40,000 points (4.65e-16).
const QUANTILE_ERROR: f64 = 2e-15;

/// Certified ℓ2 radius σ·Φ⁻¹(p̲) for Gaussian noise, rounded down; `None` (abstention) unless p̲ > ½.
///
/// `p_lower` is p̲, a lower bound on the probability of the class. The radius has the unit of σ. Cohen, Rosenfeld and
/// Kolter, *Certified adversarial robustness via randomized smoothing* (2019), Theorem 1, with the upper bound 1 − p̲
/// for the runner-up class.
///
/// # Example
/// ```
/// use mithridate_runtime::{statistics::certified_radius, units::Sigma};
///
/// let sigma = Sigma::new(0.5)?;
/// let radius = certified_radius(0.999_930_92, sigma).unwrap();
/// assert!((radius / 0.5 - 3.8115).abs() < 1e-4);
/// assert_eq!(certified_radius(0.5, sigma), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn certified_radius(p_lower: f64, sigma: Sigma) -> Option<f64> {
    if p_lower.is_nan() || p_lower <= 0.5 || p_lower >= 1.0 {
        return None;
    }
    // The noise was drawn with σ rounded to single precision: the smaller of both values is the safe one.
    let drawn = sigma.get().min(f64::from(sigma.get() as f32));
    Some((quantile_down(p_lower) * drawn).next_down().max(0.0))
}

/// Φ⁻¹(`p`) for `p` in (½, 1), rounded down.
pub(crate) fn quantile_down(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p) * (1.0 - QUANTILE_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_not_above_published_ones() {
        let unit = Sigma::new(1.0).unwrap();
        // Φ⁻¹ to 20 digits.
        for (p, z) in [
            (0.75, 0.674_489_750_196_081_74),
            (0.9, 1.281_551_565_544_600_5),
            (0.999, 3.090_232_306_167_813_5),
            (0.500_000_1, 2.506_628_274_631_001_6e-7),
        ] {
            let radius = certified_radius(p, unit).unwrap();
            assert!(radius <= z + 1e-22 && radius > z * (1.0 - 1e-8), "{p}: {radius} {z}");
        }
    }

    #[test]
    fn what_proves_nothing_abstains() {
        let sigma = Sigma::new(1.0).unwrap();
        for p in [f64::NAN, 0.0, 0.3, 0.5, 1.0] {
            assert_eq!(certified_radius(p, sigma), None);
        }
    }
}
