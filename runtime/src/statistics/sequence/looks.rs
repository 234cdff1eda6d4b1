use crate::{
    statistics::{StatisticsError, clopper_pearson_lower},
    units::Alpha,
};

/// Ratio of the sample numbers of consecutive looks, for a known last sample.
const GROWTH: f64 = 1.2;
/// The share of α of a look is proportional to its number of samples to this power.
const POWER: f64 = 0.2;
/// Ratio of the sample numbers of consecutive looks, without a last sample.
const GEOMETRIC_GROWTH: f64 = 1.1;
/// Factor on α that covers rounding in the sum of the levels.
const SAFETY: f64 = 1.0 - 1e-9;

/// The looks of a run: numbers of samples after which a Clopper–Pearson bound is computed. Each look has its own level,
/// and the levels sum to at most α.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Looks {
    /// Numbers of samples, increasing.
    times: Vec<u64>,
    /// Failure probability of each look, in the order of `times`.
    levels: Vec<f64>,
    /// Level of an extra bound that may be used after any number of samples as long as all are hits. It is one event and
    /// so costs one level: the first T samples are all hits with probability p^T, which falls with T.
    run: Option<f64>,
}

impl Looks {
    /// Looks up to the last sample `horizon`, each after a whole number of blocks of `block` samples. `run_share` is the
    /// share of `alpha` kept for samples that are all hits.
    pub fn finite(alpha: Alpha, horizon: u64, block: u64, run_share: f64) -> Self {
        let times = times(horizon, block, GROWTH);
        let weights: Vec<f64> = times.iter().map(|&time| (time as f64).powf(POWER)).collect();
        let sum: f64 = weights.iter().sum();
        let whole = alpha.get() * SAFETY * (1.0 - run_share);
        let levels = weights.iter().map(|weight| whole * weight / sum).collect();
        Self { times, levels, run: (run_share > 0.0).then_some(alpha.get() * SAFETY * run_share) }
    }

    /// Looks of an unlimited sequence; those up to `horizon` are kept.
    pub fn geometric(alpha: Alpha, horizon: u64, block: u64) -> Self {
        let times = times(horizon, block, GEOMETRIC_GROWTH);
        let level = |j: usize| 5.0 * alpha.get() * SAFETY / ((j + 4) as f64 * (j + 5) as f64);
        let levels = (1..=times.len()).map(level).collect();
        Self { times, levels, run: None }
    }

    pub fn lower(&self, hits: u64, samples: u64) -> Result<f64, StatisticsError> {
        let mut best = 0.0_f64;
        let mut bound = |level: f64| {
            // A level that underflowed to 0 gives no bound.
            if let Ok(level) = Alpha::new(level) {
                best = best.max(clopper_pearson_lower(hits, samples, level)?);
            }
            Ok(())
        };
        if let Some(level) = self.run.filter(|_| hits == samples) {
            bound(level)?;
        }
        if let Ok(look) = self.times.binary_search(&samples) {
            bound(self.levels[look])?;
        }
        Ok(best)
    }

    /// Whether there is a bound after any number of samples that are all hits.
    pub fn holds_for_runs(&self) -> bool {
        self.run.is_some()
    }

    pub fn last_look(&self, samples: u64) -> u64 {
        match self.times.partition_point(|&time| time <= samples) {
            0 => 0,
            looks => self.times[looks - 1],
        }
    }
}

/// Sample numbers of the looks: multiples of `block` that grow by the factor `growth`, then `horizon`.
fn times(horizon: u64, block: u64, growth: f64) -> Vec<u64> {
    let mut times = Vec::new();
    let mut time = block as f64;
    while time < horizon as f64 {
        let blocks = (time / block as f64 - 1e-9).ceil() as u64 * block;
        if blocks < horizon && times.last() != Some(&blocks) {
            times.push(blocks);
        }
        time *= growth;
    }
    times.push(horizon.max(1));
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_sum_to_no_more_than_alpha() {
        for horizon in [1, 10, 64, 65, 1000, 100_000, 10_000_000_000] {
            for (alpha, share) in [(0.001, 0.2), (0.05, 0.5), (0.5, 0.0)] {
                let alpha = Alpha::new(alpha).unwrap();
                let finite = Looks::finite(alpha, horizon, 64, share);
                let sum: f64 = finite.levels.iter().sum::<f64>() + finite.run.unwrap_or(0.0);
                assert!(sum <= alpha.get() && sum > 0.999 * alpha.get(), "{horizon}: {sum}");
                let geometric = Looks::geometric(alpha, horizon, 64);
                assert!(geometric.levels.iter().sum::<f64>() < alpha.get());
                for looks in [finite, geometric] {
                    assert!(looks.times.is_sorted_by(|a, b| a < b));
                    assert_eq!(looks.times.len(), looks.levels.len());
                    assert_eq!(looks.times.last(), Some(&horizon));
                }
            }
        }
    }

    #[test]
    fn between_looks_only_unbroken_runs_prove_something() {
        let looks = Looks::finite(Alpha::USUAL, 100_000, 64, 0.2);
        assert_eq!(looks.last_look(63), 0);
        assert_eq!(looks.last_look(100), 64);
        assert_eq!(looks.last_look(99_999), looks.times[looks.times.len() - 2]);
        let between = looks.times[5] + 1;
        assert_eq!(looks.lower(between - 1, between), Ok(0.0));
        assert!(looks.lower(between, between).unwrap() > 0.9);
        assert!(looks.lower(looks.times[5] - 1, looks.times[5]).unwrap() > 0.9);
    }
}
