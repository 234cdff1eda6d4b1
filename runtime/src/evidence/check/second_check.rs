use statrs::function::beta::beta_reg;

use crate::evidence::{Header, Record};

/// Largest number of trials for which the second computation of a bound is known to be accurate.
pub(super) const MOST_TRIALS: u64 = 10_000_000;

/// Allowed relative error of the upper tail of the normal distribution in the second computation of a radius: three
/// times the largest error measured at 4,000,000 points (1.03e-10).
const TAIL_ERROR: f64 = 3e-10;

/// Checks bound and radius of a record a second time with other code: the bound by the definition of Clopper and
/// Pearson, the radius by the distribution function of the noise.
pub(super) fn check_again(record: &Record, header: &Header, mut add: impl FnMut(String)) {
    let alpha = header.settings.alpha.get();
    let Record { p_lower, radius, .. } = *record;
    let hits = record.class.and_then(|class| record.estimation.by_class().get(class)).copied().unwrap_or(0);
    let trials = record.samples;
    // A bound from an earlier run does not follow from these votes.
    let known = record.change.is_none()
        && (1..=trials).contains(&hits)
        && trials <= MOST_TRIALS
        && p_lower > 0.0
        && p_lower < 1.0;
    if known {
        // P[X ≥ k] for X ~ Binomial(n, p) is the incomplete beta function I_p(k, n − k + 1).
        let tail = beta_reg(hits as f64, (trials - hits) as f64 + 1.0, p_lower);
        if tail.is_nan() || tail > alpha * (1.0 + 1e-6) {
            add(format!(
                "{hits} or more votes of {trials} have probability {tail} at its p_lower, more than alpha {alpha}"
            ));
        }
    } else if record.change.is_none() && hits == 0 && p_lower > 0.0 {
        add(format!("its p_lower is {p_lower} without a vote for its class"));
    }
    // The largest probability of the other classes for which the radius is valid.
    let others = header.settings.distribution.definition().others_at(radius, header.settings.sigma);
    if radius > 0.0 && (others.is_nan() || others < (1.0 - p_lower) * (1.0 - TAIL_ERROR) - f64::EPSILON) {
        let reach = 1.0 - others;
        add(format!("its radius {radius} needs a probability of {reach} and its p_lower is {p_lower}"));
    }
}
