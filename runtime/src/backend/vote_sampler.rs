use std::time::{Duration, Instant};

use super::{BackendError, Classifier, vote};
use crate::{noise::NoiseKey, votes::Vote};

/// What certification runs: a model that votes on noisy samples.
///
/// Every [`Classifier`] is one: its votes are read from its logits, and the noise is added before. An engine that counts
/// votes by itself, or adds the noise too, implements this trait and not `Classifier`.
pub trait VoteSampler: Send {
    /// The model, as it gives the logits of inputs.
    fn classifier(&self) -> &dyn Classifier;

    /// The same, to be run: by this, samples are answered again.
    fn classifier_mut(&mut self) -> &mut dyn Classifier;

    /// Who adds the noise.
    fn noise_source(&self) -> NoiseSource {
        NoiseSource::Caller
    }

    /// Appends the vote of each sample, in their order, to `answers.votes`, as [`vote`] tells it from logits. Replaces
    /// `answers.logits` by the N×K logits of these samples, or by nothing where the engine gives votes only.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`] if there is too little memory for so many samples at once; [`BackendError::Run`] if the
    /// engine fails, or gets samples of the other [`NoiseSource`].
    fn votes(&mut self, samples: Samples<'_>, answers: &mut Answers) -> Result<(), BackendError>;
}

/// Who adds the noise to the inputs of a [`VoteSampler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseSource {
    /// The caller: samples are [`Samples::Noisy`].
    Caller,
    /// The engine, from noise that it keeps: samples are [`Samples::Keyed`]. It has room for a number of whole blocks,
    /// however few of their samples are wanted.
    Engine,
}

/// Samples to vote on.
#[derive(Clone, Copy, Debug)]
pub enum Samples<'a> {
    /// Noisy inputs, N×(C·H·W) values.
    Noisy(&'a [f32]),
    /// Inputs, and the names of the noise that is to be added.
    Keyed(&'a [KeyedSamples<'a>]),
}

/// Samples of one input: the first of a block of noise.
#[derive(Clone, Copy, Debug)]
pub struct KeyedSamples<'a> {
    /// The input, C·H·W values.
    pub image: &'a [f32],
    /// Names the block of noise.
    pub key: NoiseKey,
    /// Number of samples, from the first of the block on.
    pub samples: usize,
}

/// What a [`VoteSampler`] answers; the memory is used again.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// A vote for each sample.
    pub votes: Vec<Vote>,
    /// Logits of the last samples, N×K values; empty from an engine that gives votes only.
    pub logits: Vec<f32>,
    /// Time that reading the votes of the last samples took, after the forward pass.
    pub reading: Duration,
}

impl<C: Classifier> VoteSampler for C {
    fn classifier(&self) -> &dyn Classifier {
        self
    }

    fn classifier_mut(&mut self) -> &mut dyn Classifier {
        self
    }

    fn votes(&mut self, samples: Samples<'_>, answers: &mut Answers) -> Result<(), BackendError> {
        let Samples::Noisy(batch) = samples else { return Err(wrong_samples(samples)) };
        self.logits(batch, &mut answers.logits)?;
        let started = Instant::now();
        let classes = self.classes();
        answers.votes.extend(answers.logits.chunks_exact(classes).map(vote));
        answers.reading = started.elapsed();
        Ok(())
    }
}

/// Samples whose noise somebody else was to add.
pub(super) fn wrong_samples(samples: Samples<'_>) -> BackendError {
    let (batch, problem) = match samples {
        Samples::Noisy(_) => (0, "it adds the noise itself and was given noisy inputs"),
        Samples::Keyed(keyed) => (keyed.len(), "it keeps no noise and was given the names of noise"),
    };
    BackendError::Run { batch, problem: problem.into() }
}
