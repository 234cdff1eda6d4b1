use super::{Settings, SettingsError, StoppingRule, Votes, Width};
use crate::{
    noise::BLOCK,
    statistics::{ConfidenceSequence, StatisticsError, clopper_pearson_lower, likely_hits},
    units::Alpha,
};

/// Chance that the remaining samples would certify more than the rule assumes, with a uniform prior on the probability
/// of the class. It affects only when to stop: if it happens, the radius is smaller than it could be, but no
/// certificate is wrong.
const CHANCE: f64 = 0.001;
/// Level of the upper bound from which the rule `loss` computes a number of samples.
const LIKELY_LEVEL: f64 = 0.01;

/// Run share of α with the rule `precision`. Inputs of strong models often have hits only; this share ends such an
/// input after little more than the smallest possible number of samples.
const RUN_SHARE_PRECISION: f64 = 0.5;
/// Run share of α with the other rules, which mostly stop after few samples.
const RUN_SHARE: f64 = 0.2;

/// The confidence sequence of these settings.
pub(crate) fn lower_bounds(settings: &Settings) -> ConfidenceSequence {
    let run_share = match settings.stop {
        StoppingRule::Precision(_) => RUN_SHARE_PRECISION,
        _ => RUN_SHARE,
    };
    ConfidenceSequence::new(settings.sequence, settings.alpha, settings.n, BLOCK, run_share)
}

/// What the votes of an input prove: class, bound and radius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The class with the most selection votes; `None` if no selection sample voted for a class.
    pub class: Option<usize>,
    /// Lower bound on the probability of `class` under the noise, at confidence 1 − α; 0 without a class or samples.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, in data-set units; `None` is an abstention.
    pub radius: Option<f64>,
}

/// CERTIFY without the sampling: when to stop, and the bound and radius that the votes then prove.
///
/// | rule | bound on the probability of the class |
/// | --- | --- |
/// | `fixed`, `loss` | Clopper–Pearson at level α, after a number of samples that does not depend on the estimation votes |
/// | `radius`, `precision`, `deadline` | a [`ConfidenceSequence`] at level α, which is valid after every number of samples at once |
///
/// The class comes from the selection votes alone; every estimation sample that did not vote for it counts against it.
#[derive(Clone, Debug)]
pub struct Procedure {
    settings: Settings,
    /// The confidence sequence; `None` if the rule does not look at votes.
    sequence: Option<ConfidenceSequence>,
}

impl Procedure {
    /// The procedure for these settings.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let sequence = settings.stop.looks_at_votes().then(|| lower_bounds(&settings));
        Ok(Self { settings, sequence })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the number of samples of an input depends on its estimation votes.
    pub(super) fn is_adaptive(&self) -> bool {
        self.sequence.is_some()
    }

    /// The budget: the largest number of estimation samples of an input, given its selection votes.
    ///
    /// # Errors
    /// [`StatisticsError`] if there are more votes than n0.
    pub fn budget(&self, selection: &Votes) -> Result<u64, StatisticsError> {
        let Settings { n, stop, .. } = &self.settings;
        let StoppingRule::Loss(loss) = stop else { return Ok(*n) };
        let hits = selection.winner().map_or(0, |class| selection.by_class()[class]);
        let likely = self.upper_of_few(hits, self.settings.n0)?;
        let least = self.radius_after(likely, *n)? - loss;
        // Finds the smallest number of blocks with a large enough radius by bisection. The radius grows with the number
        // of samples, except that votes are whole numbers.
        let (mut few, mut enough) = (0, n.div_ceil(BLOCK));
        while enough - few > 1 {
            let middle = u64::midpoint(few, enough);
            if self.radius_after(likely, middle * BLOCK)? >= least {
                enough = middle;
            } else {
                few = middle;
            }
        }
        Ok((enough * BLOCK).min(*n))
    }

    /// The largest number of estimation samples, at most `samples`, for which a bound can be computed if `hits` of the
    /// `samples` voted for the class. This is `samples` itself, or the last look of the confidence sequence.
    pub fn usable(&self, hits: u64, samples: u64) -> u64 {
        match &self.sequence {
            Some(sequence) => sequence.usable(hits, samples),
            None => samples,
        }
    }

    /// Whether the rule is satisfied after `samples` samples with `hits` hits.
    ///
    /// # Errors
    /// [`StatisticsError`] if there are more hits than samples.
    pub fn is_decided(&self, hits: u64, samples: u64) -> Result<bool, StatisticsError> {
        let Some(sequence) = &self.sequence else { return Ok(false) };
        if matches!(self.settings.stop, StoppingRule::Deadline(_)) {
            return Ok(false);
        }
        if samples == 0 || self.usable(hits, samples) < samples {
            return Ok(false);
        }
        let certified = |p_lower| self.settings.radius(p_lower).unwrap_or(0.0);
        let proved = certified(sequence.lower(hits, samples)?);
        let n = self.settings.n.max(samples);
        let likely = hits + likely_hits(hits, samples, n - samples, CHANCE);
        Ok(match &self.settings.stop {
            StoppingRule::Radius(radii) => {
                let possible = certified(sequence.lower(likely, n)?);
                radii.iter().all(|&radius| proved >= radius || possible < radius)
            }
            StoppingRule::Precision(width) => {
                let possible = certified(clopper_pearson_lower(likely, n, self.settings.alpha)?);
                possible - proved
                    <= match width {
                        Width::Absolute(width) => *width,
                        Width::Relative(percent) => percent / 100.0 * possible,
                    }
            }
            StoppingRule::Fixed | StoppingRule::Loss(_) | StoppingRule::Deadline(_) => false,
        })
    }

    /// Class, bound and radius that the votes prove after `samples` estimation samples.
    ///
    /// # Errors
    /// [`StatisticsError`] if there are more votes than samples, or if the rule does not stop after `samples` samples.
    ///
    /// # Example
    /// ```
    /// use mithridate_runtime::{certify::{Decision, Procedure, Settings}, units::Sigma};
    ///
    /// let settings = Settings { n: 1000, ..Settings::new(Sigma::new(0.25)?, 0) };
    /// let procedure = Procedure::new(settings)?;
    /// let Decision { class, p_lower, radius } = procedure.decide(&vec![3, 97].into(), &vec![10, 990].into(), 1000)?;
    /// assert_eq!(class, Some(1));
    /// assert!(p_lower > 0.97 && radius.unwrap() > 0.25 * 1.88);
    /// // The rule is to stop after n samples, and not before.
    /// assert!(procedure.decide(&vec![3, 97].into(), &vec![10, 890].into(), 900).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide(
        &self,
        selection: &Votes,
        estimation: &Votes,
        samples: u64,
    ) -> Result<Decision, StatisticsError> {
        for (votes, samples) in [(selection, self.settings.n0), (estimation, samples)] {
            if votes.total() > samples {
                return Err(StatisticsError::MoreHitsThanTrials { hits: votes.total(), trials: samples });
            }
        }
        let class = selection.winner();
        let hits = class.and_then(|class| estimation.by_class().get(class)).copied().unwrap_or(0);
        if !self.stops_after(class, hits, samples, selection)? {
            return Err(StatisticsError::NotAMoment { samples });
        }
        if class.is_none() || samples == 0 {
            return Ok(Decision { class, p_lower: 0.0, radius: None });
        }
        let p_lower = match &self.sequence {
            Some(sequence) => sequence.lower(hits, samples)?,
            None => clopper_pearson_lower(hits, samples, self.settings.alpha)?,
        };
        Ok(Decision { class, p_lower, radius: self.settings.radius(p_lower) })
    }

    fn stops_after(
        &self,
        class: Option<usize>,
        hits: u64,
        samples: u64,
        selection: &Votes,
    ) -> Result<bool, StatisticsError> {
        let budget = self.budget(selection)?;
        Ok(match self.settings.stop {
            StoppingRule::Fixed | StoppingRule::Loss(_) => samples == budget,
            StoppingRule::Deadline(_) => samples <= budget && self.usable(hits, samples) == samples,
            StoppingRule::Radius(_) | StoppingRule::Precision(_) if class.is_none() => samples == 0,
            StoppingRule::Radius(_) | StoppingRule::Precision(_) => {
                samples == budget || (samples < budget && self.is_decided(hits, samples)?)
            }
        })
    }

    /// Upper confidence bound on the probability of a class with `hits` of `samples` votes, for a number of samples
    /// that was fixed beforehand.
    fn upper_of_few(&self, hits: u64, samples: u64) -> Result<f64, StatisticsError> {
        let misses =
            samples.checked_sub(hits).ok_or(StatisticsError::MoreHitsThanTrials { hits, trials: samples })?;
        let level = Alpha::new(LIKELY_LEVEL).unwrap_or(self.settings.alpha);
        Ok(1.0 - clopper_pearson_lower(misses, samples, level)?)
    }

    /// The radius that `samples` samples certify, with the number fixed beforehand, if a share `p` of them are hits; 0
    /// for an abstention.
    fn radius_after(&self, p: f64, samples: u64) -> Result<f64, StatisticsError> {
        let hits = ((p * samples as f64) as u64).min(samples);
        let p_lower = clopper_pearson_lower(hits, samples, self.settings.alpha)?;
        Ok(self.settings.radius(p_lower).unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests;
