use rand_distr::{Distribution, StandardNormal};

use super::keyed_stream;
use crate::units::Sigma;

/// Samples in a block: the unit in which noise is keyed.
pub const BLOCK: u64 = 64;

/// What samples are used for. Noise of one role is never used for another: a bound must not use the samples that
/// chose the class it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Choosing the class, n0 samples.
    Selection = 0,
    /// Estimating its probability, n samples.
    Estimation = 1,
}

/// Names one block of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoiseKey {
    /// Seed of the run.
    pub seed: u64,
    /// What the samples are for.
    pub role: Role,
    /// Index of the input in its data set.
    pub input: u64,
    /// Number of the block, from 0.
    pub block: u64,
}

/// Writes `image + σ·η` for the first samples of a block, η ~ N(0, I) drawn by the block's own stream.
///
/// `batch` holds whole samples of the length of `image`, at most [`BLOCK`] of them; the noise is added in `f32` and
/// never clipped.
///
/// # Panics
/// If `batch` is not a whole number of samples, at most [`BLOCK`].
///
/// # Example
/// ```
/// use mithridate_runtime::{noise::{NoiseKey, Role, add_gaussian}, units::Sigma};
///
/// let key = NoiseKey { seed: 7, role: Role::Estimation, input: 0, block: 0 };
/// let sigma = Sigma::new(0.25)?;
/// let (mut one, mut three) = ([0.0; 4], [0.0; 12]);
/// add_gaussian(&key, sigma, &[0.5; 4], &mut one);
/// add_gaussian(&key, sigma, &[0.5; 4], &mut three);
/// assert_eq!(one, three[..4]);
/// # Ok::<(), mithridate_runtime::units::UnitError>(())
/// ```
pub fn add_gaussian(key: &NoiseKey, sigma: Sigma, image: &[f32], batch: &mut [f32]) {
    assert!(
        !image.is_empty()
            && batch.len().is_multiple_of(image.len())
            && batch.len() / image.len() <= BLOCK as usize,
        "a block holds at most {BLOCK} whole samples of {} values; {} were asked for",
        image.len(),
        batch.len()
    );
    let mut stream =
        keyed_stream("mithridate certification noise v1", &[key.seed, key.role as u64, key.input, key.block]);
    let sigma = sigma.get() as f32;
    for sample in batch.chunks_exact_mut(image.len()) {
        for (noisy, pixel) in sample.iter_mut().zip(image) {
            let eta: f32 = StandardNormal.sample(&mut stream);
            *noisy = pixel + sigma * eta;
        }
    }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ContinuousCDF, Normal};

    use super::*;

    fn draw(key: NoiseKey, samples: usize, len: usize) -> Vec<f32> {
        let mut batch = vec![0.0; samples * len];
        add_gaussian(&key, Sigma::new(1.0).unwrap(), &vec![0.0; len], &mut batch);
        batch
    }

    const KEY: NoiseKey = NoiseKey { seed: 1, role: Role::Selection, input: 2, block: 3 };

    /// The stream is part of what an evidence file claims: these numbers must never change.
    #[test]
    fn known_answers() {
        let known = [0.918_083_97, -0.014_480_540_5, -2.094_512_7, 0.879_333_6];
        assert_eq!(
            draw(KEY, 1, 4),
            known,
            "the noise stream changed; evidence files made before can't be replayed"
        );
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let base = draw(KEY, 1, 8);
        for other in [
            NoiseKey { seed: 9, ..KEY },
            NoiseKey { role: Role::Estimation, ..KEY },
            NoiseKey { input: 9, ..KEY },
            NoiseKey { block: 9, ..KEY },
        ] {
            assert_ne!(draw(other, 1, 8), base, "{other:?}");
        }
    }

    #[test]
    fn moments_tails_and_distribution_are_those_of_the_normal() {
        let mut values: Vec<f64> =
            (0..100).flat_map(|block| draw(NoiseKey { block, ..KEY }, 64, 64)).map(f64::from).collect();
        let n = values.len() as f64;
        let moment = |power: i32| values.iter().map(|v| v.powi(power)).sum::<f64>() / n;
        // Within five standard errors of the moments of N(0, 1).
        let bound = |variance: f64| 5.0 * (variance / n).sqrt();
        assert!(moment(1).abs() < bound(1.0));
        assert!((moment(2) - 1.0).abs() < bound(2.0));
        assert!(moment(3).abs() < bound(15.0));
        assert!((moment(4) - 3.0).abs() < bound(96.0));
        let beyond = values.iter().filter(|v| v.abs() > 4.0).count() as f64;
        let expected = n * 6.334e-5;
        assert!((beyond - expected).abs() < 5.0 * expected.sqrt(), "{beyond} {expected}");
        // Kolmogorov–Smirnov: sqrt(n)·D exceeds 1.95 with probability 0.001.
        values.sort_by(f64::total_cmp);
        let normal = Normal::standard();
        let distance = values.iter().enumerate().fold(0.0_f64, |worst, (i, v)| {
            let cdf = normal.cdf(*v);
            worst.max((cdf - i as f64 / n).abs()).max(((i + 1) as f64 / n - cdf).abs())
        });
        assert!(distance * n.sqrt() < 1.95, "{distance}");
    }
}
