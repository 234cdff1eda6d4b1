use super::binomial::ln_upper_tail;
use crate::units::Alpha;

/// Why a bound can't be computed from the given counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsError {
    /// More hits than trials.
    #[error("{hits} votes out of {trials} samples are impossible: the votes are corrupt")]
    MoreHitsThanTrials {
        /// Hits.
        hits: u64,
        /// Trials.
        trials: u64,
    },
    /// More trials than [`MAX_TRIALS`], the limit of the arithmetic.
    #[error("{trials} samples are more than the {MAX_TRIALS} that a bound can be computed for")]
    TooManyTrials {
        /// Trials.
        trials: u64,
    },
    /// The stopping rule would not have stopped after `samples` samples with these votes.
    #[error("the stopping rule does not stop after {samples} samples with these votes")]
    NotAMoment {
        /// Samples.
        samples: u64,
    },
    /// No trials at all.
    #[error("a bound needs at least one sample")]
    NoTrials,
}

/// Safety margin: the logarithm of the tail must stay below ln α by this much. It covers the rounding error of the tail,
/// which grows with the square root of the number of trials (measured against multi-precision arithmetic: 5e-12 at 1e8
/// trials, 4e-11 at 1e10). For α up to ½ it lowers the bound by less than 2e-10 of its distance to 0 or 1.
pub(super) const MARGIN: f64 = 1e-10;

/// Largest number of trials for which a bound can be computed: up to here the safety margin is known to cover rounding.
pub const MAX_TRIALS: u64 = 10_000_000_000;

/// One-sided Clopper–Pearson lower bound: the largest p for which `hits` or more successes in `trials` have
/// probability at most α, BetaInv(α; k, n − k + 1), rounded down.
///
/// Here k is `hits` and n is `trials`. With probability at least 1 − α over the trials, the true probability is not
/// below the result. The result is 0 if there are no hits and α^(1/n) if every trial is a hit. Clopper and Pearson,
/// *The use of confidence or fiducial limits* (1934); used for certification by Cohen, Rosenfeld and Kolter (2019).
///
/// # Errors
/// [`StatisticsError`] if there are no trials, more than 1e10, or more hits than trials.
///
/// # Example
/// ```
/// use mithridate_runtime::{statistics::clopper_pearson_lower, units::Alpha};
///
/// let alpha = Alpha::new(0.001)?;
/// // Ten unanimous votes are the fewest that certify anything at this α.
/// assert!(clopper_pearson_lower(9, 9, alpha)? < 0.5);
/// assert!(clopper_pearson_lower(10, 10, alpha)? > 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clopper_pearson_lower(hits: u64, trials: u64, alpha: Alpha) -> Result<f64, StatisticsError> {
    if trials == 0 {
        return Err(StatisticsError::NoTrials);
    }
    if trials > MAX_TRIALS {
        return Err(StatisticsError::TooManyTrials { trials });
    }
    if hits > trials {
        return Err(StatisticsError::MoreHitsThanTrials { hits, trials });
    }
    if hits == 0 {
        return Ok(0.0);
    }
    let target = alpha.get().ln() - MARGIN;
    let share = hits as f64 / trials as f64;
    let miss_share = (trials - hits) as f64 / trials as f64;
    // Bisect on the smaller of p and q = 1 − p, so that the answer has full relative precision at both ends.
    let bound = if share > 0.5 {
        let q = bisect(miss_share, 1.0, |q| ln_upper_tail(hits, trials, 1.0 - q, q) <= target);
        1.0 - q
    } else {
        let p = bisect(share, 0.0, |p| ln_upper_tail(hits, trials, p, 1.0 - p) <= target);
        p.min(1.0)
    };
    Ok(bound.next_down().max(0.0))
}

/// Bisects between `unsafe_end` and `safe_end` for the number closest to `unsafe_end` at which `safe` is true. `safe`
/// is assumed to be true at `safe_end`. If it is true at `unsafe_end` too (α near 1), returns `unsafe_end`: the bound
/// is then not above the observed share.
pub(super) fn bisect(unsafe_end: f64, safe_end: f64, safe: impl Fn(f64) -> bool) -> f64 {
    if unsafe_end > 0.0 && unsafe_end < 1.0 && safe(unsafe_end) {
        return unsafe_end;
    }
    let (mut bad, mut good) = (unsafe_end, safe_end);
    // Geometric means first: they find the order of magnitude in few evaluations far out in the tail.
    loop {
        let middle = if good > bad && good > 4.0 * bad && bad > 0.0 {
            (bad * good).sqrt()
        } else {
            f64::midpoint(bad, good)
        };
        if middle == bad || middle == good || !(middle > 0.0 && middle < 1.0) {
            return good;
        }
        if safe(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alpha(value: f64) -> Alpha {
        Alpha::new(value).unwrap()
    }

    #[test]
    fn unanimous_votes_have_a_closed_form() {
        for n in [1_u64, 2, 10, 100, 1000, 100_000, 10_000_000, 100_000_000] {
            for a in [0.5_f64, 0.05, 0.001, 1e-9] {
                let exact = -((a.ln() / n as f64).exp_m1());
                let bound = 1.0 - clopper_pearson_lower(n, n, alpha(a)).unwrap();
                assert!(bound >= exact, "n {n} α {a}: {bound} {exact}");
                assert!(bound - exact < 1e-9 * exact + 3e-16, "n {n} α {a}: {bound} {exact}");
            }
        }
    }

    #[test]
    fn published_value_for_a_hundred_thousand_unanimous_votes() {
        let bound = clopper_pearson_lower(100_000, 100_000, alpha(0.001)).unwrap();
        assert_eq!((bound * 1e8).round() / 1e8, 0.999_930_92);
    }

    #[test]
    fn impossible_counts_are_refused() {
        assert_eq!(clopper_pearson_lower(0, 0, alpha(0.1)), Err(StatisticsError::NoTrials));
        assert!(clopper_pearson_lower(11, 10, alpha(0.1)).is_err());
        assert!(clopper_pearson_lower(1, 10_000_000_001, alpha(0.1)).is_err());
    }

    proptest! {
        #[test]
        fn more_hits_never_lower_the_bound(n in 1_u64..5000, k in 0_u64..5000, a in 1e-6_f64..0.4) {
            let k = k % n;
            let low = clopper_pearson_lower(k, n, alpha(a)).unwrap();
            let high = clopper_pearson_lower(k + 1, n, alpha(a)).unwrap();
            prop_assert!(low < high);
            prop_assert!(low <= k as f64 / n as f64);
        }

        #[test]
        fn a_smaller_alpha_never_raises_the_bound(n in 1_u64..5000, k in 1_u64..5000, a in 1e-6_f64..0.4) {
            let k = k % n + 1;
            let strict = clopper_pearson_lower(k, n, alpha(a / 2.0)).unwrap();
            prop_assert!(strict <= clopper_pearson_lower(k, n, alpha(a)).unwrap());
        }
    }
}
