use statrs::distribution::{ContinuousCDF, Normal};

use crate::units::Sigma;

/// Relative error allowed to the normal quantile, four times the largest measured (4.65e-16 of 40,000 points).
const QUANTILE_ERROR: f64 = 2e-15;

/// Certified ℓ2 radius σ·Φ⁻¹(p̲), rounded down; `None` (abstain) unless p̲ > ½.
///
/// Cohen, Rosenfeld and Kolter, *Certified adversarial robustness via randomized smoothing* (2019), Theorem 1 with
/// the bound 1 − p̲ for the runner-up. In the units of σ.
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
    // The noise was drawn with σ in single precision.
    let drawn = sigma.get().min(f64::from(sigma.get() as f32));
    Some((quantile * drawn).next_down().max(0.0))
}

/// `value` as text with `decimals` digits after the point, rounded down, so that what is printed is never more than
/// what was proved.
///
/// ```
/// use mithridate_runtime::statistics::round_down;
///
/// assert_eq!(round_down(0.97763, 3), "0.977");
/// assert_eq!(round_down(0.25, 3), "0.250");
/// ```
pub fn round_down(value: f64, decimals: usize) -> String {
    let nearest = format!("{value:.decimals$}");
    // Text that stands for no more than the value is right as it is; else one unit less in the last place.
    if nearest.parse::<f64>().is_ok_and(|shown| shown <= value) {
        return nearest;
    }
    let unit = 10_f64.powi(-i32::try_from(decimals).unwrap_or(i32::MAX));
    format!("{:.decimals$}", value - 0.5 * unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn printed_numbers_are_never_larger(value in 0.0_f64..1000.0, decimals in 0_usize..8) {
            let shown: f64 = round_down(value, decimals).parse().unwrap();
            prop_assert!(shown <= value);
            prop_assert!(value - shown <= 10_f64.powi(-(decimals as i32)) * (1.0 + 1e-9));
        }
    }
}
