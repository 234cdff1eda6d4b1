use rand_core::Rng;

use super::*;
use crate::noise::keyed_stream;

/// Every level of an 8-bit image.
fn levels(values: usize) -> Vec<f32> {
    (0..values).map(|place| (place % 256) as f32 / GRID).collect()
}

fn noise(distribution: Distribution, sigma: f64) -> Noise {
    Noise::new(distribution, Sigma::new(sigma).unwrap()).unwrap()
}

/// The result of the self-test, without known answers, for correct noise changed by `crook`.
fn self_test(
    noise: &Noise,
    seed: u64,
    values: usize,
    mut crook: impl FnMut(&NoiseKey, &[f32], &mut [f32]),
) -> Result<(), Test> {
    Draws::new(seed, &[0, 3, 7], &levels(values), |key, image, batch| {
        noise.add(key, image, batch);
        crook(key, image, batch);
    })
    .check(noise)
    .map_err(|error| error.test)
}

/// Changes the noise of each value, the image left as it is.
fn each(mut change: impl FnMut(f32) -> f32) -> impl FnMut(&NoiseKey, &[f32], &mut [f32]) {
    move |_, image, batch| {
        for sample in batch.chunks_exact_mut(image.len()) {
            for (value, pixel) in sample.iter_mut().zip(image) {
                *value = pixel + change(*value - pixel);
            }
        }
    }
}

const SIGMA: f64 = 0.25;
const SIZE: usize = 784;

fn caught(crook: impl FnMut(&NoiseKey, &[f32], &mut [f32])) -> Option<Test> {
    self_test(&noise(Distribution::Gaussian, SIGMA), 5, SIZE, crook).err()
}

#[test]
fn good_noise_passes_for_a_thousand_seeds() {
    let gaussian = noise(Distribution::Gaussian, SIGMA);
    for seed in 0..1000 {
        assert_eq!(check_noise(&gaussian, seed, &[seed, 1], 3 * 32 * 32), Ok(()), "seed {seed}");
    }
}

#[test]
fn good_noise_of_every_kind_and_size_passes() {
    for distribution in [Distribution::Gaussian, Distribution::Uniform, Distribution::QuantizedGaussian] {
        for sigma in [0.002, 0.01, 0.25, 1.0, 16.0] {
            let noise = noise(distribution, sigma);
            for values in [1, 2, 17, 784, 70_000] {
                for seed in 0..3 {
                    let result = check_noise(&noise, seed, &[], values);
                    assert_eq!(result, Ok(()), "{distribution}, sigma {sigma}, {values} values, seed {seed}");
                }
            }
        }
    }
    for distribution in [Distribution::Gaussian, Distribution::Uniform] {
        for sigma in [1e-4, 1e4] {
            assert_eq!(
                check_noise(&noise(distribution, sigma), 1, &[5], 3072),
                Ok(()),
                "{distribution} {sigma}"
            );
        }
    }
}

#[test]
fn a_variance_off_by_three_per_cent_is_caught() {
    for factor in [0.97_f32, 1.03] {
        assert_eq!(caught(each(|eta| eta * factor.sqrt())), Some(Test::Variance), "{factor}");
    }
}

#[test]
fn a_shifted_mean_is_caught() {
    for shift in [-0.02, 0.02] {
        assert_eq!(caught(each(|eta| eta + shift * SIGMA as f32)), Some(Test::Mean), "{shift}");
    }
}

#[test]
fn tails_cut_off_are_caught() {
    // Values beyond 3.5 σ are clamped, or replaced.
    let end = 3.5 * SIGMA as f32;
    let clamped = caught(each(|eta| eta.clamp(-end, end)));
    assert!(matches!(clamped, Some(Test::FourthMoment | Test::Tails)), "{clamped:?}");
    let redrawn = caught(each(|eta| if eta.abs() > end { 0.1 * eta } else { eta }));
    assert!(matches!(redrawn, Some(Test::FourthMoment | Test::Tails)), "{redrawn:?}");
}

#[test]
fn a_distribution_with_the_right_moments_is_caught() {
    // Three values with the moments 1 and 3 of order 2 and 4 of the normal distribution.
    let three = |eta: f32| {
        let bound = 0.967_421_57 * SIGMA as f32;
        if eta.abs() < bound { 0.0 } else { eta.signum() * (3.0_f64.sqrt() * SIGMA) as f32 }
    };
    assert!(matches!(caught(each(three)), Some(Test::Tails | Test::Distribution)));
    // 2 % of the probability is moved within the middle of the distribution.
    let dent = |eta: f32| if (0.0..0.0125).contains(&eta) { -eta } else { eta };
    assert_eq!(caught(each(dent)), Some(Test::Distribution));
}

#[test]
fn samples_that_resemble_the_one_before_are_caught() {
    for rho in [-0.05_f32, 0.05] {
        let crook = |_: &NoiseKey, image: &[f32], batch: &mut [f32]| {
            for start in (image.len()..batch.len()).step_by(image.len()) {
                let (before, after) = batch.split_at_mut(start);
                let before = &before[start - image.len()..];
                for ((value, pixel), old) in after.iter_mut().zip(image).zip(before) {
                    let eta = *value - pixel;
                    *value = pixel + rho * (old - pixel) + (1.0 - rho * rho).sqrt() * eta;
                }
            }
        };
        assert_eq!(caught(crook), Some(Test::Correlation), "{rho}");
    }
}

#[test]
fn neighbouring_values_that_go_together_are_caught() {
    let mut old = 0.0;
    assert_eq!(
        caught(each(|eta| {
            old = 0.02 * old + (1.0_f32 - 0.0004).sqrt() * eta;
            old
        })),
        Some(Test::Correlation)
    );
}

#[test]
fn a_small_part_common_to_all_samples_is_caught() {
    let mut common = vec![0.0; SIZE];
    noise(Distribution::Gaussian, SIGMA).add(
        &NoiseKey { seed: 77, role: Role::Selection, input: 0, block: 0 },
        &vec![0.0; SIZE],
        &mut common,
    );
    // One part in a thousand of the variance.
    let (share, rest) = (0.001_f32.sqrt(), 0.999_f32.sqrt());
    let crook = |_: &NoiseKey, image: &[f32], batch: &mut [f32]| {
        for sample in batch.chunks_exact_mut(image.len()) {
            for ((value, pixel), common) in sample.iter_mut().zip(image).zip(&common) {
                *value = pixel + share * common + rest * (*value - pixel);
            }
        }
    };
    assert_eq!(caught(crook), Some(Test::Correlation));
}

#[test]
fn samples_that_are_copies_with_other_signs_are_caught() {
    let mut signs = keyed_stream("test", &[1]);
    let crook = |_: &NoiseKey, image: &[f32], batch: &mut [f32]| {
        for pair in batch.chunks_exact_mut(2 * image.len()) {
            let (first, second) = pair.split_at_mut(image.len());
            for ((value, first), pixel) in second.iter_mut().zip(first).zip(image) {
                let eta = *first - pixel;
                *value = if signs.next_u64() & 1 == 0 { pixel + eta } else { pixel - eta };
            }
        }
    };
    assert_eq!(caught(crook), Some(Test::Correlation));
}

/// A generator that forgets a part of its key gives the same block again.
#[test]
fn a_repeated_block_is_caught() {
    let good = noise(Distribution::Gaussian, SIGMA);
    let once = |key: &NoiseKey, image: &[f32], batch: &mut [f32]| {
        if key.block == 1 && key.input == 3 && key.role == Role::Selection {
            good.add(&NoiseKey { block: 0, input: 0, ..*key }, image, batch);
        }
    };
    assert_eq!(caught(once), Some(Test::Repetition));
    let no_block = |key: &NoiseKey, image: &[f32], batch: &mut [f32]| {
        good.add(&NoiseKey { block: 0, ..*key }, image, batch);
    };
    assert!(caught(no_block).is_some());
    let no_role = |key: &NoiseKey, image: &[f32], batch: &mut [f32]| {
        good.add(&NoiseKey { role: Role::Estimation, ..*key }, image, batch);
    };
    assert_eq!(caught(no_role), Some(Test::Correlation));
}

#[test]
fn a_value_that_is_no_number_is_caught() {
    let mut count = 0;
    let crook = each(|eta| {
        count += 1;
        if count == 1000 { f32::NAN } else { eta }
    });
    assert_eq!(caught(crook), Some(Test::Finite));
}

/// Typical faults of tables and integer arithmetic.
#[test]
fn crooked_noise_of_the_other_kinds_is_caught() {
    let uniform = noise(Distribution::Uniform, SIGMA);
    let wide = self_test(&uniform, 1, SIZE, each(|eta| eta * 1.02));
    assert!(wide.is_err());
    let quantized = noise(Distribution::QuantizedGaussian, SIGMA);
    // Rounding down instead of to the nearest level shifts the mean by half a level.
    let floored = self_test(&quantized, 1, SIZE, each(|eta| eta - 0.5 / 255.0));
    assert!(matches!(floored, Err(Test::Mean | Test::Distribution)), "{floored:?}");
    // Gaussian noise that was never rounded passes neither as uniform nor with another σ.
    let gaussian = noise(Distribution::Gaussian, SIGMA);
    let wrong = |expected: &Noise| {
        Draws::new(1, &[0], &levels(SIZE), |key, image, batch| gaussian.add(key, image, batch))
            .check(expected)
            .is_err()
    };
    assert!(wrong(&uniform) && wrong(&noise(Distribution::Gaussian, 0.26)));
}

#[test]
fn the_sentence_says_what_was_found() {
    let error = Draws::new(1, &[0], &levels(784), |_, image, batch| {
        batch.chunks_exact_mut(image.len()).for_each(|sample| sample.copy_from_slice(image));
    })
    .check(&noise(Distribution::Gaussian, 0.25))
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gaussian noise of this run does not have the distribution that certificates assume: its variance in units of \
         sigma is 0.00000 and should be 1.00000; no input was certified"
    );
}

#[test]
fn p_values_are_those_of_the_binomial() {
    // Four fair coins: two-sided p-value of four heads 2/16, of two heads 1.
    assert!((two_sided(4, 4, 0.5) - 0.125).abs() < 1e-12);
    assert!((two_sided(0, 4, 0.5) - 0.125).abs() < 1e-12);
    assert!((two_sided(2, 4, 0.5) - 1.0).abs() < 1e-12);
    // The exact law and its approximation agree where one takes over from the other.
    let law = ChiSquared::new(301.0).unwrap();
    for statistic in [200.0, 250.0, 380.0, 450.0] {
        let exact = 2.0 * law.cdf(statistic).min(law.sf(statistic));
        let ratio = chi_squared_p(statistic, 301) / exact;
        assert!((0.8..1.25).contains(&ratio), "{statistic}: {ratio}");
    }
}

#[test]
fn noise_is_tested_as_the_model_gets_it_at_an_input() {
    use crate::input::{InputPrecision, Preprocessing};
    let plain = InputPrecision::default();
    let half = |range| {
        let preprocessing = Preprocessing { range, ..Preprocessing::default() };
        InputPrecision::new(&preprocessing, [1, 28, 28], true)
    };
    let (bytes, small) = (half([0.0, 255.0]), half([0.0, 1.0]));
    for distribution in [Distribution::Gaussian, Distribution::Uniform] {
        let noise = Noise::new(distribution, Sigma::new(0.25).unwrap()).unwrap();
        let at = |value: f32, precision| check_noise_at(&noise, 3, 5, &[value; 784], precision);
        // The coarsest steps that are allowed: a 32nd of sigma.
        for (value, precision) in [(0.5, &plain), (131_000.0, &plain), (1.0, &bytes), (15.0, &small)] {
            assert!(precision.check(&[value; 784], 0.25).is_ok());
            at(value, precision).unwrap();
        }
        for (value, precision) in [(67_108_864.0, &plain), (4.0e6, &plain), (1000.0, &small)] {
            assert!(precision.check(&[value; 784], 0.25).is_err());
            let error = at(value, precision).unwrap_err();
            assert_ne!(error.test, Test::Finite, "{error}");
        }
    }
    let noise = Noise::new(Distribution::QuantizedGaussian, Sigma::new(0.25).unwrap()).unwrap();
    check_noise_at(&noise, 3, 5, &levels(784), &half([0.0, 255.0])).unwrap();
}
