//! The self-test before a run: does the noise of this run have the distribution that its certificates assume?
//!
//! A faulty generator would make radii wrong without any sign of it. So a run first draws some noise with its own keys,
//! adds it to an image as it does for the model, subtracts the image again, and tests the remainder: known answers,
//! moments, tails, the distribution function (Kolmogorov–Smirnov by the inequality of Dvoretzky, Kiefer, Wolfowitz and
//! Massart), correlation at short distances, between samples and between blocks, and repetition.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use rand_core::Rng;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{BLOCK, Distribution, GRID, Noise, NoiseKey, Role, expected::Expected, keyed_stream};
use crate::{input::InputPrecision, statistics::binomial::ln_upper_tail, units::Sigma};

/// Largest probability with which the self-test rejects correct noise.
pub const FALSE_ALARM_RATE: f64 = 1e-9;

/// Number of noise values drawn at least.
const VALUES: usize = 1 << 19;
/// Number of samples drawn at least.
const SAMPLES: usize = 8;
/// Largest accepted score, in standard deviations, of the about twenty tests with a normal statistic: two-sided 2.6e-12
/// each.
const LARGEST_SCORE: f64 = 7.0;
/// Smallest accepted p-value of the other tests, of which there are at most twelve.
const LEAST_P: f64 = 1e-11;

/// The key of the recorded values with which generators are compared.
const KNOWN_ANSWERS_KEY: NoiseKey = NoiseKey { seed: 1, role: Role::Selection, input: 2, block: 3 };

/// The noise failed the self-test.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {distribution} noise of this run does not have the distribution that certificates assume: {problem}; no input was \
     certified"
)]
pub struct SelfTestError {
    distribution: Distribution,
    /// The test that failed.
    pub test: Test,
    problem: String,
}

/// One of the tests of the self-test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// The first values for a fixed key equal recorded ones.
    KnownAnswers,
    /// Every value is finite.
    Finite,
    /// Mean.
    Mean,
    /// Variance.
    Variance,
    /// Fourth moment.
    FourthMoment,
    /// Share of values far away from 0.
    Tails,
    /// Distribution function.
    Distribution,
    /// Correlation between values at fixed distances, or between all samples.
    Correlation,
    /// The same noise occurred twice.
    Repetition,
}

/// Tests the noise of the run with seed `seed` for up to four of the inputs with indices `inputs`, each of `values`
/// values.
///
/// Correct noise fails with probability at most [`FALSE_ALARM_RATE`]. Takes a few hundredths of a second, longer for
/// inputs of a million values.
///
/// # Errors
/// [`SelfTestError`] names the first test that failed.
///
/// # Panics
/// If `values` is 0.
///
/// # Example
/// ```
/// use mithridate_runtime::{noise::{Distribution, Noise, check_noise}, units::Sigma};
///
/// let noise = Noise::new(Distribution::Gaussian, Sigma::new(0.25)?)?;
/// check_noise(&noise, 7, &[0, 1, 2], 784)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check_noise(noise: &Noise, seed: u64, inputs: &[u64], values: usize) -> Result<(), SelfTestError> {
    known_answers(noise)?;
    // An image with every level of 8 bits, the same for all noise modes.
    let image: Vec<f32> = (0..values).map(|place| (place % 256) as f32 / GRID).collect();
    let draws = Draws::new(seed, inputs, &image, |key, image, batch| noise.add(key, image, batch));
    draws.check(noise)
}

/// Tests the noise of the run with seed `seed` for one input as the model receives it: added to `image`, scaled to the
/// model's range and rounded to its number type. Use the input with the largest values: there rounding is coarsest.
///
/// Rounding is compensated by a random number of at most half a rounding step. So noise that is rounded no more than
/// [`MAX_ROUNDING`](crate::backend::MAX_ROUNDING) allows passes, and noise that is lost to rounding fails. Correct noise
/// fails with probability at most [`FALSE_ALARM_RATE`].
///
/// # Errors
/// [`SelfTestError`] names the first test that failed.
///
/// # Panics
/// If `image` is empty.
///
/// # Example
/// ```
/// use mithridate_runtime::{
///     backend::InputPrecision,
///     noise::{Distribution, Noise, check_noise_at},
///     units::Sigma,
/// };
///
/// let noise = Noise::new(Distribution::Gaussian, Sigma::new(0.25)?)?;
/// let precision = InputPrecision::default();
/// check_noise_at(&noise, 7, 5, &[100.0; 784], &precision)?;
/// assert!(check_noise_at(&noise, 7, 5, &[67_108_864.0; 784], &precision).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check_noise_at(
    noise: &Noise,
    seed: u64,
    input: u64,
    image: &[f32],
    precision: &InputPrecision,
) -> Result<(), SelfTestError> {
    let mut draws = Draws::new(seed, &[input], image, |key, image, batch| noise.add(key, image, batch));
    draws.receive(image, precision, seed);
    draws.check(noise)
}

/// Compares the first values of a fixed key with recorded ones: if they differ, older evidence could not be replayed.
fn known_answers(noise: &Noise) -> Result<(), SelfTestError> {
    let distribution = noise.distribution();
    let known = distribution.definition().known_answers();
    let error = |problem| SelfTestError { distribution, test: Test::KnownAnswers, problem };
    let unit = Sigma::new(1.0).map_err(|problem| error(problem.to_string()))?;
    let unit_noise = Noise::new(distribution, unit).map_err(|problem| error(problem.to_string()))?;
    let mut drawn = [0.0; 4];
    unit_noise.add(&KNOWN_ANSWERS_KEY, &[0.0; 4], &mut drawn);
    if drawn == known {
        return Ok(());
    }
    Err(error(format!("the generator gives {drawn:?} instead of the recorded values {known:?}")))
}

/// Noise as the model receives it.
struct Draws {
    /// Number of values of one input.
    values: usize,
    /// Number of values drawn from one block.
    block: usize,
    /// Noisy inputs, as the bits of their values.
    noisy: Vec<u32>,
    /// Noisy input minus image, in units of the data set.
    noise: Vec<f64>,
    /// Largest half step of rounding, in units of the data set.
    half_step: f64,
}

impl Draws {
    /// Draws blocks of two roles and up to four inputs in turn, and subtracts the image again.
    fn new(
        seed: u64,
        inputs: &[u64],
        image: &[f32],
        mut draw: impl FnMut(&NoiseKey, &[f32], &mut [f32]),
    ) -> Self {
        let values = image.len();
        let samples = VALUES.div_ceil(values).max(SAMPLES);
        let blocks = samples.div_ceil(BLOCK as usize).max(4);
        let block = samples.div_ceil(blocks) * values;
        let mut inputs: Vec<u64> = inputs.iter().copied().take(4).collect();
        inputs.sort_unstable();
        inputs.dedup();
        if inputs.is_empty() {
            inputs.push(0);
        }
        let (mut noisy, mut noise) = (Vec::new(), Vec::new());
        let mut batch = vec![0.0; block];
        for number in 0..blocks {
            let role = if number % 2 == 0 { Role::Estimation } else { Role::Selection };
            let key = NoiseKey {
                seed,
                role,
                input: inputs[number / 2 % inputs.len()],
                block: (number / (2 * inputs.len())) as u64,
            };
            draw(&key, image, &mut batch);
            noisy.extend(batch.iter().map(|value| value.to_bits()));
            noise.extend(batch.iter().zip(image.iter().cycle()).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        }
        Self { values, block, noisy, noise, half_step: 0.0 }
    }

    /// Replaces the drawn values by those that the model receives, and compensates rounding by random numbers.
    fn receive(&mut self, image: &[f32], precision: &InputPrecision, seed: u64) {
        let mut chance = keyed_stream("gate", &[seed]);
        for (at, (noise, bits)) in self.noise.iter_mut().zip(&self.noisy).enumerate() {
            let position = at % self.values;
            let (value, half_step) = precision.received(position, f32::from_bits(*bits));
            let uniform = f64::from(chance.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
            *noise = value - f64::from(image[position]) + uniform * half_step;
            self.half_step = self.half_step.max(half_step);
        }
    }

    fn check(mut self, noise: &Noise) -> Result<(), SelfTestError> {
        let (distribution, sigma) = (noise.distribution(), noise.sigma().get());
        let expected = distribution.definition().expected(noise.sigma(), 2.0 * self.half_step / sigma);
        self.noise.iter_mut().for_each(|value| *value /= sigma);
        let tests =
            [Self::finite, Self::moments, Self::tails, Self::cumulative, Self::correlation, Self::repetition];
        for test in tests {
            test(&self, &expected).map_err(|(test, problem)| SelfTestError {
                distribution,
                test,
                problem,
            })?;
        }
        Ok(())
    }

    fn count(&self) -> f64 {
        self.noise.len() as f64
    }

    fn finite(&self, _: &Expected) -> Result<(), (Test, String)> {
        match self.noise.iter().find(|value| !value.is_finite()) {
            Some(value) => Err((Test::Finite, format!("one of its values is {value}"))),
            None => Ok(()),
        }
    }

    fn moments(&self, expected: &Expected) -> Result<(), (Test, String)> {
        let mut sums = [0.0; 3];
        for value in &self.noise {
            let square = value * value;
            sums[0] += value;
            sums[1] += square;
            sums[2] += square * square;
        }
        let [second, fourth, eighth] = expected.moments;
        for (test, name, sum, mean, variance) in [
            (Test::Mean, "mean", sums[0], 0.0, second),
            (Test::Variance, "variance", sums[1], second, fourth - second * second),
            (Test::FourthMoment, "fourth moment", sums[2], fourth, eighth - fourth * fourth),
        ] {
            let found = sum / self.count();
            if (found - mean).abs() > LARGEST_SCORE * (variance / self.count()).sqrt() {
                return Err((
                    test,
                    format!("its {name} in units of sigma is {found:.5} and should be {mean:.5}"),
                ));
            }
        }
        Ok(())
    }

    fn tails(&self, expected: &Expected) -> Result<(), (Test, String)> {
        let all = self.noise.len() as u64;
        for &(distance, probability) in &expected.tails {
            let beyond = self.noise.iter().filter(|value| value.abs() > distance).count() as u64;
            let p = match (beyond, probability > 0.0) {
                (0, false) => 1.0,
                (_, false) => 0.0,
                (_, true) => two_sided(beyond, all, probability),
            };
            if p < LEAST_P {
                let mean = probability * all as f64;
                return Err((
                    Test::Tails,
                    format!("{beyond} of {all} values lie beyond {distance:.3} sigma, not about {mean:.0}"),
                ));
            }
        }
        Ok(())
    }

    fn cumulative(&self, expected: &Expected) -> Result<(), (Test, String)> {
        let edges = expected.cumulative.len();
        let mut bins = vec![0_u64; edges + 1];
        for value in &self.noise {
            let bin = ((value - expected.first_edge) / expected.step).ceil().clamp(0.0, edges as f64);
            bins[bin as usize] += 1;
        }
        let mut below = 0;
        let distance = bins.iter().zip(&expected.cumulative).fold(0.0_f64, |worst, (bin, cumulative)| {
            below += bin;
            worst.max((below as f64 / self.count() - cumulative).abs())
        });
        if 2.0 * (-2.0 * self.count() * distance * distance).exp() < LEAST_P {
            return Err((
                Test::Distribution,
                format!("its distribution function differs by {distance:.5} from the right one"),
            ));
        }
        Ok(())
    }

    fn correlation(&self, expected: &Expected) -> Result<(), (Test, String)> {
        let [second, fourth, _] = expected.moments;
        let spread = fourth - second * second;
        let mut distances =
            vec![1, 2, 3, 4, 8, 16, 32, self.values, 2 * self.values, self.block, 2 * self.block];
        distances.sort_unstable();
        distances.dedup();
        for distance in distances {
            let (mut plain, mut squared) = (0.0, 0.0);
            for (a, b) in self.noise.iter().zip(&self.noise[distance..]) {
                plain += a * b;
                squared += (a * a - second) * (b * b - second);
            }
            let root = (self.count() - distance as f64).sqrt();
            for (sum, variance, what) in [(plain, second, "values"), (squared, spread, "squares of values")] {
                if (sum / (variance * root)).abs() > LARGEST_SCORE {
                    let found = sum / (variance * root * root);
                    return Err((
                        Test::Correlation,
                        format!("{what} at a distance of {distance} have a correlation of {found:.5}"),
                    ));
                }
            }
        }
        self.common_part(second)
    }

    /// Tests whether all samples contain a common part: the sum of a value over all samples must have the variance of a
    /// sum of independent values.
    fn common_part(&self, second: f64) -> Result<(), (Test, String)> {
        let mut sums = vec![0.0; self.values];
        for sample in self.noise.chunks_exact(self.values) {
            sums.iter_mut().zip(sample).for_each(|(sum, value)| *sum += value);
        }
        let samples = self.count() / self.values as f64;
        let statistic = sums.iter().map(|sum| sum * sum).sum::<f64>() / (samples * second);
        if chi_squared_p(statistic, self.values) < LEAST_P {
            let found = (statistic / self.values as f64 - 1.0) / (samples - 1.0);
            return Err((Test::Correlation, format!("different samples have a correlation of {found:.6}")));
        }
        Ok(())
    }

    fn repetition(&self, expected: &Expected) -> Result<(), (Test, String)> {
        let samples = expected.unrepeated.div_ceil(self.values);
        let mut seen = HashSet::new();
        for block in self.noisy.chunks_exact(self.block) {
            for part in block.chunks_exact(samples * self.values) {
                if !seen.insert(part) {
                    return Err((Test::Repetition, "the same noise occurred twice".into()));
                }
            }
        }
        Ok(())
    }
}

/// Two-sided p-value of `hits` successes in `trials` trials of probability `p`.
fn two_sided(hits: u64, trials: u64, p: f64) -> f64 {
    let above = if hits == 0 { 0.0 } else { ln_upper_tail(hits, trials, p, 1.0 - p) };
    let below = if hits == trials { 0.0 } else { ln_upper_tail(trials - hits, trials, 1.0 - p, p) };
    (2.0 * above.min(below).exp()).min(1.0)
}

/// Two-sided p-value of `statistic`, a sum of the squares of `values` standard normal values.
fn chi_squared_p(statistic: f64, values: usize) -> f64 {
    if values <= 300
        && let Ok(law) = ChiSquared::new(values as f64)
    {
        return 2.0 * law.cdf(statistic).min(law.sf(statistic));
    }
    // The cube root is close to normal (Wilson and Hilferty 1931).
    let variance = 2.0 / (9.0 * values as f64);
    let score = ((statistic / values as f64).cbrt() - (1.0 - variance)) / variance.sqrt();
    2.0 * statrs::distribution::Normal::standard().sf(score.abs())
}
