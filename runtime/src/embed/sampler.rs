use std::time::{Duration, Instant};

use rand_core::Rng;

use crate::{
    backend::{BackendError, Classifier, Difference, Rounding, vote},
    certify::{CertifyError, Vote},
    noise::{BLOCK, Noise, NoiseKey, Role, keyed_stream},
};

/// On average one frame in `FRAMES` has a sample that is answered again alone.
const FRAMES: u64 = 16;
/// Number of samples that are answered again when the sampler is made.
const AT_LOAD: usize = 16;

/// Runs noisy copies of one image through a model, batch by batch, until a deadline. All buffers are allocated once.
pub(super) struct Sampler {
    model: Box<dyn Classifier>,
    noise: Noise,
    seed: u64,
    /// Number of samples in a batch of the model.
    batch: usize,
    /// Number of samples of a batch that are counted: a divisor of the block size, or a whole number of blocks.
    step: usize,
    noisy: Vec<f32>,
    logits: Vec<f32>,
    rounding: Rounding,
    /// Buffers for a sample that is answered again: input and logits.
    room: Vec<f32>,
    answer: Vec<f32>,
    /// Whether a comparison was postponed for lack of time.
    is_owed: bool,
    /// Expected time of a batch: the longest recent time, slowly decreasing.
    expected: Duration,
}

/// The samples to be run for one image and one role.
pub(super) struct Task<'a> {
    pub image: &'a [f32],
    pub role: Role,
    pub frame: u64,
    /// Largest number of samples.
    pub samples: u64,
    /// Time at which to stop; `None` for no limit.
    pub deadline: Option<Instant>,
}

impl Sampler {
    /// Allocates the buffers, runs a few batches to measure their time, and compares some logits with those of samples
    /// alone.
    pub fn new(model: Box<dyn Classifier>, noise: Noise, seed: u64) -> Result<Self, CertifyError> {
        let batch = model.fixed_batch().unwrap_or(BLOCK as usize).max(1);
        let step = step(batch);
        let rows = step.max(BLOCK as usize) + batch - step;
        let (noisy, logits) = (vec![0.0; rows * model.input_len()], vec![0.0; batch * model.classes()]);
        let alone = model.fixed_batch().unwrap_or(1);
        let rounding = Rounding::new(model.rounding());
        let (room, answer) = (vec![0.0; alone * model.input_len()], vec![0.0; alone * model.classes()]);
        let mut sampler = Self {
            model,
            noise,
            seed,
            batch,
            step,
            noisy,
            logits,
            rounding,
            room,
            answer,
            is_owed: false,
            expected: Duration::ZERO,
        };
        let image = vec![0.0; sampler.model.input_len()];
        // The first batches take longer than all later ones, so use the shortest time.
        let mut shortest = Duration::MAX;
        for _ in 0..3 {
            sampler.expected = Duration::ZERO;
            let samples = sampler.step as u64;
            let task = Task { image: &image, role: Role::Selection, frame: 0, samples, deadline: None };
            sampler.run(&task, |_, _| Ok(false))?;
            shortest = shortest.min(sampler.expected);
        }
        sampler.expected = shortest;
        for number in 0..AT_LOAD.min(sampler.step) {
            let row = number * sampler.step / AT_LOAD.min(sampler.step);
            sampler.compare(row, 0)?;
        }
        Ok(sampler)
    }

    /// Answers sample `row` of the last batch again alone and compares the logits. The batch must be the first of a
    /// chunk.
    fn compare(&mut self, row: usize, frame: u64) -> Result<(), BackendError> {
        let (len, classes) = (self.model.input_len(), self.model.classes());
        self.model.alone(&self.noisy[row * len..][..len], &mut self.room, &mut self.answer)?;
        let (before, after) = (&self.logits[row * classes..][..classes], &self.answer[..classes]);
        self.rounding.see(before);
        match self.rounding.compare(before, after) {
            None | Some(Difference::Vote) => Ok(()),
            Some(Difference::Answer { difference, allowed }) => Err(BackendError::Dependent {
                index: frame,
                role: Role::Selection.name(),
                number: row as u64,
                problem: format!(
                    "gets another answer alone (its logits differ by {difference:.3e}, and rounding explains at most \
                     {allowed:.3e}): the model's answer to an input depends on the other inputs of its batch, or is \
                     random, so that votes prove nothing; give it one input at a time (batch 1)"
                ),
            }),
        }
    }

    /// Whether a selection sample of this frame is to be answered again, and its row in the first batch.
    fn chosen(&self, frame: u64) -> (bool, usize) {
        let mut stream = keyed_stream("mithridate comparison of frames v1", &[self.seed, frame]);
        let is_chosen = stream.next_u64().is_multiple_of(FRAMES);
        (is_chosen, (stream.next_u64() % self.step as u64) as usize)
    }

    pub fn model(&self) -> &dyn Classifier {
        &*self.model
    }

    /// Runs samples and calls `on_vote` with the number of each sample, from 1, and its vote. Returns the number of
    /// samples. Stops when `on_vote` returns true, or when another batch would not be finished by the deadline.
    pub fn run(
        &mut self,
        task: &Task<'_>,
        mut on_vote: impl FnMut(u64, Vote) -> Result<bool, CertifyError>,
    ) -> Result<u64, CertifyError> {
        let (len, classes) = (self.model.input_len(), self.model.classes());
        let chunk = self.step.max(BLOCK as usize);
        let (is_chosen, row) = self.chosen(task.frame);
        self.is_owed |= is_chosen && task.role == Role::Selection;
        let mut done = 0;
        while done < task.samples {
            let started = Instant::now();
            if task.deadline.is_some_and(|deadline| deadline < started + self.expected) {
                if done == 0 && task.role == Role::Selection {
                    // Not even one batch fits. The expected time may be outdated, so lower it: some later frame tries
                    // again.
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
            let is_first = self.is_owed && task.role == Role::Selection && first == 0;
            // The comparison takes as long as a batch, and at least one more batch must fit after it.
            let later = Instant::now() + 2 * self.expected;
            if is_first && row < counted && task.deadline.is_none_or(|deadline| later < deadline) {
                self.compare(row, task.frame)?;
                self.is_owed = false;
            }
        }
        Ok(done)
    }

    /// Fills the buffer with `samples` noisy copies of the image, starting with block `block` of the noise.
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
