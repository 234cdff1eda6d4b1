use std::{
    mem,
    ops::{AddAssign, Sub},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    batch_buffer::BatchBuffer,
    comparison::{Answered, Chosen, Comparison},
    forward::{Batch, Forward, Notices, forward},
};
use crate::{
    backend::{BackendError, Banked, Classifier},
    noise::Noise,
};

/// Where the time of the workers went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// Samples run.
    pub samples: u64,
    /// Making noise and adding it.
    pub noise: Duration,
    /// The model's forward pass.
    pub forward: Duration,
    /// Reading votes off the logits.
    pub count: Duration,
    /// Answering a share of the samples again, alone and in another batch.
    pub comparison: Duration,
    /// Samples answered again; all got the same answer.
    pub compared: u64,
}

impl Timings {
    /// Share of the time that was not spent in the forward pass.
    pub fn overhead(&self) -> f64 {
        let other = (self.noise + self.count + self.comparison).as_secs_f64();
        other / (other + self.forward.as_secs_f64()).max(f64::MIN_POSITIVE)
    }

    /// Share of the time that went into answering samples again.
    pub fn share_of_comparison(&self) -> f64 {
        let all = self.noise + self.forward + self.count + self.comparison;
        self.comparison.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl AddAssign for Timings {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.noise += other.noise;
        self.forward += other.forward;
        self.count += other.count;
        self.comparison += other.comparison;
        self.compared += other.compared;
    }
}

impl Sub for Timings {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            samples: self.samples - before.samples,
            noise: self.noise - before.noise,
            forward: self.forward - before.forward,
            count: self.count - before.count,
            comparison: self.comparison - before.comparison,
            compared: self.compared - before.compared,
        }
    }
}

/// Puts rows of `len` values into reverse order.
fn reverse_rows(rows: &mut [f32], len: usize) {
    let count = rows.len() / len.max(1);
    for row in 0..count / 2 {
        let (before, after) = rows.split_at_mut((count - 1 - row) * len);
        before[row * len..][..len].swap_with_slice(&mut after[..len]);
    }
}

/// One instance of the model with its buffers.
pub(super) struct Worker {
    model: Box<dyn Classifier>,
    batch: usize,
    logits: Vec<f32>,
    /// Noisy inputs, where they are not made ahead.
    pub noisy: Vec<f32>,
    /// Hears of a batch that had to be made smaller.
    pub notices: Option<Notices>,
    /// Answers a share of the samples again; none where that was left out.
    comparison: Option<Comparison>,
    chosen: Vec<Chosen>,
    /// Whether the model gets the samples of a slot in reverse order.
    pub is_reversed: bool,
    /// Nothing is run once this is true.
    pub stop: Option<Arc<AtomicBool>>,
    pub timings: Timings,
}

impl Worker {
    /// `batch` is the most inputs the model is given at once.
    pub fn new(model: Box<dyn Classifier>, batch: usize) -> Result<Self, BackendError> {
        let batch = model.fixed_batch().unwrap_or(batch);
        Ok(Self {
            comparison: Some(Comparison::new(&*model)?),
            model,
            batch,
            logits: Vec::new(),
            noisy: Vec::new(),
            notices: None,
            chosen: Vec::new(),
            is_reversed: false,
            stop: None,
            timings: Timings::default(),
        })
    }

    /// Answers no samples again.
    pub fn leave_comparison_out(&mut self) {
        self.comparison = None;
    }

    pub fn model(&self) -> &dyn Classifier {
        &*self.model
    }

    pub fn into_model(self) -> Box<dyn Classifier> {
        self.model
    }

    /// Runs the model on the noisy inputs of a slot, which `noise` draws if they are not there yet, and writes down the
    /// vote of each.
    pub fn run(&mut self, buffer: &mut BatchBuffer, noise: Option<&Noise>) -> Result<(), BackendError> {
        if self.model.has_bank() {
            return self.run_banked(buffer, noise);
        }
        if let Some(noise) = noise {
            mem::swap(&mut buffer.noisy, &mut self.noisy);
            // Where time is up, nothing will be run.
            if !buffer.is_late() {
                buffer.draw(noise, self.model.fixed_batch());
            }
        }
        self.choose(buffer);
        if self.is_reversed {
            let len = self.model.input_len();
            reverse_rows(&mut buffer.noisy, len);
            let rows = buffer.noisy.len() / len.max(1);
            self.chosen.reverse();
            self.chosen.iter_mut().for_each(|chosen| chosen.row = rows.saturating_sub(1 + chosen.row));
        }
        let started = Instant::now();
        let run = Forward { notices: self.notices.as_ref(), until: buffer.until, stop: self.stop.as_deref() };
        let Self { comparison, chosen, .. } = self;
        let (pieces, mut rest, mut compared) = (&buffer.pieces, &chosen[..], Duration::ZERO);
        let on_batch = |model: &mut dyn Classifier, batch: &Batch<'_>| {
            let Some(comparison) = comparison else { return Ok(()) };
            let (len, classes, before) = (model.input_len(), model.classes(), Instant::now());
            while let Some((&chosen, later)) = rest.split_first()
                && chosen.row < batch.first + batch.votes.len()
            {
                rest = later;
                let row = chosen.row - batch.first;
                let answered = Answered {
                    pieces,
                    chosen,
                    input: &batch.inputs[row * len..][..len],
                    vote: batch.votes[row],
                    logits: batch.logits.map(|logits| &logits[row * classes..][..classes]),
                };
                comparison.add(model, batch.most, &answered)?;
            }
            compared += before.elapsed();
            Ok(())
        };
        let (forward, count) = forward(
            &mut *self.model,
            &buffer.noisy,
            &mut self.batch,
            &mut self.logits,
            &mut buffer.voted,
            &run,
            on_batch,
        )?;
        if noise.is_some() {
            mem::swap(&mut buffer.noisy, &mut self.noisy);
        }
        if self.is_reversed {
            buffer.voted.reverse();
        }
        // What filled up the last batch of a model with a fixed one.
        buffer.voted.truncate(buffer.samples);
        buffer.work += started.elapsed();
        self.timings += Timings {
            samples: buffer.voted.len() as u64,
            noise: buffer.noise,
            forward,
            count,
            comparison: compared,
            compared: 0,
        };
        Ok(())
    }

    /// Chooses the samples of a slot that are answered again.
    fn choose(&mut self, buffer: &BatchBuffer) {
        if self.comparison.is_some() {
            buffer.choose(self.is_reversed, &mut self.chosen);
        } else {
            self.chosen.clear();
        }
    }

    /// Answers samples again that wait for it: once there are enough, or all of them at the end of a run.
    ///
    /// # Errors
    /// [`BackendError::Dependent`] if one gets another answer.
    pub fn compare(&mut self, is_end: bool) -> Result<(), BackendError> {
        let Some(comparison) = &mut self.comparison else { return Ok(()) };
        let started = Instant::now();
        let result = if is_end {
            comparison.finish(&mut *self.model, self.batch)
        } else {
            comparison.go_on(&mut *self.model, self.batch)
        };
        self.timings.comparison += started.elapsed();
        self.timings.compared = comparison.compared();
        result
    }

    /// The same for a model that keeps the noise itself. `noise` makes it once more for samples that are answered again.
    fn run_banked(&mut self, buffer: &mut BatchBuffer, noise: Option<&Noise>) -> Result<(), BackendError> {
        let started = Instant::now();
        if buffer.is_late() {
            return Ok(());
        }
        let banked: Vec<Banked<'_>> = buffer
            .pieces
            .iter()
            .map(|piece| Banked { image: &piece.image, key: piece.key, samples: piece.samples })
            .collect();
        self.model.banked_votes(&banked, &mut buffer.voted)?;
        let forward = started.elapsed();
        buffer.work += forward;
        self.timings += Timings { samples: buffer.samples as u64, forward, ..Timings::default() };
        self.choose(buffer);
        let (Some(comparison), Some(noise)) = (&mut self.comparison, noise) else { return Ok(()) };
        let (len, before) = (self.model.input_len(), Instant::now());
        for &chosen in &self.chosen {
            let piece = &buffer.pieces[chosen.piece];
            // A block is drawn from its start.
            self.noisy.resize((chosen.position + 1) * len, 0.0);
            noise.add(&piece.key, &piece.image, &mut self.noisy);
            let input = &self.noisy[chosen.position * len..];
            let vote = buffer.voted[chosen.row];
            let answered = Answered { pieces: &buffer.pieces, chosen, input, vote, logits: None };
            comparison.add(&mut *self.model, self.batch, &answered)?;
        }
        self.timings.comparison += before.elapsed();
        Ok(())
    }
}
