use std::sync::Arc;

use rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::{
    noise::{
        NoiseError,
        definition::{DistributionDefinition, NoiseSampler},
        expected::{EDGES, Expected},
    },
    statistics::Norm,
    units::Sigma,
};

/// The definition of [`Distribution::Uniform`](super::Distribution::Uniform).
pub(super) struct Uniform;

impl DistributionDefinition for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn generator(&self) -> &'static str {
        "sha256-keyed xoshiro256++, 24-bit uniform, block 64, v1"
    }

    fn known_answers(&self) -> [f32; 4] {
        [0.788_604_2, -0.019_594_52, -1.327_559_6, 1.287_372_2]
    }

    fn sampler(&self, sigma: Sigma) -> Result<Arc<dyn NoiseSampler>, NoiseError> {
        Ok(Arc::new(UniformSampler { half_width: half_width(sigma) }))
    }

    fn norm(&self) -> Norm {
        Norm::L1
    }

    fn radius(&self, p_lower: f64, sigma: Sigma) -> Option<f64> {
        certified_radius(p_lower, sigma)
    }

    fn others_at(&self, radius: f64, sigma: Sigma) -> f64 {
        // The half-width of the noise is σ·√3, in the single precision in which it is drawn.
        0.5 - radius / (2.0 * f64::from((3.0_f64.sqrt() * sigma.get()) as f32))
    }

    fn expected(&self, sigma: Sigma, rounding: f64) -> Expected {
        let most = 3.0_f64.sqrt();
        let step = 2.0 * most / EDGES as f64;
        // A value can exceed λ only by the rounding of λ and of the sum with a pixel.
        let outside = most * (1.0 + 1e-6) + 2e-6 / sigma.get() + rounding;
        Expected {
            moments: [1.0, 9.0 / 5.0, 81.0 / 9.0],
            first_edge: -most,
            step,
            cumulative: (0..=EDGES).map(|edge| edge as f64 / EDGES as f64).collect(),
            tails: vec![(0.99 * most, 0.01), (outside, 0.0)],
            unrepeated: 16,
        }
    }
}

/// Draws from the uniform distribution on \[−`half_width`, `half_width`\].
#[derive(Debug)]
struct UniformSampler {
    half_width: f32,
}

impl NoiseSampler for UniformSampler {
    /// Each value is that of `image` plus `half_width` · u, with u uniform over the midpoints of 2²⁴ equal parts of
    /// (−1, 1), in single precision.
    fn add(&self, mut stream: Xoshiro256PlusPlus, image: &[f32], batch: &mut [f32]) {
        // An odd integer of at most 24 bits is exact in single precision, and the factor 2⁻²⁴ only changes the exponent.
        const PARTS: i64 = 1 << 24;
        let step = self.half_width / PARTS as f32;
        for sample in batch.chunks_exact_mut(image.len()) {
            for (noisy, pixel) in sample.iter_mut().zip(image) {
                let part = (stream.next_u64() >> 40) as i64;
                *noisy = pixel + step * (2 * part + 1 - PARTS) as f32;
            }
        }
    }
}

/// Certified ℓ1 radius 2λ(p̲ − ½) for noise uniform on \[−λ, λ\] with λ = σ√3, rounded down; `None` (abstention) unless
/// p̲ > ½.
///
/// `p_lower` is p̲, a lower bound on the probability of the class. The radius has the unit of σ. Lee, Yuan, Chang and
/// Jaakkola, *Tight certificates of adversarial robustness for randomly smoothed classifiers* (2019); Yang et al.,
/// *Randomized smoothing of all shapes and sizes* (2020).
fn certified_radius(p_lower: f64, sigma: Sigma) -> Option<f64> {
    if p_lower.is_nan() || p_lower <= 0.5 || p_lower >= 1.0 {
        return None;
    }
    // p̲ − ½ and the doubling are exact; only the product is rounded.
    let width = 2.0 * f64::from(half_width(sigma));
    Some((width * (p_lower - 0.5)).next_down().max(0.0))
}

/// Half-width λ = σ√3 of uniform noise with standard deviation σ, in the single precision in which it is drawn.
fn half_width(sigma: Sigma) -> f32 {
    (sigma.get() * 3.0_f64.sqrt()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{NoiseKey, Role};

    #[test]
    fn noise_is_that_of_another_implementation() {
        let key = NoiseKey { seed: 7, role: Role::Estimation, input: 3, block: 5 };
        let mut compared = 0;
        let lines = include_str!("../../../tests/fixtures/quantized_gaussian.csv").lines();
        for row in lines.filter_map(|line| line.strip_prefix("uniform,")) {
            let cells: Vec<&str> = row.split(',').collect();
            let (index, odd): (usize, i64) = (cells[1].parse().unwrap(), cells[2].parse().unwrap());
            let mut values = vec![0.0; index + 1];
            UniformSampler { half_width: 1.0 }.add(key.stream(), &[0.0], &mut values);
            assert_eq!(values.last().map(|value| (value * 16_777_216.0) as i64), Some(odd));
            compared += 1;
        }
        assert!(compared > 0);
    }

    #[test]
    fn uniform_radii_are_the_width_times_the_excess_over_half() {
        let sigma = Sigma::new(0.25).unwrap();
        for (p, exact) in [(0.6, 0.086_602_540_378_443_86), (0.999, 0.432_146_676_488_434_9)] {
            let radius = certified_radius(p, sigma).unwrap();
            assert!((radius / exact - 1.0).abs() < 1e-7, "{p}: {radius} {exact}");
        }
        for p in [f64::NAN, 0.0, 0.5, 1.0] {
            assert_eq!(certified_radius(p, sigma), None);
        }
    }
}
