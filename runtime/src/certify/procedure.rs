use super::{Settings, SettingsError, StoppingRule, Votes, Width};
use crate::{
    noise::BLOCK,
    statistics::{ConfidenceSequence, StatisticsError, clopper_pearson_lower, likely_hits},
    units::Alpha,
};

/// Chance that samples left out would have certified more than a rule counts on, all probabilities of the class having been
/// equally likely beforehand. It decides only when to stop: where it comes true, radius is lost and no certificate is
/// false.
const CHANCE: f64 = 0.001;
/// Level of the upper bound by which `loss` chooses a number of samples.
const LIKELY_LEVEL: f64 = 0.01;

/// Share of α for samples that are all hits, where the rule is `precision`: strong models never err, and this takes
/// such an input to its end in few more samples than the least there can be.
const RUN_SHARE_PRECISION: f64 = 0.5;
/// The same for the other rules, which mostly stop after few samples.
const RUN_SHARE: f64 = 0.2;

/// Bounds on the probability of a class that hold whenever sampling stops, for these settings.
pub(crate) fn lower_bounds(settings: &Settings) -> ConfidenceSequence {
    let run_share = match settings.stop {
        StoppingRule::Precision(_) => RUN_SHARE_PRECISION,
        _ => RUN_SHARE,
    };
    ConfidenceSequence::new(settings.sequence, settings.alpha, settings.n, BLOCK, run_share)
}

/// What the votes of an input prove.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The class with most selection votes; `None` if no selection sample voted for a class.
    pub class: Option<usize>,
    /// Lower bound on the probability of `class` under the noise, at confidence 1 − α; 0 without a class or samples.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, in units of the data set; `None` is an abstention.
    pub radius: Option<f64>,
}

/// CERTIFY without the sampling: when to stop, and what the votes prove then.
///
/// | rule | bound on the probability of the class |
/// | --- | --- |
/// | `fixed`, `loss` | Clopper–Pearson at level α, after a number of samples that the estimation votes have no part in |
/// | `radius`, `precision`, `deadline` | a [`ConfidenceSequence`] at level α, which holds at all moments at once |
///
/// The class comes from the selection votes alone; every estimation sample that did not vote for it counts against it.
#[derive(Clone, Debug)]
pub struct Procedure {
    settings: Settings,
    /// Bounds that hold whenever sampling stops, where the rule looks at votes.
    sequence: Option<ConfidenceSequence>,
}

impl Procedure {
    /// What these settings say.
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

    /// Whether inputs may stop at different numbers of samples as the estimation votes come in.
    pub(super) fn is_adaptive(&self) -> bool {
        self.sequence.is_some()
    }

    /// The most estimation samples of an input, given its selection votes.
    ///
    /// # Errors
    /// [`StatisticsError`] if the votes can't be of n0 samples.
    pub fn budget(&self, selection: &Votes) -> Result<u64, StatisticsError> {
        let Settings { n, stop, .. } = &self.settings;
        let StoppingRule::Loss(loss) = stop else { return Ok(*n) };
        let hits = selection.winner().map_or(0, |class| selection.by_class()[class]);
        let likely = self.upper_of_few(hits, self.settings.n0)?;
        let least = self.radius_after(likely, *n)? - loss;
        // The radius grows with samples, but for whole votes; the least number of blocks at which it is large enough.
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

    /// How many of the first `samples` estimation samples, of which `hits` voted for the class, a bound can be taken
    /// after: all, or those up to the last look of the sequence.
    pub fn usable(&self, hits: u64, samples: u64) -> u64 {
        match &self.sequence {
            Some(sequence) => sequence.usable(hits, samples),
            None => samples,
        }
    }

    /// Whether what the rule asks is known after so many samples, of which so many voted for the class.
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

    /// Class, bound and radius that the votes prove.
    ///
    /// # Errors
    /// [`StatisticsError`] if the votes can't be of that many samples, or if the rule does not stop there.
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

    /// Upper bound for a number of samples that was chosen beforehand.
    fn upper_of_few(&self, hits: u64, samples: u64) -> Result<f64, StatisticsError> {
        let misses =
            samples.checked_sub(hits).ok_or(StatisticsError::MoreHitsThanTrials { hits, trials: samples })?;
        let level = Alpha::new(LIKELY_LEVEL).unwrap_or(self.settings.alpha);
        Ok(1.0 - clopper_pearson_lower(misses, samples, level)?)
    }

    /// The radius that so many samples certify (with the number chosen beforehand) where a share p of them are hits; 0
    /// for an abstention.
    fn radius_after(&self, p: f64, samples: u64) -> Result<f64, StatisticsError> {
        let hits = ((p * samples as f64) as u64).min(samples);
        let p_lower = clopper_pearson_lower(hits, samples, self.settings.alpha)?;
        Ok(self.settings.radius(p_lower).unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests;
