use std::time::{Duration, Instant};

use super::sampler::{Sampler, Task};
use crate::{
    backend::{BackendError, Classifier, InputPrecision},
    certify::{CertifyError, Procedure, Settings, StoppingRule, lower_bounds},
    noise::{BLOCK, Distribution, Role, SelfTestError, check_noise, off_grid},
    statistics::ConfidenceSequence,
    votes::first_largest,
};

/// What can go wrong with a frame, or before the first.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// Settings, the engine, or a frame that the model does not take.
    #[error(transparent)]
    Certify(#[from] CertifyError),
    /// Noise that is not what it should be.
    #[error(transparent)]
    Noise(#[from] SelfTestError),
    /// A stopping rule that frames don't have.
    #[error("frames can't stop by the rule {0}; use fixed, radius, precision or deadline")]
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
    /// Time was up.
    Deadline,
    /// Not one of the selection samples voted for a class, so there is none to certify.
    NoClass,
}

/// What is known of a frame when its time is up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameCertificate {
    /// Number of the frame: part of the key of its noise.
    pub frame: u64,
    /// Class that most selection samples voted for, the first of equals; `None` if not one voted.
    pub class: Option<usize>,
    /// Lower bound on the probability of `class` under noise, at confidence 1 − α.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, in units of the frame's values; `None` is an abstention.
    pub radius: Option<f64>,
    /// Samples that chose the class.
    pub selection_samples: u64,
    /// Fresh samples run; the bound rests on all of them, or on the first of them where that gave a better one.
    pub samples: u64,
    /// Of these, those that voted for the class.
    pub hits: u64,
    /// Time from the call to the answer.
    pub time: Duration,
    /// Why sampling stopped.
    pub ended: Ended,
}

/// Certifies one frame after the other under a deadline.
///
/// That the model's answer to a sample depends on that sample alone is looked at on its own samples: when it is made
/// ready, 16 samples of a batch are answered again, alone, and later one sample of the first batch of one frame in 16,
/// chosen by seed and frame, which takes as long as a batch and is put off where time is short. Where logits
/// differ by more than rounding, there is no certificate but an error.
///
/// The noise of a frame depends on nothing but the seed and the frame's number, so with [`certify`] of the same
/// settings the votes can be drawn again. Whoever makes the frames must not know the seed: draw it with
/// [`seed_from_os`].
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
/// // No time, no claim.
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
    /// Makes everything ready: tests the noise, runs a few batches to know how long one takes, and takes all memory.
    ///
    /// `settings.n0` samples choose the class of a frame, at most `settings.n` bound its probability. The stopping rules
    /// `radius` and `precision` end a frame before its time is up, `deadline` gives all frames a time. A model that
    /// takes any number of inputs gets 64 at once.
    ///
    /// # Errors
    /// [`EmbedError`].
    pub fn new(model: Box<dyn Classifier>, settings: Settings) -> Result<Self, EmbedError> {
        if matches!(settings.stop, StoppingRule::Loss(_)) {
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

    /// What certificates depend on besides model and frame.
    pub fn settings(&self) -> &Settings {
        self.procedure.settings()
    }

    /// The number that the next frame gets; they count up from 0.
    pub fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// Gives the next frame another number, such as to draw the noise of an earlier one again.
    pub fn set_next_frame(&mut self, frame: u64) {
        self.next_frame = frame;
    }

    /// Certifies a frame, C×H×W values in units of the data set, within a time from now.
    ///
    /// Stops when another batch would take longer than is left, as far as those before tell: so it is late by no
    /// more than a batch that takes unusually long. Where the time does not suffice for a single batch there is no class
    /// and no claim; every few such frames one batch is run nevertheless, to see how long it takes by now. Allocates
    /// nothing, but for an error.
    ///
    /// # Errors
    /// [`EmbedError::Certify`]; the next frame may be fine again.
    pub fn certify(&mut self, image: &[f32], within: Duration) -> Result<FrameCertificate, EmbedError> {
        let started = Instant::now();
        // More time than can be counted is no limit.
        let within = self.settings().stop.deadline().map_or(within, |time| time.min(within));
        let deadline = started.checked_add(within);
        let frame = self.next_frame;
        self.check(image)?;
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
                    // All bounds of the sequence hold at once, so the best one does.
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

    fn check(&self, image: &[f32]) -> Result<(), CertifyError> {
        let (index, expected) = (self.next_frame, self.input_len());
        if image.len() != expected {
            return Err(CertifyError::InputLength { index, found: image.len(), expected });
        }
        let sigma = self.settings().sigma.get();
        self.precision.check(image, sigma).map_err(|unfit| CertifyError::unfit(index, unfit))?;
        if self.settings().distribution == Distribution::QuantizedGaussian
            && let Some(position) = off_grid(image)
        {
            return Err(CertifyError::OffGrid { index, position, value: image[position] });
        }
        Ok(())
    }
}
