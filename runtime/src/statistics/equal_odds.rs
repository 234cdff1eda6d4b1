use super::binomial::ln_upper_tail;

/// p-value of the two-sided exact binomial test of the counts `a` and `b` against equal probabilities, rounded up: the
/// probability that a + b throws of a fair coin split at least as unevenly, min(1, 2·P\[X ≥ max(a, b)\]) with
/// X ~ Bin(a + b, ½).
///
/// 1 if both counts are 0. PREDICT of Cohen, Rosenfeld and Kolter (2019) abstains by this test.
///
/// ```
/// use mithridate_runtime::statistics::equal_odds_p_value;
///
/// // 2 · (1 + 10 + 45) / 1024
/// assert!((equal_odds_p_value(8, 2) - 0.109_375).abs() < 1e-9);
/// assert_eq!(equal_odds_p_value(5, 5), 1.0);
/// ```
pub fn equal_odds_p_value(a: u64, b: u64) -> f64 {
    let (most, total) = (a.max(b), a.saturating_add(b));
    if a == b {
        return 1.0;
    }
    // The margin covers the rounding of the tail, as for the Clopper–Pearson bound.
    let tail = ln_upper_tail(most, total, 0.5, 0.5) + super::clopper_pearson::MARGIN;
    (2.0 * tail.exp()).next_up().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Closed forms, and sums of the tail with 40 digits.
    #[test]
    fn published_values() {
        for (a, b, expected) in [
            (10, 0, 2.0 / 1024.0),
            (0, 20, 2.0 / 1_048_576.0),
            (60, 40, 0.056_887_933_640_980_78),
            (7, 5, 0.774_414_062_5),
            (501, 499, 0.974_774_981_821_639_2),
            (50_600, 49_400, 0.000_149_671_910_914_373_0),
        ] {
            let value = equal_odds_p_value(a, b);
            assert!(value >= expected * (1.0 - 1e-13), "{a} {b}: {value} {expected}");
            assert!((value / expected - 1.0).abs() < 1e-8, "{a} {b}: {value} {expected}");
        }
        assert_eq!((equal_odds_p_value(0, 0), equal_odds_p_value(4, 4)), (1.0, 1.0));
    }
}
