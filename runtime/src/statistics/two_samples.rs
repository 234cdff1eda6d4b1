//! Tests of whether an event has the same probability in two sets of samples.

use statrs::function::gamma::gamma_ur;

use super::{StatisticsError, binomial::ln_probability, clopper_pearson::MARGIN};

/// One-sided p-value of Fisher's exact test, rounded up: the probability of at least `hits` hits in the first set, given
/// the total number of hits, if a sample of either set is a hit with the same probability.
///
/// The first set has `hits` hits in `trials` samples, the second `other_hits` in `other_trials`.
///
/// # Formula
/// P\[X ≥ `hits`\] for X hypergeometric: `trials` draws from `trials + other_trials` samples, of which `hits +
/// other_hits` are hits. Terms by the saddle-point form of Loader (2000).
///
/// # Errors
/// [`StatisticsError::MoreHitsThanTrials`] if a set has more hits than samples.
///
/// ```
/// use mithridate_runtime::statistics::excess_p_value;
///
/// // The lady tasting tea, Fisher (1935): all four right, 1 / 70; three or more right, 17 / 70.
/// assert!((excess_p_value(4, 4, 0, 4)? - 1.0 / 70.0).abs() < 1e-9);
/// assert!((excess_p_value(3, 4, 1, 4)? - 17.0 / 70.0).abs() < 1e-9);
/// # Ok::<(), mithridate_runtime::statistics::StatisticsError>(())
/// ```
pub fn excess_p_value(
    hits: u64,
    trials: u64,
    other_hits: u64,
    other_trials: u64,
) -> Result<f64, StatisticsError> {
    for (hits, trials) in [(hits, trials), (other_hits, other_trials)] {
        if hits > trials {
            return Err(StatisticsError::MoreHitsThanTrials { hits, trials });
        }
    }
    let (all_hits, all) = (hits.saturating_add(other_hits), trials.saturating_add(other_trials));
    let misses = all - all_hits;
    // The smallest number of hits that the first set can have: every outcome is at least as extreme.
    if hits <= trials.saturating_sub(misses) {
        return Ok(1.0);
    }
    let (p, q) = (all_hits as f64 / all as f64, misses as f64 / all as f64);
    let first = ln_binomial(hits, trials, p, q) + ln_binomial(other_hits, other_trials, p, q)
        - ln_binomial(all_hits, all, p, q);
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    for j in hits..trials.min(all_hits) {
        let gained = (all_hits - j) as f64 * (trials - j) as f64;
        let ratio = gained / ((j + 1) as f64 * (misses + j + 1 - trials) as f64);
        term *= ratio;
        sum += term;
        if sum > 1e280 {
            return Ok(1.0);
        }
        // Ratios fall, so a geometric series bounds the remaining terms.
        if ratio < 1.0 && term * ratio / (1.0 - ratio) <= sum * 1e-16 {
            sum += term * ratio / (1.0 - ratio);
            break;
        }
    }
    Ok((first + sum.ln() + 3.0 * MARGIN).exp().next_up().min(1.0))
}

/// Two-sided p-value of Fisher's exact test, rounded up: twice the smaller of the two one-sided p-values, at most 1.
/// Parameters as in [`excess_p_value`].
///
/// # Errors
/// [`StatisticsError::MoreHitsThanTrials`] if a set has more hits than samples.
///
/// ```
/// use mithridate_runtime::statistics::difference_p_value;
///
/// assert!((difference_p_value(4, 4, 0, 4)? - 2.0 / 70.0).abs() < 1e-9);
/// assert_eq!(difference_p_value(0, 10, 0, 1000)?, 1.0);
/// # Ok::<(), mithridate_runtime::statistics::StatisticsError>(())
/// ```
pub fn difference_p_value(
    hits: u64,
    trials: u64,
    other_hits: u64,
    other_trials: u64,
) -> Result<f64, StatisticsError> {
    let more = excess_p_value(hits, trials, other_hits, other_trials)?;
    let fewer = excess_p_value(other_hits, other_trials, hits, trials)?;
    Ok((2.0 * more.min(fewer)).min(1.0))
}

/// Combines the p-values of k independent tests by Fisher's method: P\[χ² with 2k degrees of freedom ≥ −2 Σ ln p\]. For
/// p-values of counts, which are discrete, the result is valid but conservative. 1 if there are no p-values.
///
/// ```
/// use mithridate_runtime::statistics::combined_p_value;
///
/// // Two: p (1 − ln p) of their product p.
/// let product: f64 = 0.02 * 0.3;
/// assert!((combined_p_value([0.02, 0.3]) - product * (1.0 - product.ln())).abs() < 1e-9);
/// assert_eq!(combined_p_value([]), 1.0);
/// ```
pub fn combined_p_value(p_values: impl IntoIterator<Item = f64>) -> f64 {
    let (count, sum) = p_values.into_iter().fold((0_u32, 0.0), |(count, sum), p| {
        // A p-value that underflowed to 0 counts as the smallest positive number.
        (count + 1, sum - p.max(f64::MIN_POSITIVE).ln())
    });
    if count == 0 || sum <= 0.0 { 1.0 } else { gamma_ur(f64::from(count), sum) }
}

/// ln P\[X = k\] for X ~ Bin(n, p) with q = 1 − p, also for k = 0 or n = 0.
fn ln_binomial(k: u64, n: u64, p: f64, q: f64) -> f64 {
    match (k, n) {
        (_, 0) => 0.0,
        (0, _) if p == 0.0 => 0.0,
        (0, _) => n as f64 * if q > 0.5 { (-p).ln_1p() } else { q.ln() },
        _ if q == 0.0 => 0.0,
        _ => ln_probability(k, n, p, q),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of binomial coefficients in exact integer arithmetic, computed with Python.
    #[test]
    fn tails_are_those_of_whole_numbers() {
        for (hits, trials, other_hits, other_trials, expected) in KNOWN {
            let p = excess_p_value(hits, trials, other_hits, other_trials).unwrap();
            assert!(
                p >= expected * (1.0 - 1e-13),
                "{hits} {trials} {other_hits} {other_trials}: {p} {expected}"
            );
            assert!(
                (p / expected - 1.0).abs() < 1e-8,
                "{hits} {trials} {other_hits} {other_trials}: {p} {expected}"
            );
        }
    }

    const KNOWN: [(u64, u64, u64, u64, f64); 13] = [
        (3, 10, 1, 12, 0.225_563_909_774_436_08),
        (500, 1000, 450, 1000, 0.014_101_784_452_117_006),
        (990, 1000, 960, 1000, 9.504_737_471_649_538e-6),
        (1000, 1000, 985, 1000, 2.894_562_235_837_41e-5),
        (10, 1000, 0, 1000, 0.000_954_732_582_670_807_5),
        (0, 50, 3, 40, 1.0),
        (7, 100, 5, 2000, 2.939_150_330_172_232_6e-7),
        (100, 100, 90, 100, 0.000_771_026_062_717_850_3),
        (5000, 5000, 4980, 5000, 9.356_908_105_548_281e-7),
        (2600, 5000, 2500, 5000, 0.023_826_806_777_620_31),
        (1000, 1000, 9_990_000, 10_000_000, 0.367_713_845_580_717_07),
        (20_000, 20_000, 99_999_000, 100_000_000, 0.818_746_307_903_926_7),
        (480, 1000, 520, 1000, 0.966_654_891_835_151_6),
    ];

    #[test]
    fn what_can_not_differ_does_not() {
        for (hits, trials) in [(0, 0), (0, 5), (5, 5)] {
            assert_eq!(excess_p_value(hits, trials, 0, 0), Ok(1.0));
            assert_eq!(difference_p_value(hits, trials, hits * 3, trials * 3), Ok(1.0));
        }
        assert!(excess_p_value(2, 1, 0, 1).is_err() && excess_p_value(0, 1, 2, 1).is_err());
        assert!(excess_p_value(0, 10_000, 10_000, 10_000).unwrap() == 1.0);
        assert!(excess_p_value(10_000, 10_000, 0, 10_000).unwrap() < 1e-300);
        assert!(combined_p_value([0.0, 1.0]) < 1e-300 && combined_p_value([1.0, 1.0]) == 1.0);
    }
}
