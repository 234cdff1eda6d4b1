use std::time::{Duration, Instant};

use crate::{
    backend::{Classifier, vote},
    certify::{CertifyError, Vote},
    noise::{BLOCK, Noise, NoiseKey, Role},
};

/// Runs noisy copies of one image through a model, a batch at a time, in memory of its own, until a deadline.
pub(super) struct Sampler {
    model: Box<dyn Classifier>,
    noise: Noise,
    seed: u64,
    /// Samples that the model gets at once.
    batch: usize,
    /// Of these, those that count: as many as blocks of noise divide into or as whole blocks hold.
    step: usize,
    noisy: Vec<f32>,
    logits: Vec<f32>,
    /// How long a batch may take: the longest of late.
    expected: Duration,
}

/// The samples of one image for one use.
pub(super) struct Task<'a> {
    pub image: &'a [f32],
    pub role: Role,
    pub frame: u64,
    /// Most samples.
    pub samples: u64,
    /// When to stop; `None` for never.
    pub deadline: Option<Instant>,
}

impl Sampler {
    /// Runs a few batches, so that all memory is there and it is known how long one takes.
    pub fn new(model: Box<dyn Classifier>, noise: Noise, seed: u64) -> Result<Self, CertifyError> {
        let batch = model.fixed_batch().unwrap_or(BLOCK as usize).max(1);
        let step = step(batch);
        let rows = step.max(BLOCK as usize) + batch - step;
        let (noisy, logits) = (vec![0.0; rows * model.input_len()], vec![0.0; batch * model.classes()]);
        let mut sampler = Self { model, noise, seed, batch, step, noisy, logits, expected: Duration::ZERO };
        let image = vec![0.0; sampler.model.input_len()];
        // The first ones take longer than all that follow.
        let mut shortest = Duration::MAX;
        for _ in 0..3 {
            sampler.expected = Duration::ZERO;
            let samples = sampler.step as u64;
            let task = Task { image: &image, role: Role::Selection, frame: 0, samples, deadline: None };
            sampler.run(&task, |_, _| Ok(false))?;
            shortest = shortest.min(sampler.expected);
        }
        sampler.expected = shortest;
        Ok(sampler)
    }

    pub fn model(&self) -> &dyn Classifier {
        &*self.model
    }

    /// Calls `on_vote` with the number of each sample, from 1, and its vote; returns how many there were. Stops when
    /// `on_vote` says that it has enough, or another batch would not be done by the deadline.
    pub fn run(
        &mut self,
        task: &Task<'_>,
        mut on_vote: impl FnMut(u64, Vote) -> Result<bool, CertifyError>,
    ) -> Result<u64, CertifyError> {
        let (len, classes) = (self.model.input_len(), self.model.classes());
        let chunk = self.step.max(BLOCK as usize);
        let mut done = 0;
        while done < task.samples {
            let started = Instant::now();
            if task.deadline.is_some_and(|deadline| deadline < started + self.expected) {
                if done == 0 && task.role == Role::Selection {
                    // Not even one: maybe the machine was busy when the last one was timed, so try again some time.
                    self.expected /= 2;
                }
                break;
            }
            let first = (done % chunk as u64) as usize;
            if first == 0 {
                self.draw(task, done / BLOCK, chunk);
            }
            self.model.logits(&self.noisy[first * len..(first + self.batch) * len], &mut self.logits)?;
            let counted = (task.samples - done).min(self.step as u64) as usize;
            for row in self.logits.chunks_exact(classes).take(counted) {
                done += 1;
                if on_vote(done, vote(row))? {
                    return Ok(done);
                }
            }
            self.expected = started.elapsed().max(self.expected.mul_f64(0.98));
        }
        Ok(done)
    }

    /// Fills the first `samples` of the buffer with noisy copies, from block `block` on.
    fn draw(&mut self, task: &Task<'_>, block: u64, samples: usize) {
        let len = task.image.len();
        for (block, noisy) in (block..).zip(self.noisy[..samples * len].chunks_mut(BLOCK as usize * len)) {
            let key = NoiseKey { seed: self.seed, role: task.role, input: task.frame, block };
            self.noise.add(&key, task.image, noisy);
        }
    }
}

/// The largest number up to `batch` that divides a block, or is a whole number of blocks.
fn step(batch: usize) -> usize {
    let block = BLOCK as usize;
    if batch >= block {
        batch / block * block
    } else {
        (1..=batch).rev().find(|&step| block.is_multiple_of(step)).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fit_blocks() {
        for (batch, expected) in [(1, 1), (3, 2), (10, 8), (63, 32), (64, 64), (100, 64), (300, 256)] {
            assert_eq!(step(batch), expected, "{batch}");
        }
    }
}
