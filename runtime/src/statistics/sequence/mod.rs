//! Confidence sequences for the probability of a class: bounds that hold at every moment of sampling at once, so that
//! sampling may stop whenever what is known is enough.

mod betting;
mod looks;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{MAX_TRIALS, StatisticsError};
use crate::units::Alpha;
use looks::Looks;

/// How a confidence sequence is made.
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
    /// Clopper–Pearson bounds at moments that grow by a fifth up to the last sample that there can be, α shared among
    /// them, and a part of α kept for as long as every sample is a hit.
    #[default]
    Looks,
    /// Clopper–Pearson bounds at moments that grow by a tenth without end, the j-th at level 5α / ((j + 4)(j + 5)).
    Geometric,
    /// The wealth of a gambler who bets on hits with the share of hits so far (Krichevsky and Trofimov), one-sided by
    /// Ville's inequality at 1/α.
    Betting,
}

/// A name of no form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no form of confidence sequence; there are looks, geometric and betting")]
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

/// Lower bounds on a probability, all of which hold at once with probability 1 − α whatever number of samples they are
/// asked for.
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
/// // The price of being allowed to stop at any moment.
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
    /// A sequence for at most `horizon` samples, which come in blocks of `block`: Clopper–Pearson bounds are taken after
    /// whole blocks only. `run_share` is the share of α that [`SequenceForm::Looks`] keeps for samples that are all hits,
    /// from 0 to below 1; other forms do not use it.
    pub fn new(form: SequenceForm, alpha: Alpha, horizon: u64, block: u64, run_share: f64) -> Self {
        Self(match form {
            SequenceForm::Looks => Kind::Looks(Looks::finite(alpha, horizon, block, run_share)),
            SequenceForm::Geometric => Kind::Looks(Looks::geometric(alpha, horizon, block)),
            SequenceForm::Betting => Kind::Betting(alpha),
        })
    }

    /// The lower bound after so many samples, rounded down; 0 at a moment that the sequence has no bound for.
    ///
    /// # Errors
    /// [`StatisticsError`] if there are no samples, too many, or more hits than samples.
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

    /// How many of the first samples a bound can be taken after: all, or those up to the last look.
    pub fn usable(&self, hits: u64, samples: u64) -> u64 {
        match &self.0 {
            Kind::Looks(looks) if hits < samples || !looks.holds_for_runs() => looks.last_look(samples),
            _ => samples,
        }
    }

    /// The latest moment up to `samples` that there is a bound for, 0 if there was none, when not all samples were hits.
    pub fn last_look(&self, samples: u64) -> u64 {
        match &self.0 {
            Kind::Looks(looks) => looks.last_look(samples),
            Kind::Betting(_) => samples,
        }
    }
}

#[cfg(test)]
mod tests;
