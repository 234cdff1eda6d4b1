use std::{
    ops::AddAssign,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    forward::{Notices, forward},
    schedule::Batch,
};
use crate::{
    backend::{BackendError, Classifier, make_room},
    noise::{Noise, NoiseKey, Role},
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
    /// Counting votes.
    pub count: Duration,
}

impl Timings {
    /// Share of the time that was not spent in the forward pass.
    pub fn overhead(&self) -> f64 {
        let other = (self.noise + self.count).as_secs_f64();
        other / (other + self.forward.as_secs_f64()).max(f64::MIN_POSITIVE)
    }
}

impl AddAssign for Timings {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.noise += other.noise;
        self.forward += other.forward;
        self.count += other.count;
    }
}

/// Votes of one piece of a batch.
pub(super) struct PieceVotes {
    pub input: u64,
    pub role: Role,
    pub samples: u64,
    pub votes: Vec<u64>,
    pub seconds: f64,
}

/// One instance of the model with its buffers.
pub(super) struct Worker {
    model: Box<dyn Classifier>,
    noise: Noise,
    batch: usize,
    noisy: Vec<f32>,
    logits: Vec<f32>,
    /// Hears of a batch that had to be made smaller.
    pub notices: Option<Notices>,
    pub timings: Timings,
}

impl Worker {
    /// `batch` is the most inputs the model is given at once.
    pub fn new(model: Box<dyn Classifier>, noise: Noise, batch: usize) -> Self {
        let batch = model.fixed_batch().unwrap_or(batch);
        Self {
            model,
            noise,
            batch,
            noisy: Vec::new(),
            logits: Vec::new(),
            notices: None,
            timings: Timings::default(),
        }
    }

    pub fn model(&self) -> &dyn Classifier {
        &*self.model
    }

    pub fn into_model(self) -> Box<dyn Classifier> {
        self.model
    }

    /// Draws the noise of a batch, runs the model and counts votes piece by piece.
    pub fn run(&mut self, batch: &Batch) -> Result<Vec<PieceVotes>, BackendError> {
        let (len, classes) = (self.model.input_len(), self.model.classes());
        let started = Instant::now();
        let padded = match self.model.fixed_batch() {
            Some(size) => batch.samples.next_multiple_of(size),
            None => batch.samples,
        };
        make_room(&mut self.noisy, padded.saturating_mul(len), batch.samples)?;
        let mut rest = &mut self.noisy[..];
        for piece in &batch.pieces {
            let (samples, after) = rest.split_at_mut(piece.samples * len);
            self.noise.add(&piece.key, &piece.image, samples);
            rest = after;
        }
        let noise_done = Instant::now();

        let (classes_voted, forward, mut count) =
            forward(&mut *self.model, &self.noisy, &mut self.batch, &mut self.logits, self.notices.as_ref())?;
        let before = Instant::now();
        let mut voted = classes_voted.into_iter();
        let mut results: Vec<PieceVotes> = batch
            .pieces
            .iter()
            .map(|piece| {
                let NoiseKey { role, .. } = piece.key;
                let mut votes = vec![0; classes];
                for class in voted.by_ref().take(piece.samples).flatten() {
                    votes[class] += 1;
                }
                PieceVotes { input: piece.input, role, samples: piece.samples as u64, votes, seconds: 0.0 }
            })
            .collect();
        count += before.elapsed();

        let seconds = started.elapsed().as_secs_f64() / batch.samples as f64;
        for result in &mut results {
            result.seconds = seconds * result.samples as f64;
        }
        self.timings +=
            Timings { samples: batch.samples as u64, noise: noise_done - started, forward, count };
        Ok(results)
    }
}
