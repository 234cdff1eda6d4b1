use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// An estimate with the ends of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Mean of paired differences with its 95 % confidence interval by Student's t.
///
/// Each difference is between the values of two runs for the same input, so differences between inputs cancel. `None`
/// for fewer than two pairs.
///
/// The interval assumes that the pairs are independent. If all inputs shared their noise, they are independent only
/// given that noise: the interval then covers the choice of inputs, but not another draw of the noise.
///
/// ```
/// use mithridate_runtime::statistics::paired_difference;
///
/// let interval = paired_difference(&[-0.2, -0.1, -0.3, -0.2]).unwrap();
/// assert!((interval.value + 0.2).abs() < 1e-12);
/// assert!(interval.low < -0.3 && interval.high < -0.06);
/// ```
pub fn paired_difference(differences: &[f64]) -> Option<Interval> {
    let n = differences.len();
    if n < 2 {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n as f64;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let quantile = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?.inverse_cdf(0.975);
    let half = quantile * (variance / n as f64).sqrt();
    Some(Interval { value: mean, low: mean - half, high: mean + half })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_students_sleep_data() {
        // Student (1908), extra hours of sleep, drug 2 − drug 1; published: mean 1.58, 95 % interval 0.70 to 2.46.
        let differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let interval = paired_difference(&differences).unwrap();
        assert!((interval.value - 1.58).abs() < 1e-12);
        assert!((interval.low - 0.700_114_2).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - 2.459_885_8).abs() < 1e-6, "{interval:?}");
    }

    #[test]
    fn one_pair_says_nothing() {
        assert_eq!(paired_difference(&[0.5]), None);
    }
}
