use std::{
    mem,
    ops::AddAssign,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    forward::{Forward, Notices, forward},
    slot::Slot,
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

/// One instance of the model with its buffers.
pub(super) struct Worker {
    model: Box<dyn Classifier>,
    batch: usize,
    logits: Vec<f32>,
    /// Noisy inputs, where they are not made ahead.
    pub noisy: Vec<f32>,
    /// Hears of a batch that had to be made smaller.
    pub notices: Option<Notices>,
    pub timings: Timings,
}

impl Worker {
    /// `batch` is the most inputs the model is given at once.
    pub fn new(model: Box<dyn Classifier>, batch: usize) -> Self {
        let batch = model.fixed_batch().unwrap_or(batch);
        Self {
            model,
            batch,
            logits: Vec::new(),
            noisy: Vec::new(),
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

    /// Runs the model on the noisy inputs of a slot, which `noise` draws if they are not there yet, and writes down the
    /// vote of each.
    pub fn run(&mut self, slot: &mut Slot, noise: Option<&Noise>) -> Result<(), BackendError> {
        if self.model.has_bank() {
            return self.run_banked(slot);
        }
        if let Some(noise) = noise {
            mem::swap(&mut slot.noisy, &mut self.noisy);
            // Where time is up, nothing will be run.
            if !slot.is_late() {
                slot.draw(noise, self.model.fixed_batch());
            }
        }
        let started = Instant::now();
        let run = Forward { notices: self.notices.as_ref(), until: slot.until };
        let (forward, count) =
            forward(&mut *self.model, &slot.noisy, &mut self.batch, &mut self.logits, &mut slot.voted, &run)?;
        if noise.is_some() {
            mem::swap(&mut slot.noisy, &mut self.noisy);
        }
        // What filled up the last batch of a model with a fixed one.
        slot.voted.truncate(slot.samples);
        slot.work += started.elapsed();
        self.timings += Timings { samples: slot.voted.len() as u64, noise: slot.noise, forward, count };
        Ok(())
    }

    /// The same for a model that keeps the noise itself.
    fn run_banked(&mut self, slot: &mut Slot) -> Result<(), BackendError> {
        let started = Instant::now();
        if slot.is_late() {
            return Ok(());
        }
        let banked: Vec<Banked<'_>> = slot
            .pieces
            .iter()
            .map(|piece| Banked { image: &piece.image, key: piece.key, samples: piece.samples })
            .collect();
        self.model.banked_votes(&banked, &mut slot.voted)?;
        let forward = started.elapsed();
        slot.work += forward;
        self.timings += Timings { samples: slot.samples as u64, forward, ..Timings::default() };
        Ok(())
    }
}
