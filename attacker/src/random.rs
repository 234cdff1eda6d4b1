//! Random tensors that depend on nothing but a seed and what they are for.
//!
//! Everything is drawn on the host from keyed xoshiro256++ streams, so a run is the same on every device, and can be
//! taken up at any step without replaying the ones before.

use mithridate_runtime::noise::keyed_stream;
use rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Tensor};

/// What random numbers are for; part of the key of their stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Split of the training data.
    Split = 0,
    /// First weights of a network.
    Weights = 1,
    /// Order of training images.
    Order = 2,
    /// Noise added to training images.
    TrainingNoise = 3,
    /// Clean images of a lower-level batch.
    CleanBatch = 4,
    /// Poison images of a lower-level batch.
    PoisonBatch = 5,
    /// Validation images.
    ValidationBatch = 6,
    /// Noise added to validation images.
    ValidationNoise = 7,
    /// Choice of poison images to step.
    PoisonChoice = 8,
    /// Noise added to poison images in the mixed derivative.
    PoisonNoise = 9,
    /// Signs of the random baseline.
    Signs = 10,
}

/// A source of random tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    seed: u64,
}

impl Random {
    /// All streams of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn stream(self, purpose: Purpose, step: u64) -> impl Rng {
        keyed_stream("mithridate attacker v1", &[self.seed, purpose as u64, step])
    }

    /// Standard normal numbers, `float`.
    pub fn normal(self, purpose: Purpose, step: u64, shape: &[i64], device: Device) -> Tensor {
        let mut stream = self.stream(purpose, step);
        let values: Vec<f32> =
            (0..shape.iter().product::<i64>()).map(|_| StandardNormal.sample(&mut stream)).collect();
        Tensor::from_slice(&values).view(shape).to_device(device)
    }

    /// Numbers uniform in \[−bound, bound), `float`.
    pub fn uniform(self, purpose: Purpose, step: u64, shape: &[i64], bound: f64) -> Tensor {
        let mut stream = self.stream(purpose, step);
        let values: Vec<f32> = (0..shape.iter().product::<i64>())
            .map(|_| {
                let unit = (stream.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                (bound * (2.0 * unit - 1.0)) as f32
            })
            .collect();
        Tensor::from_slice(&values).view(shape)
    }

    /// Coin flips.
    pub fn coins(self, purpose: Purpose, step: u64, count: usize) -> Vec<bool> {
        let mut stream = self.stream(purpose, step);
        (0..count).map(|_| stream.next_u64() >> 63 == 1).collect()
    }

    /// The numbers below `count` in random order (Fisher–Yates).
    pub fn permutation(self, purpose: Purpose, step: u64, count: usize) -> Vec<i64> {
        let mut stream = self.stream(purpose, step);
        let mut order: Vec<i64> = (0..count as i64).collect();
        for last in (1..count).rev() {
            order.swap(last, below(&mut stream, last as u64 + 1) as usize);
        }
        order
    }

    /// `chosen` numbers below `count`, with replacement.
    pub fn indices(self, purpose: Purpose, step: u64, count: usize, chosen: usize) -> Vec<i64> {
        let mut stream = self.stream(purpose, step);
        (0..chosen).map(|_| below(&mut stream, count as u64) as i64).collect()
    }
}

/// A number below `bound`, without bias (Lemire's method).
fn below(stream: &mut impl Rng, bound: u64) -> u64 {
    loop {
        let product = u128::from(stream.next_u64()) * u128::from(bound);
        if product as u64 >= bound.wrapping_neg() % bound {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_purpose_and_step() {
        let base = Random::new(1).permutation(Purpose::Order, 0, 50);
        assert_eq!(base, Random::new(1).permutation(Purpose::Order, 0, 50));
        assert_ne!(base, Random::new(2).permutation(Purpose::Order, 0, 50));
        assert_ne!(base, Random::new(1).permutation(Purpose::Split, 0, 50));
        assert_ne!(base, Random::new(1).permutation(Purpose::Order, 1, 50));
    }

    #[test]
    fn permutations_hold_every_number_once() {
        let mut order = Random::new(3).permutation(Purpose::Order, 0, 1000);
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn uniform_numbers_have_the_moments_they_should() {
        let values = Random::new(4).uniform(Purpose::Weights, 0, &[100_000], 0.5);
        assert!(f64::try_from(values.abs().max()).unwrap() <= 0.5);
        assert!(f64::try_from(values.mean(tch::Kind::Double)).unwrap().abs() < 0.005);
        let variance = f64::try_from(values.square().mean(tch::Kind::Double)).unwrap();
        assert!((variance * 12.0 - 1.0).abs() < 0.02, "{variance}");
    }
}
