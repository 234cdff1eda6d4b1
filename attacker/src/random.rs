//! Random tensors that depend only on a seed and on their purpose.
//!
//! Every number comes from a stream keyed by seed, domain, purpose and step. A run can therefore resume at any step
//! without replaying earlier ones, and attack and victim never share noise, even with equal seeds.

use std::sync::{Mutex, PoisonError};

use mithridate_runtime::noise::keyed_stream;
use rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

/// The part of the program that draws numbers. It is part of the key of a stream, so that equal seeds give different
/// numbers in different domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Splits of data sets.
    Data,
    /// The attack and its networks.
    Attack,
    /// Victims trained from scratch.
    Victim,
    /// Networks that are retrained to select among candidates.
    Selection,
}

impl Domain {
    fn label(self) -> &'static str {
        match self {
            Self::Data => "mithridate data v1",
            Self::Attack => "mithridate attack v1",
            Self::Victim => "mithridate victim v1",
            Self::Selection => "mithridate selection v1",
        }
    }
}

/// The purpose of random numbers; part of the key of their stream.
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
    /// Choice of poison images to move in a step.
    PoisonChoice = 8,
    /// Noise added to poison images in the mixed derivative.
    PoisonNoise = 9,
    /// Signs of the random baseline.
    Signs = 10,
    /// Crops and flips of training images.
    Augmentation = 11,
    /// Crops and flips of poison images in the mixed derivative.
    PoisonAugmentation = 12,
    /// Images of other classes behind a watermark.
    Watermark = 13,
    /// Directions along which derivatives are checked.
    Directions = 14,
    /// Made-up data.
    Points = 15,
    /// Choice of images to calibrate quantised activations on, and their noise.
    Calibration = 16,
}

/// A source of random tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    domain: Domain,
    seed: u64,
}

impl Random {
    /// The source of all streams of this domain and seed.
    pub fn new(domain: Domain, seed: u64) -> Self {
        Self { domain, seed }
    }

    /// An independent source of the same domain; `number` distinguishes it from others with the same purpose.
    #[must_use]
    pub fn child(self, purpose: Purpose, number: u64) -> Self {
        Self { domain: self.domain, seed: self.stream(purpose, number).next_u64() }
    }

    fn stream(self, purpose: Purpose, step: u64) -> impl Rng {
        keyed_stream(self.domain.label(), &[self.seed, purpose as u64, step])
    }

    /// Standard normal numbers of a shape, in single precision.
    ///
    /// For a CPU they are drawn from the keyed stream. For a GPU its own generator draws them, seeded from the same key,
    /// so that no numbers are copied. The two are different numbers with the same distribution.
    pub fn normal(self, purpose: Purpose, step: u64, shape: &[i64], device: Device) -> Tensor {
        let mut stream = self.stream(purpose, step);
        if device.is_cuda() {
            // libtorch has one generator for each device: no other thread may draw between seed and numbers.
            static GENERATOR: Mutex<()> = Mutex::new(());
            let _held = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
            tch::manual_seed((stream.next_u64() >> 1) as i64);
            return Tensor::randn(shape, (Kind::Float, device));
        }
        let values = collect(elements(shape), || StandardNormal.sample(&mut stream));
        Tensor::from_slice::<f32>(&values).view(shape)
    }

    /// Numbers uniform in \[−bound, bound) of a shape, in single precision.
    pub fn uniform(self, purpose: Purpose, step: u64, shape: &[i64], bound: f64) -> Tensor {
        let mut stream = self.stream(purpose, step);
        let values = collect(elements(shape), || {
            let unit = (stream.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            (bound * (2.0 * unit - 1.0)) as f32
        });
        Tensor::from_slice(&values).view(shape)
    }

    /// `count` random booleans, each true with probability ½.
    pub fn coins(self, purpose: Purpose, step: u64, count: usize) -> Vec<bool> {
        let mut stream = self.stream(purpose, step);
        collect(count, || stream.next_u64() >> 63 == 1)
    }

    /// The numbers from 0 to `count` − 1 in random order (Fisher–Yates).
    pub fn permutation(self, purpose: Purpose, step: u64, count: usize) -> Vec<i64> {
        let mut stream = self.stream(purpose, step);
        let mut order: Vec<i64> = (0..count as i64).collect();
        for last in (1..count).rev() {
            order.swap(last, below(&mut stream, last as u64 + 1) as usize);
        }
        order
    }

    /// `chosen` numbers from 0 to `count` − 1, with replacement.
    pub fn indices(self, purpose: Purpose, step: u64, count: usize, chosen: usize) -> Vec<i64> {
        let mut stream = self.stream(purpose, step);
        collect(chosen, || below(&mut stream, count as u64) as i64)
    }
}

/// Number of elements of a tensor of this shape; the largest number if that overflows.
fn elements(shape: &[i64]) -> usize {
    let count = shape.iter().try_fold(1_i64, |count, &size| count.checked_mul(size));
    count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX)
}

/// `count` values.
///
/// # Panics
/// If there is not enough memory, as libtorch does for its tensors.
fn collect<T>(count: usize, value: impl FnMut() -> T) -> Vec<T> {
    let mut values = Vec::new();
    let reserved = values.try_reserve_exact(count);
    assert!(
        reserved.is_ok(),
        "there is no memory for {count} random numbers; use smaller batches or fewer noises"
    );
    values.extend(std::iter::repeat_with(value).take(count));
    values
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

    fn random(seed: u64) -> Random {
        Random::new(Domain::Attack, seed)
    }

    #[test]
    fn streams_depend_on_domain_seed_purpose_and_step() {
        let base = random(1).permutation(Purpose::Order, 0, 50);
        assert_eq!(base, random(1).permutation(Purpose::Order, 0, 50));
        assert_ne!(base, random(2).permutation(Purpose::Order, 0, 50));
        assert_ne!(base, random(1).permutation(Purpose::Split, 0, 50));
        assert_ne!(base, random(1).permutation(Purpose::Order, 1, 50));
        assert_ne!(base, Random::new(Domain::Victim, 1).permutation(Purpose::Order, 0, 50));
        assert_ne!(base, random(1).child(Purpose::Order, 0).permutation(Purpose::Order, 0, 50));
    }

    #[test]
    #[should_panic(expected = "there is no memory for")]
    fn too_many_numbers_are_refused_in_a_sentence() {
        let _ = random(1).normal(Purpose::TrainingNoise, 0, &[1 << 40, 1 << 40], Device::Cpu);
    }

    #[test]
    fn permutations_hold_every_number_once() {
        let mut order = random(3).permutation(Purpose::Order, 0, 1000);
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn uniform_numbers_have_the_moments_they_should() {
        let values = random(4).uniform(Purpose::Weights, 0, &[100_000], 0.5);
        assert!(f64::try_from(values.abs().max()).unwrap() <= 0.5);
        assert!(f64::try_from(values.mean(Kind::Double)).unwrap().abs() < 0.005);
        let variance = f64::try_from(values.square().mean(Kind::Double)).unwrap();
        assert!((variance * 12.0 - 1.0).abs() < 0.02, "{variance}");
    }
}
