//! Recertification: certificates for a changed model from the run of an earlier model.
//!
//! After Ugare, Suresh, Banerjee, Singh and Misailovic, *Incremental randomized smoothing certification* (2024). The
//! noise of the first n′ of the n estimation samples of the earlier run is run through the changed model. A sample is
//! *lost* if it voted for the class in the earlier run and does not vote for it now. Let ζ be an upper bound on the
//! probability of a lost sample at confidence 1 − `α_ζ`, and p̲ the earlier bound at confidence 1 − α. Then the
//! probability of the class under the changed model is at least p̲ − ζ at confidence 1 − (α + `α_ζ`), by the union
//! bound. Samples that changed to the class or between other classes do not weaken the bound and are not counted as
//! lost.
//!
//! If a fresh certification promises a larger radius, it is done instead: n samples of new noise at level α + `α_ζ`.
//! The choice depends only on the selection votes of the earlier run, which are independent of the earlier bound, of ζ
//! and of new samples. So either certificate is wrong with probability at most α + `α_ζ`.
//!
//! The argument requires that the changed model was made without using the noise of the earlier run. That noise follows
//! from the earlier seed, which is known before the changed model exists. A dishonest party can make a model that
//! answers right for just these samples, and no file can reveal it. So under a [challenge](super::challenge_seed),
//! which is named after the model was made, every input is certified again with noise that follows from the challenge.

use serde::{Deserialize, Serialize};

use crate::{
    certify::{Settings, Vote},
    statistics::{StatisticsError, clopper_pearson_lower},
    units::Alpha,
};

/// The terms on which a recertification uses the earlier run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recertification {
    /// Last chain value of the earlier run, which identifies its result.
    pub from: String,
    /// SHA-256 of the earlier model.
    pub from_model_sha256: String,
    /// α of the earlier run.
    pub alpha: Alpha,
    /// `α_ζ`: the probability with which the bound ζ on lost samples may be wrong.
    pub alpha_change: Alpha,
    /// Seed of the earlier run.
    pub seed: u64,
    /// n of the earlier run.
    pub n: u64,
    /// n′: the number of estimation samples of each input that were run through the changed model.
    pub replayed: u64,
}

/// The earlier bound of an input, and how its votes changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Lower bound p̲ of the earlier run.
    pub p_lower: f64,
    /// Number of lost votes: samples that voted for the class in the earlier run and do not now.
    pub lost: u64,
    /// Number of changed votes: samples with any other vote than in the earlier run.
    pub changed: u64,
}

impl Change {
    /// Compares the votes of the two models for the same noise. `before` and `after` are the votes of the earlier and
    /// the changed model, sample by sample.
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

    /// The new bound p̲ − ζ, rounded down, at least 0. `samples` is n′ and `alpha_change` is `α_ζ`.
    ///
    /// # Errors
    /// [`StatisticsError`] if more votes were lost than samples were run.
    pub fn bound(&self, samples: u64, alpha_change: Alpha) -> Result<f64, StatisticsError> {
        let kept = samples
            .checked_sub(self.lost)
            .ok_or(StatisticsError::MoreHitsThanTrials { hits: self.lost, trials: samples })?;
        // The upper bound ζ on the lost share is 1 minus a lower bound on the kept share.
        let kept = clopper_pearson_lower(kept, samples, alpha_change)?;
        let bound = (self.p_lower - (1.0 - kept).next_up()).next_down();
        // An invalid earlier bound, such as NaN, must not give a certificate.
        Ok(if bound > 0.0 && bound < 1.0 { bound } else { 0.0 })
    }
}

impl Recertification {
    /// Settings for inputs that are certified again with fresh samples: level α + `α_ζ`, `n` samples and seed `seed`;
    /// the rest as in the settings `old` of the earlier run.
    ///
    /// # Errors
    /// If α + `α_ζ` is not below 1.
    pub fn settings(&self, old: &Settings, n: u64, seed: u64) -> Result<Settings, crate::units::UnitError> {
        let alpha = Alpha::new(self.alpha.get() + self.alpha_change.get())?;
        Ok(Settings { alpha, n, seed, ..old.clone() })
    }

    /// Whether the bound from the earlier run promises a larger radius than fresh samples, for an input with
    /// `selection_hits` of `settings.n0` selection votes and assuming that no vote is lost.
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
        // The earlier probability is 0.9, and the changed model loses 0.01 of it. At confidence 1 − 0.002 the bound is
        // rarely wrong.
        let change = Change { p_lower: 0.8985, lost: 100, changed: 200 };
        let bound = change.bound(10_000, Alpha::USUAL).unwrap();
        let sigma = Sigma::new(0.5).unwrap();
        assert!(bound < 0.89 && certified_radius(bound, sigma) < certified_radius(0.89, sigma));
    }
}
