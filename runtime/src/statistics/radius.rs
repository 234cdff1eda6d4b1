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
    let quantile = Normal::standard().inverse_cdf(p_lower) * (1.0 - QUANTILE_ERROR);
    // The noise was drawn with σ rounded to single precision: the smaller of both values is the safe one.
    let drawn = sigma.get().min(f64::from(sigma.get() as f32));
    Some((quantile * drawn).next_down().max(0.0))
}

/// Certified ℓ1 radius 2λ(p̲ − ½) for noise uniform on \[−λ, λ\] with λ = σ√3, rounded down; `None` (abstention) unless
/// p̲ > ½.
///
/// `p_lower` is p̲, a lower bound on the probability of the class. The radius has the unit of σ. Lee, Yuan, Chang and
/// Jaakkola, *Tight certificates of adversarial robustness for randomly smoothed classifiers* (2019); Yang et al.,
/// *Randomized smoothing of all shapes and sizes* (2020).
///
/// # Example
/// ```
/// use mithridate_runtime::{statistics::certified_radius_uniform, units::Sigma};
///
/// // λ = 1: the largest radius possible is λ.
/// let sigma = Sigma::new(1.0 / 3.0_f64.sqrt())?;
/// let radius = certified_radius_uniform(0.75, sigma).unwrap();
/// assert!(radius <= 0.5 && radius > 0.5 - 1e-7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn certified_radius_uniform(p_lower: f64, sigma: Sigma) -> Option<f64> {
    if p_lower.is_nan() || p_lower <= 0.5 || p_lower >= 1.0 {
        return None;
    }
    // p̲ − ½ and the doubling are exact; only the product is rounded.
    let width = 2.0 * f64::from(uniform_half_width(sigma));
    Some((width * (p_lower - 0.5)).next_down().max(0.0))
}

/// Half-width λ = σ√3 of uniform noise with standard deviation σ, in the single precision in which it is drawn.
pub(crate) fn uniform_half_width(sigma: Sigma) -> f32 {
    (sigma.get() * 3.0_f64.sqrt()) as f32
}

/// Certified ℓ2 radius σ·Φ⁻¹(p̲) for images on the grid of 1/255 under
/// [`QuantizedGaussian`](crate::noise::Distribution::QuantizedGaussian) noise, rounded down; `None` (abstention) unless
/// p̲ > ½.
///
/// `p_lower` is p̲, a lower bound on the probability of the class. The thresholds from which the noise is drawn are
/// rounded, which changes the probability of a class by less than 2⁻⁵⁸, at the certified image and at any other.
/// Lowering p̲ by two units in the last place covers both: Φ⁻¹ is nowhere flatter than at ½.
pub fn certified_radius_on_grid(p_lower: f64, sigma: Sigma) -> Option<f64> {
    if p_lower.is_nan() || p_lower <= 0.5 || p_lower >= 1.0 {
        return None;
    }
    let p_lower = p_lower.next_down().next_down();
    if p_lower <= 0.5 {
        return None;
    }
    let quantile = Normal::standard().inverse_cdf(p_lower) * (1.0 - QUANTILE_ERROR);
    Some((quantile * sigma.get()).next_down().max(0.0))
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

    #[test]
    fn uniform_radii_are_the_width_times_the_excess_over_half() {
        let sigma = Sigma::new(0.25).unwrap();
        for (p, exact) in [(0.6, 0.086_602_540_378_443_86), (0.999, 0.432_146_676_488_434_9)] {
            let radius = certified_radius_uniform(p, sigma).unwrap();
            assert!((radius / exact - 1.0).abs() < 1e-7, "{p}: {radius} {exact}");
        }
        for p in [f64::NAN, 0.0, 0.5, 1.0] {
            assert_eq!(certified_radius_uniform(p, sigma), None);
        }
    }

    #[test]
    fn radii_on_the_grid_are_hardly_smaller() {
        let sigma = Sigma::new(0.25).unwrap();
        for p in [0.500_000_1, 0.75, 0.999] {
            let (grid, plain) =
                (certified_radius_on_grid(p, sigma).unwrap(), certified_radius(p, sigma).unwrap());
            assert!(grid < plain && grid > plain - 1e-13, "{p}: {grid} {plain}");
        }
        assert_eq!(certified_radius_on_grid(0.5_f64.next_up(), sigma), None);
        assert_eq!(certified_radius_on_grid(f64::NAN, sigma), None);
    }
}
