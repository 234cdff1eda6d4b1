use std::{
    mem,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    batch_buffer::BatchBuffer,
    comparison::{Answered, Chosen, Comparison, choose},
    forward::{Batch, Forward, Notices, forward},
};
use crate::{
    backend::{Answers, BackendError, Classifier, KeyedSamples, NoiseSource, Samples, VoteSampler},
    noise::Noise,
};

/// Time that workers spent on each part of the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// Samples run.
    pub samples: u64,
    /// Drawing noise and adding it.
    pub noise: Duration,
    /// The model's forward pass.
    pub forward: Duration,
    /// Reading votes from the logits.
    pub count: Duration,
    /// Comparison: answering a share of the samples again, alone and in another batch.
    pub comparison: Duration,
    /// Number of samples compared; no answer differed by more than rounding explains.
    pub compared: u64,
}

impl Timings {
    /// Share of the time, from 0 to 1, that was not spent in the forward pass.
    pub fn overhead(&self) -> f64 {
        let other = (self.noise + self.count + self.comparison).as_secs_f64();
        other / (other + self.forward.as_secs_f64()).max(f64::MIN_POSITIVE)
    }

    /// Share of the time, from 0 to 1, that was spent on the comparison.
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

impl Timings {
    /// The difference to `before`, which are earlier timings of the same workers.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            samples: self.samples - before.samples,
            noise: self.noise.saturating_sub(before.noise),
            forward: self.forward.saturating_sub(before.forward),
            count: self.count.saturating_sub(before.count),
            comparison: self.comparison.saturating_sub(before.comparison),
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
    model: Box<dyn VoteSampler>,
    batch: usize,
    answers: Answers,
    /// Memory for noisy inputs if noise is not drawn ahead.
    pub noisy: Vec<f32>,
    /// Gets a notice when the batch size is halved.
    pub notices: Option<Notices>,
    /// Compares a share of the samples; `None` if the comparison is turned off.
    comparison: Option<Comparison>,
    chosen: Vec<Chosen>,
    /// Set for a replay: an unpredictable number. The model then gets the samples of a batch in reverse order, and more
    /// of them are compared, chosen by this number.
    pub verification: Option<u64>,
    /// The lowest number of an input with samples that wait for comparison.
    uncompared: Arc<AtomicU64>,
    /// No batch is begun once this is true.
    pub stop: Option<Arc<AtomicBool>>,
    pub timings: Timings,
}

impl Worker {
    /// A worker with its own comparison. `batch` is the largest number of inputs in one call of the model.
    pub fn new(model: Box<dyn VoteSampler>, batch: usize) -> Result<Self, BackendError> {
        let batch = model.classifier().fixed_batch().unwrap_or(batch);
        Ok(Self {
            comparison: Some(Comparison::new(model.classifier())?),
            model,
            batch,
            answers: Answers::default(),
            noisy: Vec::new(),
            notices: None,
            chosen: Vec::new(),
            verification: None,
            uncompared: Arc::new(AtomicU64::new(u64::MAX)),
            stop: None,
            timings: Timings::default(),
        })
    }

    /// Counts differences together with another worker of the same run.
    pub fn compare_with(&mut self, other: &Self) {
        if let (Some(own), Some(other)) = (&mut self.comparison, &other.comparison) {
            own.count_with(other);
        }
    }

    /// Turns off the comparison.
    pub fn leave_comparison_out(&mut self) {
        self.comparison = None;
    }

    pub fn model(&self) -> &dyn Classifier {
        self.model.classifier()
    }

    /// The lowest number of an input with samples that wait for comparison; `u64::MAX` if none wait. Results of this
    /// input and later ones are not final yet.
    pub fn uncompared(&self) -> Arc<AtomicU64> {
        self.uncompared.clone()
    }

    pub fn noise_source(&self) -> NoiseSource {
        self.model.noise_source()
    }

    pub fn into_model(self) -> Box<dyn VoteSampler> {
        self.model
    }

    /// Runs the model on the samples of a batch buffer and writes their votes to `buffer.voted`. `noise` is given if
    /// the noise was not drawn ahead.
    pub fn run(&mut self, buffer: &mut BatchBuffer, noise: Option<&Noise>) -> Result<(), BackendError> {
        match self.model.noise_source() {
            NoiseSource::Engine => self.run_keyed(buffer, noise),
            NoiseSource::Caller => self.run_noisy(buffer, noise),
        }?;
        self.tell_uncompared();
        Ok(())
    }

    fn tell_uncompared(&self) {
        let first = self.comparison.as_ref().map_or(u64::MAX, Comparison::first_waiting);
        self.uncompared.store(first, Ordering::SeqCst);
    }

    fn run_noisy(&mut self, buffer: &mut BatchBuffer, noise: Option<&Noise>) -> Result<(), BackendError> {
        let (len, fixed_batch) = (self.model().input_len(), self.model().fixed_batch());
        if let Some(noise) = noise {
            mem::swap(&mut buffer.noisy, &mut self.noisy);
            // After the deadline the model is not run, so no noise is needed.
            if !buffer.is_late() {
                buffer.draw(noise, fixed_batch);
            }
        }
        self.choose(buffer);
        if self.verification.is_some() {
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
        mem::swap(&mut buffer.voted, &mut self.answers.votes);
        let result =
            forward(&mut *self.model, &buffer.noisy, &mut self.batch, &mut self.answers, &run, on_batch);
        mem::swap(&mut buffer.voted, &mut self.answers.votes);
        let time = result?;
        if noise.is_some() {
            mem::swap(&mut buffer.noisy, &mut self.noisy);
        }
        if self.verification.is_some() {
            buffer.voted.reverse();
        }
        // Removes the votes of the rows that filled up the last batch of a model with a fixed batch size.
        buffer.voted.truncate(buffer.samples);
        buffer.work += started.elapsed();
        self.timings += Timings {
            samples: buffer.voted.len() as u64,
            noise: buffer.noise,
            forward: time.forward,
            count: time.count,
            comparison: compared,
            compared: 0,
        };
        Ok(())
    }

    /// Chooses the samples of a batch buffer that are compared.
    fn choose(&mut self, buffer: &BatchBuffer) {
        if self.comparison.is_some() {
            choose(&buffer.pieces, self.verification, &mut self.chosen);
        } else {
            self.chosen.clear();
        }
    }

    /// Answers again the samples that wait for comparison: once there are enough for a batch, or all of them at the end
    /// of a run.
    ///
    /// # Errors
    /// [`BackendError::Dependent`] if a sample gets another answer.
    pub fn compare(&mut self, is_end: bool) -> Result<(), BackendError> {
        let Some(comparison) = &mut self.comparison else { return Ok(()) };
        let started = Instant::now();
        let result = if is_end {
            comparison.finish(self.model.classifier_mut(), self.batch)
        } else {
            comparison.go_on(self.model.classifier_mut(), self.batch)
        };
        self.timings.comparison += started.elapsed();
        self.timings.compared = comparison.compared();
        result?;
        self.tell_uncompared();
        Ok(())
    }

    /// As [`run_noisy`](Self::run_noisy) for a model that adds the noise itself. `noise` draws it again for the samples
    /// that are compared.
    fn run_keyed(&mut self, buffer: &mut BatchBuffer, noise: Option<&Noise>) -> Result<(), BackendError> {
        let started = Instant::now();
        if buffer.is_late() {
            return Ok(());
        }
        let keyed: Vec<KeyedSamples<'_>> = buffer
            .pieces
            .iter()
            .map(|piece| KeyedSamples { image: &piece.image, key: piece.key, samples: piece.samples })
            .collect();
        mem::swap(&mut buffer.voted, &mut self.answers.votes);
        let result = self.model.votes(Samples::Keyed(&keyed), &mut self.answers);
        mem::swap(&mut buffer.voted, &mut self.answers.votes);
        result?;
        let forward = started.elapsed();
        buffer.work += forward;
        self.timings += Timings { samples: buffer.samples as u64, forward, ..Timings::default() };
        self.choose(buffer);
        let (Some(comparison), Some(noise)) = (&mut self.comparison, noise) else { return Ok(()) };
        let (len, before) = (self.model.classifier().input_len(), Instant::now());
        for &chosen in &self.chosen {
            let piece = &buffer.pieces[chosen.piece];
            // The stream of a block starts at its first sample, so the samples before the chosen one are drawn too.
            self.noisy.resize((chosen.position + 1) * len, 0.0);
            noise.add(&piece.key, &piece.image, &mut self.noisy);
            let input = &self.noisy[chosen.position * len..];
            let vote = buffer.voted[chosen.row];
            let answered = Answered { pieces: &buffer.pieces, chosen, input, vote, logits: None };
            comparison.add(self.model.classifier_mut(), self.batch, &answered)?;
        }
        self.timings.comparison += before.elapsed();
        Ok(())
    }
}
