use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::Interval;

/// Number of bootstrap resamples.
const RESAMPLES: usize = 10_000;
/// Seed of the resampling: the same data always give the same interval.
const SEED: u64 = 0x6d69_7468_7269_6461;

/// Relative drop of a mean, 1 − mean(treated) / mean(control), with a 95 % percentile bootstrap interval.
///
/// `control` and `treated` have one row for each training seed and one column for each test point; row i of both
/// belongs to victims trained with the same seed. A resample draws rows and columns with replacement, the same ones
/// from both, so the interval covers the randomness of training and the choice of points. If all points shared their
/// noise, it does not cover another draw of that noise.
///
/// `None` if the rows differ in length or are empty, or if the mean of `control` is 0.
pub fn relative_drop(control: &[Vec<f64>], treated: &[Vec<f64>]) -> Option<Interval> {
    let (seeds, points) = (control.len(), control.first()?.len());
    let same_shape = treated.len() == seeds && control.iter().chain(treated).all(|row| row.len() == points);
    if !same_shape || points == 0 {
        return None;
    }
    let drop = |rows: &[usize], columns: &[usize]| {
        let mean = |values: &[Vec<f64>]| -> f64 {
            rows.iter().map(|&row| columns.iter().map(|&column| values[row][column]).sum::<f64>()).sum()
        };
        let (before, after) = (mean(control), mean(treated));
        (before > 0.0).then(|| 1.0 - after / before)
    };
    let (all_rows, all_columns): (Vec<_>, Vec<_>) = ((0..seeds).collect(), (0..points).collect());
    let value = drop(&all_rows, &all_columns)?;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut draw = |count: usize| -> Vec<usize> {
        (0..count).map(|_| ((u128::from(random.next_u64()) * count as u128) >> 64) as usize).collect()
    };
    let mut drops = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let (rows, columns) = (draw(seeds), draw(points));
        drops.extend(drop(&rows, &columns));
    }
    drops.sort_by(f64::total_cmp);
    let quantile = |share: f64| drops.get(((drops.len() - 1) as f64 * share).round() as usize).copied();
    Some(Interval { value, low: quantile(0.025)?, high: quantile(0.975)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_factor_is_found_without_doubt() {
        let control = vec![vec![0.5, 0.4, 0.8], vec![0.6, 0.1, 0.7]];
        let treated: Vec<Vec<f64>> =
            control.iter().map(|row| row.iter().map(|value| value * 0.6).collect()).collect();
        let drop = relative_drop(&control, &treated).unwrap();
        for value in [drop.value, drop.low, drop.high] {
            assert!((value - 0.4).abs() < 1e-12, "{drop:?}");
        }
    }

    #[test]
    fn the_interval_has_the_width_of_the_standard_error() {
        // 400 independent points with mean 1 and deviation 0.5 against a fixed control: the drop has standard error
        // 0.5 / sqrt(400) = 0.025, and a normal interval is 3.92 of these wide.
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let treated: Vec<f64> =
            (0..400).map(|_| if random.next_u64() & 1 == 0 { 0.5 } else { 1.5 }).collect();
        let drop = relative_drop(&[vec![1.0; 400]], &[treated]).unwrap();
        let width = drop.high - drop.low;
        assert!((width / (3.92 * 0.025) - 1.0).abs() < 0.1, "{width}");
    }

    #[test]
    fn what_cannot_be_compared_gives_nothing() {
        assert_eq!(relative_drop(&[vec![1.0, 2.0]], &[vec![1.0]]), None);
        assert_eq!(relative_drop(&[vec![0.0]], &[vec![1.0]]), None);
        assert_eq!(relative_drop(&[], &[]), None);
    }
}
