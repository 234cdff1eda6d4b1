use statrs::function::factorial::ln_binomial;

/// Predicts an upper limit on the hits among the next `more` samples, after `hits` hits in `samples` samples.
///
/// Returns a number h such that more than h of the next `more` samples are hits with probability at most `chance` under
/// the beta–binomial distribution, that is, with a uniform prior on the probability of a hit. h is slightly larger than
/// the smallest such number. `hits` must be at most `samples`.
pub(crate) fn likely_hits(hits: u64, samples: u64, more: u64, chance: f64) -> u64 {
    let (mut few, mut enough) = (0, more);
    while few < enough {
        let middle = u64::midpoint(few, enough);
        if upper_tail(middle + 1, hits, samples - hits, more) <= chance {
            enough = middle;
        } else {
            few = middle + 1;
        }
    }
    enough
}

/// Upper bound on the probability that `k` or more of the next `more` samples are hits, after `hits` hits and `misses`
/// misses. The beta–binomial distribution is log-concave, so beyond its mode a geometric series bounds the terms.
fn upper_tail(k: u64, hits: u64, misses: u64, more: u64) -> f64 {
    let rest = more - k;
    let ratio = rest as f64 / (k + 1) as f64 * (k + 1 + hits) as f64 / (rest + misses) as f64;
    if rest > 0 && ratio >= 1.0 {
        return 1.0;
    }
    let ln_probability = ln_binomial(k + hits, hits) + ln_binomial(rest + misses, misses)
        - ln_binomial(more + hits + misses + 1, more);
    (ln_probability.exp() / if rest > 0 { 1.0 - ratio } else { 1.0 }).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same probability by Laplace's rule of succession, one sample after the other.
    fn distribution(hits: u64, samples: u64, more: u64) -> Vec<f64> {
        let mut chances = vec![1.0];
        for drawn in 0..more {
            let mut next = vec![0.0; chances.len() + 1];
            for (k, chance) in chances.iter().enumerate() {
                let p = (hits + k as u64 + 1) as f64 / (samples + drawn + 2) as f64;
                next[k + 1] += chance * p;
                next[k] += chance * (1.0 - p);
            }
            chances = next;
        }
        chances
    }

    #[test]
    fn more_hits_than_likely_come_with_at_most_that_chance() {
        for (hits, samples, more) in
            [(0, 0, 40), (64, 64, 300), (50, 64, 500), (3, 200, 100), (600, 1000, 400)]
        {
            let chances = distribution(hits, samples, more);
            for chance in [0.001, 0.01, 0.1] {
                let likely = likely_hits(hits, samples, more, chance) as usize;
                let beyond = |h: usize| chances[h + 1..].iter().sum::<f64>();
                assert!(beyond(likely) <= chance, "{hits} {samples} {more} {chance}: {likely}");
                // The bound on the tail costs little: with four samples, or a fiftieth, fewer the chance is above the
                // limit.
                let fewer = likely.saturating_sub(4 + likely / 50);
                assert!(likely == 0 || beyond(fewer) > chance, "{hits} {samples} {more} {chance}: {likely}");
            }
        }
    }

    #[test]
    fn hits_alone_may_go_on_unless_there_were_few() {
        assert_eq!(likely_hits(50_000, 50_000, 50_000, 0.01), 50_000);
        let few = likely_hits(64, 64, 99_936, 0.01);
        assert!(few < 99_936 && few > 99_900, "{few}");
        assert_eq!(likely_hits(10, 20, 0, 0.01), 0);
    }

    #[test]
    fn large_numbers_are_no_trouble() {
        // The share is known to ±1.6e-5; the 99 % quantile of the coming hits is 2.33 standard deviations above their
        // mean.
        let likely = likely_hits(900_000_000, 1_000_000_000, 9_000_000_000, 0.01);
        let deviations = (likely as f64 - 8.1e9) / (9e9_f64 * 0.09 * 10.0).sqrt();
        assert!((deviations - 2.33).abs() < 0.1, "{deviations}");
    }
}
