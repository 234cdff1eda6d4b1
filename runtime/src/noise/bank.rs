use std::{
    collections::TryReserveError,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{BLOCK, Noise, NoiseKey, NoiseMode, Role};

/// The noise bank: all the noise of a run in which inputs share their noise. It contains the blocks of each role, one
/// role after the other.
///
/// ```
/// use mithridate_runtime::noise::{BLOCK, NoiseBank, NoiseMode, Role};
///
/// let bank = NoiseBank::new(7, &[(Role::Selection, 100), (Role::Estimation, 1000)]);
/// assert_eq!(bank.blocks(), 2 + 16);
/// assert_eq!(bank.place(&NoiseMode::Shared.key(7, Role::Estimation, 3, 5)), Some(2 + 5));
/// // Noise of one input alone is in no bank.
/// assert_eq!(bank.place(&NoiseMode::Independent.key(7, Role::Estimation, 3, 5)), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoiseBank {
    seed: u64,
    /// Each role with the index of its first block and the index after its last block.
    roles: Vec<(Role, usize, usize)>,
}

impl NoiseBank {
    /// A bank for the run with seed `seed`; `samples` gives the number of samples of each role.
    pub fn new(seed: u64, samples: &[(Role, u64)]) -> Self {
        let mut roles = Vec::new();
        let mut start = 0;
        for &(role, samples) in samples {
            let end = start + samples.div_ceil(BLOCK) as usize;
            roles.push((role, start, end));
            start = end;
        }
        Self { seed, roles }
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.roles.last().map_or(0, |&(_, _, end)| end)
    }

    /// The index in the bank of the block that `key` names; `None` if the bank does not contain it.
    pub fn place(&self, key: &NoiseKey) -> Option<usize> {
        let &(role, start, end) = self.roles.iter().find(|(role, ..)| *role == key.role)?;
        let place = start + usize::try_from(key.block).ok()?;
        (place < end && *key == NoiseMode::Shared.key(self.seed, role, 0, key.block)).then_some(place)
    }

    /// Draws the whole bank for images of `values` values on `threads` threads. Shape: blocks × [`BLOCK`] × `values`.
    ///
    /// Each block is the noise added to an image of zeros. Adding it to another image in single precision gives the same
    /// values as [`Noise::add`], except for noise on the grid of 1/255, which is not simply added.
    ///
    /// # Errors
    /// [`TryReserveError`] if the bank does not fit into memory.
    pub fn draw(&self, noise: &Noise, values: usize, threads: usize) -> Result<Vec<f32>, TryReserveError> {
        let (mut bank, zeros) = (Vec::new(), vec![0.0; values]);
        let size = self.blocks().saturating_mul(BLOCK as usize).saturating_mul(values);
        bank.try_reserve_exact(size)?;
        bank.resize(size, 0.0);
        if bank.is_empty() {
            return Ok(bank);
        }
        let keys = self.roles.iter().flat_map(|&(role, start, end)| {
            (0..(end - start) as u64).map(move |block| NoiseMode::Shared.key(self.seed, role, 0, block))
        });
        let keys: Vec<NoiseKey> = keys.collect();
        let blocks: Vec<_> = bank
            .chunks_mut(BLOCK as usize * values)
            .zip(keys)
            .map(|work| std::sync::Mutex::new(Some(work)))
            .collect();
        let next = AtomicUsize::new(0);
        let draw = || {
            while let Some(work) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                let taken = work.lock().ok().and_then(|mut work| work.take());
                if let Some((block, key)) = taken {
                    noise.add(&key, &zeros, block);
                }
            }
        };
        thread::scope(|scope| {
            // This thread draws too, so that the work is done even if no other thread can be started.
            for _ in 1..threads {
                let _ = thread::Builder::new().spawn_scoped(scope, draw);
            }
            draw();
        });
        Ok(bank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{noise::Distribution, units::Sigma};

    #[test]
    fn image_and_bank_make_what_the_key_makes_whatever_the_threads() {
        let bank = NoiseBank::new(11, &[(Role::Selection, 70), (Role::Estimation, 200)]);
        let image: Vec<f32> = (0..12).map(|value| value as f32 / 11.0).collect();
        for distribution in [Distribution::Gaussian, Distribution::Uniform] {
            let noise = Noise::new(distribution, Sigma::new(0.3).unwrap()).unwrap();
            let drawn = bank.draw(&noise, image.len(), 3).unwrap();
            assert_eq!(drawn, bank.draw(&noise, image.len(), 1).unwrap());
            for (role, block) in [(Role::Selection, 1), (Role::Estimation, 0), (Role::Estimation, 3)] {
                let key = NoiseMode::Shared.key(11, role, 4, block);
                let mut expected = vec![0.0; BLOCK as usize * image.len()];
                noise.add(&key, &image, &mut expected);
                let place = bank.place(&key).unwrap() * expected.len();
                let found = &drawn[place..place + expected.len()];
                for (sample, expected) in found.chunks(image.len()).zip(expected.chunks(image.len())) {
                    for ((noise, pixel), expected) in sample.iter().zip(&image).zip(expected) {
                        assert_eq!((pixel + noise).to_bits(), expected.to_bits());
                    }
                }
            }
        }
    }

    #[test]
    fn only_shared_noise_of_the_run_is_in_the_bank() {
        let bank = NoiseBank::new(11, &[(Role::Selection, 64), (Role::Estimation, 65)]);
        let shared = |seed, role, block| bank.place(&NoiseMode::Shared.key(seed, role, 0, block));
        assert_eq!(shared(11, Role::Estimation, 1), Some(2));
        assert_eq!(shared(11, Role::Estimation, 2), None);
        assert_eq!(shared(11, Role::Prediction, 0), None);
        assert_eq!(shared(12, Role::Estimation, 0), None);
        let noise = Noise::new(Distribution::Gaussian, Sigma::new(0.3).unwrap()).unwrap();
        assert!(NoiseBank::new(1, &[]).draw(&noise, 4, 2).unwrap().is_empty());
        assert!(NoiseBank::new(1, &[(Role::Estimation, u64::MAX)]).draw(&noise, 4, 2).is_err());
    }
}
