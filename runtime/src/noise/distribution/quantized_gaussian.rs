use std::sync::Arc;

use rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use statrs::distribution::{ContinuousCDF, Normal};

use super::{
    double_double::{DoubleDouble, normal_lower_tail},
    gaussian::Gaussian,
};
use crate::{
    noise::{
        NoiseError,
        definition::{DistributionDefinition, NoiseSampler},
        expected::{EDGES, Expected, REPETITION_BITS},
    },
    statistics::{Norm, quantile_down},
    units::Sigma,
};

/// Number of steps of the grid from 0 to 1: values on the grid are k / 255.
pub const GRID: f32 = 255.0;

/// The range of σ: below it, hardly any noise would be left on the grid; above it, the table would grow large.
const SIGMAS: std::ops::RangeInclusive<f64> = 0.002..=16.0;

/// Largest noise in the table, in units of σ. Larger values have a probability below 2⁻¹⁰⁷.
const REACH: f64 = 12.0;

/// Number of leading bits of a random word used as an index into the guide table.
const GUIDE_BITS: u32 = 12;

/// The definition of [`Distribution::QuantizedGaussian`](super::Distribution::QuantizedGaussian).
pub(super) struct QuantizedGaussian;

impl DistributionDefinition for QuantizedGaussian {
    fn name(&self) -> &'static str {
        "quantized-gaussian"
    }

    fn generator(&self) -> &'static str {
        "sha256-keyed xoshiro256++, 128-bit thresholds on the grid of 1/255, block 64, v1"
    }

    fn known_answers(&self) -> [f32; 4] {
        [154.0 / GRID, -4.0 / GRID, -304.0 / GRID, 289.0 / GRID]
    }

    fn sampler(&self, sigma: Sigma) -> Result<Arc<dyn NoiseSampler>, NoiseError> {
        Ok(Arc::new(QuantizedSampler::new(sigma)?))
    }

    fn is_added(&self) -> bool {
        false
    }

    fn unfit_value(&self, image: &[f32]) -> Option<usize> {
        off_grid(image)
    }

    fn norm(&self) -> Norm {
        Norm::L2
    }

    fn radius(&self, p_lower: f64, sigma: Sigma) -> Option<f64> {
        certified_radius(p_lower, sigma)
    }

    fn others_at(&self, radius: f64, sigma: Sigma) -> f64 {
        // That of the noise before it is rounded to the grid; see `certified_radius` for what rounding changes.
        Gaussian.others_at(radius, sigma)
    }

    fn expected(&self, sigma: Sigma, _: f64) -> Expected {
        let normal = Normal::standard();
        let level = 1.0 / (f64::from(GRID) * sigma.get());
        let probability = |m: i32| {
            let m = f64::from(m.abs());
            normal.cdf((0.5 - m) * level) - normal.cdf((-0.5 - m) * level)
        };
        let reach = (REACH / level) as i32 + 1;
        let moment = |power: i32| -> f64 {
            (-reach..=reach).map(|m| probability(m) * (f64::from(m) * level).powi(power)).sum()
        };
        let collision: f64 = (-reach..=reach).map(|m| probability(m).powi(2)).sum();
        let edge_levels = (12.0 / level / EDGES as f64).ceil();
        let first_edge = (-(6.0 / level).ceil() - 0.5) * level;
        let step = edge_levels * level;
        let edges = (-2.0 * first_edge / step) as usize;
        let tails = [2.5, 3.5].map(|tail: f64| ((tail / level).floor() + 0.5) * level);
        Expected {
            moments: [moment(2), moment(4), moment(8)],
            first_edge,
            step,
            cumulative: (0..=edges).map(|edge| normal.cdf(first_edge + edge as f64 * step)).collect(),
            tails: tails.map(|tail| (tail, 2.0 * normal.cdf(-tail))).to_vec(),
            unrepeated: (REPETITION_BITS / -collision.log2()).ceil() as usize,
        }
    }
}

/// Draws N(0, σ²) rounded to the grid of 1/255, as thresholds of 128-bit integers: level m is drawn when a uniform word lies
/// between 2¹²⁸·Φ((m − ½) / 255σ) and 2¹²⁸·Φ((m + ½) / 255σ).
///
/// The second half of a word is drawn only if the first half equals that of a threshold, once in 2⁶⁴ / thresholds draws
/// on average. Each threshold is within 2³² of the exact value (on the scale of 2¹²⁸). So the distribution of one value
/// differs from the exact one by at most thresholds · 2⁻⁹⁶ ≤ 2⁻⁷⁹ in probability, and that of an input of 2²⁰ values by
/// at most 2⁻⁵⁹.
#[derive(Clone, Debug, PartialEq)]
struct QuantizedSampler {
    /// First and second half of each threshold, in order.
    high: Vec<u64>,
    low: Vec<u64>,
    /// Guide table: for each value of the leading bits, the number of thresholds below it.
    guide: Vec<u32>,
    /// The lowest level.
    lowest: i32,
}

impl QuantizedSampler {
    fn new(sigma: Sigma) -> Result<Self, NoiseError> {
        let sigma = sigma.get();
        if !SIGMAS.contains(&sigma) {
            return Err(NoiseError::GridSigma { sigma, least: *SIGMAS.start(), most: *SIGMAS.end() });
        }
        let reach = (REACH * 255.0 * sigma) as i32;
        let scale = DoubleDouble::product(255.0, sigma);
        // The threshold above level −1 − m is 2¹²⁸ less the one above level m.
        let tails = (0..reach).rev().map(|level| {
            let z = DoubleDouble::from(f64::from(level) + 0.5) / scale;
            to_integer(normal_lower_tail(z))
        });
        let mut lower: Vec<u128> = tails.collect();
        // In the far tail, thresholds lie closer together than their error; sorting does not increase the largest error.
        lower.sort_unstable();
        let thresholds: Vec<u128> =
            lower.iter().copied().chain(lower.iter().rev().map(|tail| tail.wrapping_neg())).collect();
        let high: Vec<u64> = thresholds.iter().map(|threshold| (threshold >> 64) as u64).collect();
        let guide = (0..=1_u128 << GUIDE_BITS)
            .map(|bits| high.partition_point(|&high| u128::from(high) < bits << (64 - GUIDE_BITS)) as u32)
            .collect();
        let low = thresholds.iter().map(|&threshold| threshold as u64).collect();
        Ok(Self { high, low, guide, lowest: -reach })
    }

    /// Draws one level: the noise in units of 1/255.
    fn sample(&self, stream: &mut Xoshiro256PlusPlus) -> i32 {
        let word = stream.next_u64();
        let bits = (word >> (64 - GUIDE_BITS)) as usize;
        let (start, end) = (self.guide[bits] as usize, self.guide[bits + 1] as usize);
        let mut below = start + self.high[start..end].partition_point(|&high| high < word);
        if self.high.get(below) == Some(&word) {
            let second = stream.next_u64();
            while self.high.get(below) == Some(&word) && self.low[below] <= second {
                below += 1;
            }
        }
        self.lowest + below as i32
    }
}

impl NoiseSampler for QuantizedSampler {
    /// Each value is the single-precision number nearest to (k + m) / 255 for a pixel k / 255 and a drawn level m.
    fn add(&self, mut stream: Xoshiro256PlusPlus, image: &[f32], batch: &mut [f32]) {
        for sample in batch.chunks_exact_mut(image.len()) {
            for (noisy, pixel) in sample.iter_mut().zip(image) {
                let level = (pixel * GRID).round() as i32 + self.sample(&mut stream);
                *noisy = level as f32 / GRID;
            }
        }
    }
}

/// 2¹²⁸ · `value` as an integer, with a rounding error below 2; `value` is at most ½. The result is at least 1, even if
/// the error of `value` makes it negative, so that 2¹²⁸ minus the result fits 128 bits too.
fn to_integer(value: DoubleDouble) -> u128 {
    const SCALE: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;
    // Scaling by a power of two is exact, and so is the conversion of such large floats to integers.
    ((value.high * SCALE) as u128).saturating_add_signed((value.low * SCALE) as i128).max(1)
}

/// The index of the first value of `image` that is not k / 255 in single precision with k from 0 to 255; `None` if the
/// whole image is on the grid.
fn off_grid(image: &[f32]) -> Option<usize> {
    image.iter().position(|&value| {
        let level = (value * GRID).round();
        !(0.0..=GRID).contains(&level) || level / GRID != value
    })
}

/// Certified ℓ2 radius σ·Φ⁻¹(p̲) for images on the grid of 1/255 under
/// quantised Gaussian noise, rounded down; `None` (abstention) unless
/// p̲ > ½.
///
/// `p_lower` is p̲, a lower bound on the probability of the class. The thresholds from which the noise is drawn are
/// rounded, which changes the probability of a class by less than 2⁻⁵⁸, at the certified image and at any other.
/// Lowering p̲ by two units in the last place covers both: Φ⁻¹ is nowhere flatter than at ½.
fn certified_radius(p_lower: f64, sigma: Sigma) -> Option<f64> {
    if p_lower.is_nan() || p_lower <= 0.5 || p_lower >= 1.0 {
        return None;
    }
    let p_lower = p_lower.next_down().next_down();
    if p_lower <= 0.5 {
        return None;
    }
    Some((quantile_down(p_lower) * sigma.get()).next_down().max(0.0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{
        noise::{NoiseKey, Role},
        statistics,
    };

    /// Rows of the fixture: kind, σ, level or index, value.
    fn rows(kind: &'static str) -> impl Iterator<Item = (f64, i32, &'static str)> {
        let lines = include_str!("../../../tests/fixtures/quantized_gaussian.csv").lines();
        lines.filter_map(move |line| {
            let mut cells = line.strip_prefix(kind)?.strip_prefix(',')?.split(',');
            Some((cells.next()?.parse().ok()?, cells.next()?.parse().ok()?, cells.next()?))
        })
    }

    fn table(sigma: f64) -> QuantizedSampler {
        QuantizedSampler::new(Sigma::new(sigma).unwrap()).unwrap()
    }

    const KEY: NoiseKey = NoiseKey { seed: 7, role: Role::Estimation, input: 3, block: 5 };

    #[test]
    fn thresholds_are_those_of_long_arithmetic() {
        let (mut compared, mut tables) = (0, HashMap::new());
        for (sigma, level, exact) in rows("threshold") {
            let table = tables.entry(sigma.to_bits()).or_insert_with(|| table(sigma));
            let exact = exact.parse::<u128>().unwrap();
            let place = (level - table.lowest) as usize;
            let threshold = u128::from(table.high[place]) << 64 | u128::from(table.low[place]);
            assert!(threshold.abs_diff(exact) < 1 << 32, "{sigma} {level}: {threshold} {exact}");
            compared += 1;
        }
        assert!(compared > 80, "{compared}");
    }

    #[test]
    fn thresholds_never_fall() {
        for sigma in [0.002, 0.25, 16.0] {
            let QuantizedSampler { high, low, lowest, .. } = table(sigma);
            let all: Vec<u128> =
                high.iter().zip(&low).map(|(&high, &low)| u128::from(high) << 64 | u128::from(low)).collect();
            assert!(all.windows(2).all(|pair| pair[0] <= pair[1]));
            assert_eq!(all.len() as i32, -2 * lowest);
        }
    }

    #[test]
    fn samples_are_those_of_another_implementation() {
        let mut tables = HashMap::new();
        for (sigma, place, level) in rows("sample") {
            let table = tables.entry(sigma.to_bits()).or_insert_with(|| table(sigma));
            let mut stream = KEY.stream();
            let drawn: Vec<i32> = (0..=place).map(|_| table.sample(&mut stream)).collect();
            assert_eq!(drawn.last(), Some(&level.parse().unwrap()), "{sigma} {place}");
        }
    }

    /// A word equal to the first half of a threshold is decided by a second word.
    #[test]
    fn a_tie_of_the_first_half_is_broken_by_the_second() {
        let first = KEY.stream().next_u64();
        let second = {
            let mut stream = KEY.stream();
            stream.next_u64();
            stream.next_u64()
        };
        let tie = |low: u64| {
            let high = vec![first];
            let guide = (0..=1_u128 << GUIDE_BITS)
                .map(|bits| u32::from(u128::from(first) < bits << (64 - GUIDE_BITS)))
                .collect();
            QuantizedSampler { high, low: vec![low], guide, lowest: 0 }.sample(&mut KEY.stream())
        };
        assert_eq!((tie(second - 1), tie(second), tie(second + 1)), (1, 1, 0));
    }

    #[test]
    fn noisy_images_stay_on_the_grid() {
        let image: Vec<f32> = (0..=255).map(|level| level as f32 / 255.0).collect();
        assert_eq!(off_grid(&image), None);
        let mut batch = vec![0.0; 64 * 256];
        table(0.5).add(KEY.stream(), &image, &mut batch);
        assert!(batch.iter().all(|&value| (value * GRID).round() / GRID == value));
        assert!(batch.iter().any(|&value| value < 0.0) && batch.iter().any(|&value| value > 1.0));
    }

    #[test]
    fn what_is_off_the_grid_is_found() {
        for bad in [0.3, 0.5, f32::NAN, -1.0 / 255.0, 256.0 / 255.0, f32::INFINITY, 1.0_f32.next_down()] {
            assert_eq!(off_grid(&[0.0, 1.0, bad]), Some(2), "{bad}");
        }
    }

    #[test]
    fn a_sigma_without_a_table_is_refused() {
        for bad in [0.001, 17.0] {
            let error = QuantizedSampler::new(Sigma::new(bad).unwrap()).unwrap_err().to_string();
            assert!(error.ends_with(&format!("not {bad}")), "{error}");
        }
    }

    #[test]
    fn radii_on_the_grid_are_hardly_smaller() {
        let sigma = Sigma::new(0.25).unwrap();
        for p in [0.500_000_1, 0.75, 0.999] {
            let (grid, plain) =
                (certified_radius(p, sigma).unwrap(), statistics::certified_radius(p, sigma).unwrap());
            assert!(grid < plain && grid > plain - 1e-13, "{p}: {grid} {plain}");
        }
        assert_eq!(certified_radius(0.5_f64.next_up(), sigma), None);
        assert_eq!(certified_radius(f64::NAN, sigma), None);
    }
}
