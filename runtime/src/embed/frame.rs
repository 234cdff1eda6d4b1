use std::time::{Duration, Instant};

use super::sampler::{Sampler, Task};
use crate::{
    backend::{BackendError, Classifier, InputPrecision},
    certify::{CertifyError, Procedure, Settings, StoppingRule, check_image, lower_bounds},
    noise::{BLOCK, Role, SelfTestError, check_noise},
    statistics::ConfidenceSequence,
    votes::first_largest,
};

/// Why a frame can't be certified, or a [`FrameCertifier`] can't be made.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The settings are invalid, the engine failed, or the frame does not fit the model.
    #[error(transparent)]
    Certify(#[from] CertifyError),
    /// The noise failed the self-test.
    #[error(transparent)]
    Noise(#[from] SelfTestError),
    /// The stopping rule can't be used for frames.
    #[error("frames can't be certified with the stopping rule {0}; use fixed, radius, precision or deadline")]
    Rule(StoppingRule),
}

impl From<BackendError> for EmbedError {
    fn from(error: BackendError) -> Self {
        Self::Certify(error.into())
    }
}

/// Why sampling stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All samples were run.
    Samples,
    /// The stopping rule was satisfied.
    Rule,
    /// The time limit was reached.
    Deadline,
    /// No selection sample voted for a class, so there is no class to certify.
    NoClass,
}

/// The certificate of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameCertificate {
    /// Number of the frame, which is part of the key of its noise.
    pub frame: u64,
    /// The class with the most votes of selection samples, the lowest index of equals; `None` if no class has a vote.
    pub class: Option<usize>,
    /// Lower bound p̲ on the probability of `class` under noise, at confidence 1 − α.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, in units of the frame's values; `None` for an abstention.
    pub radius: Option<f64>,
    /// Number of selection samples.
    pub selection_samples: u64,
    /// Number of estimation samples. The bound uses all of them, or only the first ones if that gave a better bound.
    pub samples: u64,
    /// Number of estimation samples that voted for `class`.
    pub hits: u64,
    /// Time from the call to its return.
    pub time: Duration,
    /// Why sampling stopped.
    pub ended: Ended,
}

/// Certifies one frame after the other, each within a time limit.
///
/// A certificate is valid only if the model's answer to a sample does not depend on the other samples of its batch. So
/// some samples are answered again alone and the logits are compared: 16 samples of one batch when the certifier is
/// made, later one sample of the first batch of one frame in 16, chosen by seed and frame. Such a comparison takes as
/// long as a batch and is postponed when time is short. If logits differ by more than rounding, the result is an error,
/// not a certificate.
///
/// The noise of a frame depends only on the seed and the number of the frame, so [`certify`] with the same settings can
/// repeat the votes. Whoever provides the frames must not know the seed: draw it with [`seed_from_os`].
///
/// [`certify`]: crate::certify::Certifier
/// [`seed_from_os`]: crate::noise::seed_from_os
///
/// # Example
/// ```
/// use std::time::Duration;
///
/// use mithridate_runtime::{
///     backend::LinearClassifier, certify::Settings, embed::FrameCertifier, units::Sigma,
/// };
/// use ndarray::array;
///
/// let model = LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0]);
/// let settings = Settings { n: 10_000, ..Settings::new(Sigma::new(0.5)?, 7) };
/// let mut certifier = FrameCertifier::new(Box::new(model), settings)?;
/// let certificate = certifier.certify(&[0.4], Duration::MAX)?;
/// assert_eq!((certificate.class, certificate.samples), (Some(0), 10_000));
/// // The true radius is the distance to the boundary, 0.4; the certified one is a little less.
/// assert!(certificate.radius.is_some_and(|radius| 0.36 < radius && radius < 0.4));
/// // Without time there is no certificate.
/// let certificate = certifier.certify(&[0.4], Duration::ZERO)?;
/// assert_eq!((certificate.frame, certificate.radius, certificate.samples), (1, None, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FrameCertifier {
    sampler: Sampler,
    precision: InputPrecision,
    procedure: Procedure,
    sequence: ConfidenceSequence,
    votes: Vec<u64>,
    next_frame: u64,
}

impl FrameCertifier {
    /// Prepares the certifier: tests the noise, allocates all memory and runs a few batches to measure their time.
    ///
    /// `settings.n0` is the number of selection samples of a frame, `settings.n` the largest number of estimation
    /// samples. The stopping rules `radius` and `precision` can end a frame before its time limit; `deadline` sets a
    /// time limit for all frames. A model that takes any batch size gets batches of 64.
    ///
    /// # Errors
    /// [`EmbedError`] if the settings are invalid or use the stopping rule `loss`, the noise fails its self-test, the
    /// model can't be run, or its answer to a sample depends on the batch.
    pub fn new(model: Box<dyn Classifier>, settings: Settings) -> Result<Self, EmbedError> {
        if settings.stop.waits_for_selection() {
            return Err(EmbedError::Rule(settings.stop));
        }
        let sequence = lower_bounds(&settings);
        let procedure = Procedure::new(settings).map_err(CertifyError::from)?;
        let settings = procedure.settings();
        let noise = settings.noise().map_err(CertifyError::from)?;
        check_noise(&noise, settings.seed, &[0, 1, 2, 3], model.input_len())?;
        let precision = model.input_precision();
        let sampler = Sampler::new(model, noise, settings.seed)?;
        let votes = vec![0; sampler.model().classes()];
        Ok(Self { votes, sampler, precision, procedure, sequence, next_frame: 0 })
    }

    /// Number of values in a frame, C·H·W.
    pub fn input_len(&self) -> usize {
        self.sampler.model().input_len()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.sampler.model().classes()
    }

    /// The settings of the certificates.
    pub fn settings(&self) -> &Settings {
        self.procedure.settings()
    }

    /// The number of the next frame. Frames are numbered from 0.
    pub fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// Sets the number of the next frame, for example to repeat the noise of an earlier one.
    pub fn set_next_frame(&mut self, frame: u64) {
        self.next_frame = frame;
    }

    /// Certifies a frame of C×H×W values in units of the data set, within the time limit `within` from now.
    ///
    /// Sampling stops when another batch would probably take longer than the time left, judged by earlier batches. So
    /// the call exceeds the limit only if one batch takes unusually long. If the time does not suffice for a single
    /// batch, the result has no class and no radius; after every few such frames one batch is run nevertheless, to
    /// measure its time again. Allocates no memory, except for an error.
    ///
    /// # Errors
    /// [`EmbedError::Certify`] if the frame does not fit the model, or the engine or a comparison of logits failed.
    /// Later frames can still be certified.
    pub fn certify(&mut self, image: &[f32], within: Duration) -> Result<FrameCertificate, EmbedError> {
        let started = Instant::now();
        // A time limit too large for the clock means no limit.
        let within = self.settings().stop.deadline().map_or(within, |time| time.min(within));
        let deadline = started.checked_add(within);
        let frame = self.next_frame;
        check_image(self.next_frame, image, self.input_len(), &self.precision, self.settings())?;
        self.next_frame = frame.wrapping_add(1);

        self.votes.fill(0);
        let (n0, n) = (self.settings().n0, self.settings().n);
        let mut task = Task { image, role: Role::Selection, frame, samples: n0, deadline };
        let votes = &mut self.votes;
        let selection_samples = self.sampler.run(&task, |_, vote| {
            if let Some(votes) = votes.get_mut(usize::from(vote)) {
                *votes += 1;
            }
            Ok(false)
        })?;
        let class = first_largest(&self.votes);
        let (mut samples, mut hits, mut p_lower, mut decided) = (0, 0, 0.0_f64, false);
        if let Some(class) = class {
            (task.role, task.samples) = (Role::Estimation, n);
            let (procedure, sequence) = (&self.procedure, &self.sequence);
            let wrong = |source| CertifyError::Statistics { index: frame, source };
            samples = self.sampler.run(&task, |sample, vote| {
                hits += u64::from(usize::from(vote) == class);
                if sample.is_multiple_of(BLOCK) {
                    // All bounds of the sequence are valid at once, so the largest one is.
                    if sequence.last_look(sample) == sample {
                        p_lower = p_lower.max(sequence.lower(hits, sample).map_err(wrong)?);
                    }
                    decided = procedure.is_decided(hits, sample).map_err(wrong)?;
                }
                Ok(decided)
            })?;
            if samples > 0 {
                p_lower = p_lower.max(sequence.lower(hits, samples).map_err(wrong)?);
            }
        }
        let ended = match class {
            _ if decided => Ended::Rule,
            _ if selection_samples < n0 => Ended::Deadline,
            None => Ended::NoClass,
            Some(_) if samples < n => Ended::Deadline,
            Some(_) => Ended::Samples,
        };
        let radius = self.settings().radius(p_lower);
        let time = started.elapsed();
        Ok(FrameCertificate { frame, class, p_lower, radius, selection_samples, samples, hits, time, ended })
    }
}
