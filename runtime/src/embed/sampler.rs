use std::time::{Duration, Instant};

use rand_core::Rng;

use crate::{
    backend::{BackendError, Classifier, Difference, Rounding, vote},
    certify::{CertifyError, Vote},
    noise::{BLOCK, Noise, NoiseKey, Role, keyed_stream},
};

/// One frame in this many has a sample that is answered again, alone.
const FRAMES: u64 = 16;
/// Samples that are answered again when a model is made ready.
const AT_LOAD: usize = 16;

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
    rounding: Rounding,
    /// Buffers for a sample that is answered again.
    room: Vec<f32>,
    answer: Vec<f32>,
    /// Whether there was no time yet for a sample that is to be answered again.
    is_owed: bool,
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
        for number in 0..AT_LOAD.min(sampler.step) {
            let row = number * sampler.step / AT_LOAD.min(sampler.step);
            sampler.compare(row, 0)?;
        }
        Ok(sampler)
    }

    /// Answers a sample of the last batch, which began a chunk, again, alone.
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
                    "gets another answer alone (its logits differ by {difference:.3e}, and by rounding at most \
                     {allowed:.3e}): the model's answer to an input depends on the others in its batch, or is random, so \
                     that votes prove nothing; give it one input at a time (batch 1)"
                ),
            }),
        }
    }

    /// Whether a sample of the selection of this frame is to be answered again, and which row of its first batch.
    fn chosen(&self, frame: u64) -> (bool, usize) {
        let mut stream = keyed_stream("mithridate comparison of frames v1", &[self.seed, frame]);
        let is_chosen = stream.next_u64().is_multiple_of(FRAMES);
        (is_chosen, (stream.next_u64() % self.step as u64) as usize)
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
        let (is_chosen, row) = self.chosen(task.frame);
        self.is_owed |= is_chosen && task.role == Role::Selection;
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
            let is_first = self.is_owed && task.role == Role::Selection && first == 0;
            // It takes as long as a batch, and another one must come after.
            let later = Instant::now() + 2 * self.expected;
            if is_first && row < counted && task.deadline.is_none_or(|deadline| later < deadline) {
                self.compare(row, task.frame)?;
                self.is_owed = false;
            }
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
