//! Confidence sequences: lower bounds on the probability of a class that are valid after every number of samples at
//! once. So sampling may stop at any time, and the decision to stop may depend on the votes so far.

mod betting;
mod looks;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{MAX_TRIALS, StatisticsError};
use crate::units::Alpha;
use looks::Looks;

/// The construction of a confidence sequence.
///
/// ```
/// use mithridate_runtime::statistics::SequenceForm;
///
/// assert_eq!("betting".parse(), Ok(SequenceForm::Betting));
/// assert_eq!(SequenceForm::default().to_string(), "looks");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SequenceForm {
    /// Clopper–Pearson bounds at looks whose sample numbers grow by a fifth, up to a known last sample. α is divided
    /// among the looks; a part of it can be kept for the case that every sample so far is a hit.
    #[default]
    Looks,
    /// Clopper–Pearson bounds at looks whose sample numbers grow by a tenth, without a last one; look j = 1, 2, … at
    /// level 5α / ((j + 4)(j + 5)).
    Geometric,
    /// The wealth of a gambler who bets on hits in proportion to the share of hits so far (Krichevsky and Trofimov): p
    /// is rejected when the wealth reaches 1/α (Ville's inequality). One-sided.
    Betting,
}

/// A name that is not one of `looks`, `geometric` and `betting`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a form of confidence sequence; use looks, geometric or betting")]
pub struct UnknownForm(String);

impl FromStr for SequenceForm {
    type Err = UnknownForm;
    fn from_str(text: &str) -> Result<Self, UnknownForm> {
        [Self::Looks, Self::Geometric, Self::Betting]
            .into_iter()
            .find(|form| form.name() == text)
            .ok_or_else(|| UnknownForm(text.into()))
    }
}

impl SequenceForm {
    fn name(self) -> &'static str {
        match self {
            Self::Looks => "looks",
            Self::Geometric => "geometric",
            Self::Betting => "betting",
        }
    }
}

impl fmt::Display for SequenceForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// Lower bounds on a probability, one for each number of samples. With probability at least 1 − α all of them are valid
/// at once.
///
/// # Example
/// ```
/// use mithridate_runtime::{
///     statistics::{ConfidenceSequence, SequenceForm, clopper_pearson_lower},
///     units::Alpha,
/// };
///
/// let alpha = Alpha::new(0.001)?;
/// let sequence = ConfidenceSequence::new(SequenceForm::Betting, alpha, 100_000, 64, 0.0);
/// let anytime = sequence.lower(990, 1000)?;
/// // This bound is lower, because it stays valid if sampling stops at any moment.
/// assert!(anytime < clopper_pearson_lower(990, 1000, alpha)? && anytime > 0.96);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConfidenceSequence(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Looks(Looks),
    Betting(Alpha),
}

impl ConfidenceSequence {
    /// A sequence for at most `horizon` samples, which come in blocks of `block` samples. Looks are after whole blocks
    /// only. `run_share`, at least 0 and below 1, is the share of `alpha` that [`SequenceForm::Looks`] keeps for samples
    /// that are all hits; other forms ignore it.
    pub fn new(form: SequenceForm, alpha: Alpha, horizon: u64, block: u64, run_share: f64) -> Self {
        Self(match form {
            SequenceForm::Looks => Kind::Looks(Looks::finite(alpha, horizon, block, run_share)),
            SequenceForm::Geometric => Kind::Looks(Looks::geometric(alpha, horizon, block)),
            SequenceForm::Betting => Kind::Betting(alpha),
        })
    }

    /// The lower bound after `samples` samples with `hits` hits, rounded down; 0 if the sequence has no bound after this
    /// number of samples.
    ///
    /// # Errors
    /// [`StatisticsError`] if `samples` is 0 or above [`MAX_TRIALS`], or if `hits` is above `samples`.
    pub fn lower(&self, hits: u64, samples: u64) -> Result<f64, StatisticsError> {
        if samples == 0 {
            return Err(StatisticsError::NoTrials);
        }
        if samples > MAX_TRIALS {
            return Err(StatisticsError::TooManyTrials { trials: samples });
        }
        if hits > samples {
            return Err(StatisticsError::MoreHitsThanTrials { hits, trials: samples });
        }
        match &self.0 {
            Kind::Looks(looks) => looks.lower(hits, samples),
            Kind::Betting(alpha) => Ok(betting::lower(hits, samples, *alpha)),
        }
    }

    /// The largest number of samples up to `samples`, of which `hits` are hits, for which the sequence has a bound:
    /// `samples` itself or the last look.
    pub fn usable(&self, hits: u64, samples: u64) -> u64 {
        match &self.0 {
            Kind::Looks(looks) if hits < samples || !looks.holds_for_runs() => looks.last_look(samples),
            _ => samples,
        }
    }

    /// The last look at or before `samples`, 0 if there is none, for samples that are not all hits.
    pub fn last_look(&self, samples: u64) -> u64 {
        match &self.0 {
            Kind::Looks(looks) => looks.last_look(samples),
            Kind::Betting(_) => samples,
        }
    }
}

#[cfg(test)]
mod tests;
