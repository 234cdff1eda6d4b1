//! Certificates for a changed model that rest on those of the model before.
//!
//! After Ugare, Suresh, Banerjee, Singh and Misailovic, *Incremental randomized smoothing certification* (2024). The
//! noise of the old run is run through the new model for the first n′ of the n samples. Where a sample voted for the
//! class before and does not any more, the new model has lost it; if ζ is an upper bound on the share of lost samples at
//! confidence 1 − `α_ζ` and p̲ the old bound at confidence 1 − α, the new probability of the class is at least p̲ − ζ at
//! confidence 1 − (α + `α_ζ`), by the union bound. Samples that changed to the class, or between other classes, do no
//! harm and are not counted.
//!
//! Where fresh certification promises more, it is done instead: n samples of new noise at level α + `α_ζ`. Which of the
//! two it is depends on nothing but the old selection votes, in which neither the old bound nor ζ nor a new sample has a
//! part: so whichever is taken, it is wrong with probability at most α + `α_ζ`.
//!
//! The union bound needs that the changed model was made without looking at the noise of the old run. That noise follows
//! from the old seed, which is known before the changed model exists: somebody who means to deceive can make a model that
//! answers right for these samples and no others, and no file can tell. Under a [challenge](super::challenge_seed), named
//! after the model was made, every input is therefore certified anew, with noise that follows from the challenge.

use serde::{Deserialize, Serialize};

use crate::{
    certify::{Settings, Vote},
    statistics::{StatisticsError, clopper_pearson_lower},
    units::Alpha,
};

/// What a run for a changed model rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recertification {
    /// Last chain value of the old run: names its result.
    pub from: String,
    /// SHA-256 of the old model.
    pub from_model_sha256: String,
    /// α of the old run.
    pub alpha: Alpha,
    /// `α_ζ`, the probability that too few lost samples are believed in.
    pub alpha_change: Alpha,
    /// Seed of the old run, whose noise was run through the new model.
    pub seed: u64,
    /// n of the old run.
    pub n: u64,
    /// n′, the samples of it that were run through the new model.
    pub replayed: u64,
}

/// What the old run and the replayed noise say of an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Bound of the old run.
    pub p_lower: f64,
    /// Samples that voted for the class before and do not any more.
    pub lost: u64,
    /// Samples whose vote changed at all.
    pub changed: u64,
}

impl Change {
    /// Compares the votes of the same noise through both models.
    pub fn new(class: usize, p_lower: f64, before: &[Vote], after: &[Vote]) -> Self {
        let pairs = || before.iter().zip(after);
        let count = |counts: &dyn Fn(Vote, Vote) -> bool| {
            pairs().filter(|&(&before, &after)| counts(before, after)).count() as u64
        };
        Self {
            p_lower,
            lost: count(&|before, after| usize::from(before) == class && usize::from(after) != class),
            changed: count(&|before, after| before != after),
        }
    }

    /// p̲ − ζ, rounded down.
    ///
    /// # Errors
    /// [`StatisticsError`] if more samples were lost than run.
    pub fn bound(&self, samples: u64, alpha_change: Alpha) -> Result<f64, StatisticsError> {
        let kept = samples
            .checked_sub(self.lost)
            .ok_or(StatisticsError::MoreHitsThanTrials { hits: self.lost, trials: samples })?;
        // An upper bound on the lost is one minus a lower bound on the others, and p̲ + kept is below 2.
        let kept = clopper_pearson_lower(kept, samples, alpha_change)?;
        let bound = (self.p_lower - (1.0 - kept).next_up()).next_down();
        // A bound that was made up must not come out as a number.
        Ok(if bound > 0.0 && bound < 1.0 { bound } else { 0.0 })
    }
}

impl Recertification {
    /// Settings of inputs certified anew: n samples at level α + `α_ζ`, everything else as before.
    ///
    /// # Errors
    /// If α + `α_ζ` is no probability.
    pub fn settings(&self, old: &Settings, n: u64, seed: u64) -> Result<Settings, crate::units::UnitError> {
        let alpha = Alpha::new(self.alpha.get() + self.alpha_change.get())?;
        Ok(Settings { alpha, n, seed, ..old.clone() })
    }

    /// Whether the incremental bound promises a larger radius than fresh samples, for an input with this share of the
    /// selection votes, if hardly a vote changes.
    pub fn is_incremental(&self, selection_hits: u64, settings: &Settings) -> bool {
        let share = selection_hits as f64 / settings.n0 as f64;
        let bound = |samples: u64, alpha: Alpha| {
            clopper_pearson_lower(((share * samples as f64) as u64).min(samples), samples, alpha)
                .unwrap_or(0.0)
        };
        let change = Change { p_lower: bound(self.n, self.alpha), lost: 0, changed: 0 };
        change
            .bound(self.replayed, self.alpha_change)
            .is_ok_and(|incremental| incremental > bound(settings.n, settings.alpha))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{certify::TIE, statistics::certified_radius, units::Sigma};

    fn from() -> Recertification {
        Recertification {
            from: String::new(),
            from_model_sha256: String::new(),
            alpha: Alpha::USUAL,
            alpha_change: Alpha::USUAL,
            seed: 1,
            n: 100_000,
            replayed: 10_000,
        }
    }

    #[test]
    fn only_what_the_class_lost_counts() {
        let before = [0, 0, 0, 1, 1, TIE, 0];
        let after = [0, 1, TIE, 0, 2, 0, 0];
        assert_eq!(Change::new(0, 0.9, &before, &after), Change { p_lower: 0.9, lost: 2, changed: 5 });
    }

    #[test]
    fn the_bound_is_the_old_one_less_the_most_that_can_be_lost() {
        let change = Change { p_lower: 0.9, lost: 0, changed: 0 };
        // 1 − 0.001^(1/10000).
        let zeta = -(0.001_f64.ln() / 10_000.0).exp_m1();
        let bound = change.bound(10_000, Alpha::USUAL).unwrap();
        assert!(bound <= 0.9 - zeta && bound > 0.9 - zeta - 1e-9);
        assert!(Change { lost: 50, ..change.clone() }.bound(10_000, Alpha::USUAL).unwrap() < bound - 0.005);
        assert!(Change { lost: 10_001, ..change.clone() }.bound(10_000, Alpha::USUAL).is_err());
        assert_eq!(Change { p_lower: f64::NAN, ..change.clone() }.bound(100, Alpha::USUAL), Ok(0.0));
        assert_eq!(Change { p_lower: 7.0, ..change }.bound(10_000, Alpha::USUAL), Ok(0.0));
    }

    #[test]
    fn fresh_samples_are_for_inputs_that_hardly_ever_err() {
        let old = Settings { n0: 1000, ..Settings::new(Sigma::new(0.5).unwrap(), 1) };
        let settings = from().settings(&old, 10_000, 2).unwrap();
        assert_eq!(settings.alpha.get(), 0.002);
        assert!(!from().is_incremental(1000, &settings));
        assert!(from().is_incremental(990, &settings));
        assert!(from().is_incremental(600, &settings));
    }

    /// The smoothed probability of a class falls by at most the lost share, whatever the models.
    #[test]
    fn a_radius_by_the_old_bound_is_not_above_the_true_one() {
        // Old probability 0.9, of which the new model loses 0.01; at confidence 1 − 0.002 nearly never wrong.
        let change = Change { p_lower: 0.8985, lost: 100, changed: 200 };
        let bound = change.bound(10_000, Alpha::USUAL).unwrap();
        let sigma = Sigma::new(0.5).unwrap();
        assert!(bound < 0.89 && certified_radius(bound, sigma) < certified_radius(0.89, sigma));
    }
}
