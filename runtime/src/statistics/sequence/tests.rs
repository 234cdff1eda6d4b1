use proptest::prelude::*;
use statrs::function::gamma::ln_gamma;

use super::{betting::ln_wealth, *};

const FORMS: [SequenceForm; 3] = [SequenceForm::Looks, SequenceForm::Geometric, SequenceForm::Betting];

#[test]
fn wealth_is_that_of_betting_sample_by_sample() {
    for (p, period) in [(0.5_f64, 2_u64), (0.9, 7), (0.977, 30), (0.3, 1000)] {
        let (mut hits, mut wealth) = (0, 0.0_f64);
        for samples in 0..2000_u64 {
            let q = (hits as f64 + 0.5) / (samples as f64 + 1.0);
            if samples % period == 0 {
                wealth += ((1.0 - q) / (1.0 - p)).ln();
            } else {
                wealth += (q / p).ln();
                hits += 1;
            }
            let closed = ln_wealth(hits, samples + 1, p, 1.0 - p);
            assert!((closed - wealth).abs() < 1e-9 * (1.0 + wealth.abs()), "{samples}: {closed} {wealth}");
        }
    }
}

#[test]
fn wealth_is_precise_for_many_samples() {
    // ln Γ of large numbers loses digits by cancellation: about 1e-7 remains for these.
    for (hits, samples) in
        [(9_999_000_u64, 10_000_000_u64), (5_100_000, 10_000_000), (10_000_000, 10_000_000)]
    {
        let (h, f) = (hits as f64, (samples - hits) as f64);
        let p = h / (h + f) - 1e-3;
        let plain = ln_gamma(h + 0.5) + ln_gamma(f + 0.5)
            - ln_gamma(h + f + 1.0)
            - core::f64::consts::PI.ln()
            - h * p.ln()
            - f * (-p).ln_1p();
        let found = ln_wealth(hits, samples, p, 1.0 - p);
        assert!((found - plain).abs() < 1e-5, "{hits} of {samples}: {found} {plain}");
    }
}

#[test]
fn a_bound_is_where_the_wealth_reaches_one_over_alpha() {
    let sequence = ConfidenceSequence::new(SequenceForm::Betting, Alpha::USUAL, 1, 64, 0.0);
    for (hits, samples) in
        [(1, 1), (64, 64), (600, 1000), (99_990, 100_000), (3, 1000), (100_000_000, 100_000_000)]
    {
        let bound = sequence.lower(hits, samples).unwrap();
        let wealth = ln_wealth(hits, samples, bound, 1.0 - bound);
        assert!(bound < hits as f64 / samples as f64);
        assert!(
            wealth >= 1000.0_f64.ln() && wealth < 1000.0_f64.ln() + 1e-6,
            "{hits} of {samples}: {wealth}"
        );
    }
    assert_eq!(sequence.lower(0, 10), Ok(0.0));
}

#[test]
fn impossible_counts_are_refused() {
    for form in FORMS {
        let sequence = ConfidenceSequence::new(form, Alpha::USUAL, 1000, 64, 0.2);
        assert_eq!(sequence.lower(0, 0), Err(StatisticsError::NoTrials));
        assert!(sequence.lower(11, 10).is_err());
        assert!(sequence.lower(1, MAX_TRIALS + 1).is_err());
    }
}

proptest! {
    #[test]
    fn bounds_lie_below_the_share_and_grow_with_hits(
        form in 0_usize..3, blocks in 1_u64..300, k in 0_u64..20_000, a in 1e-6_f64..0.3
    ) {
        let sequence = ConfidenceSequence::new(FORMS[form], Alpha::new(a).unwrap(), 20_000, 64, 0.2);
        let samples = sequence.last_look(blocks * 64);
        let hits = k % samples;
        let lower = sequence.lower(hits, samples).unwrap();
        prop_assert!(lower <= hits as f64 / samples as f64);
        prop_assert!(lower <= sequence.lower(hits + 1, samples).unwrap());
        // Never better than the bound for a number of samples fixed beforehand.
        prop_assert!(lower <= crate::statistics::clopper_pearson_lower(hits, samples, Alpha::new(a).unwrap()).unwrap());
    }
}
