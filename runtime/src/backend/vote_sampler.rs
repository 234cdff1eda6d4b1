use std::time::{Duration, Instant};

use super::{BackendError, Classifier, vote};
use crate::{noise::NoiseKey, votes::Vote};

/// A model that returns the votes of noisy samples. Certification needs no more of a model than this.
///
/// Every [`Classifier`] is a vote sampler: the caller adds the noise, and the votes are read from the logits. An engine
/// that determines the votes itself, or also adds the noise, implements this trait instead of `Classifier`.
pub trait VoteSampler: Send {
    /// The model as a classifier, which returns logits.
    fn classifier(&self) -> &dyn Classifier;

    /// The model as a classifier, to run it. The comparison uses it to answer samples again.
    fn classifier_mut(&mut self) -> &mut dyn Classifier;

    /// Who adds the noise.
    fn noise_source(&self) -> NoiseSource {
        NoiseSource::Caller
    }

    /// Appends the vote of each sample, in order, to `answers.votes`. It is the vote that [`vote`] reads from the
    /// logits of the sample. Replaces `answers.logits` by the N×K logits of these samples, or empties it if the engine
    /// gives votes only.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`] if there is too little memory for this number of samples at once;
    /// [`BackendError::Run`] if the engine fails, or if `samples` are of the other [`NoiseSource`].
    fn votes(&mut self, samples: Samples<'_>, answers: &mut Answers) -> Result<(), BackendError>;
}

/// Who adds the noise to the inputs of a [`VoteSampler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseSource {
    /// The caller adds the noise: samples are [`Samples::Noisy`].
    Caller,
    /// The engine adds noise that it keeps: samples are [`Samples::Keyed`]. In a batch, each [`KeyedSamples`] takes the
    /// memory of a whole block, even if it has fewer samples.
    Engine,
}

/// Samples to vote on.
#[derive(Clone, Copy, Debug)]
pub enum Samples<'a> {
    /// Noisy inputs, N×(C·H·W) values.
    Noisy(&'a [f32]),
    /// Inputs, and the keys of the noise that the engine adds.
    Keyed(&'a [KeyedSamples<'a>]),
}

/// Samples of one input: the first `samples` of a block of noise.
#[derive(Clone, Copy, Debug)]
pub struct KeyedSamples<'a> {
    /// The input, C·H·W values.
    pub image: &'a [f32],
    /// Key of the block of noise.
    pub key: NoiseKey,
    /// Number of samples, from the first of the block on.
    pub samples: usize,
}

/// The answers of a [`VoteSampler`]. The memory is reused from call to call.
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

/// The error for samples of the wrong [`NoiseSource`].
pub(super) fn wrong_samples(samples: Samples<'_>) -> BackendError {
    let (batch, problem) = match samples {
        Samples::Noisy(_) => (0, "it adds the noise itself, and was given noisy inputs"),
        Samples::Keyed(keyed) => (keyed.len(), "it has no noise to add, and was given keys of noise"),
    };
    BackendError::Run { batch, problem: problem.into() }
}
