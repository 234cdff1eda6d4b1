//! High-probability certified accuracy: a lower bound on certified accuracy that accounts for wrong certificates.
//!
//! Let W be the number of wrong certificates among m inputs. Each is wrong with probability at most α, so E\[W\] ≤ m·α.
//! The true certified accuracy is at least the counted one minus W/m. So an upper bound on W that is valid with
//! probability 1 − ρ gives a lower bound on accuracy with the same probability.
//!
//! **Markov.** However certificates depend on each other, P\[W ≥ k\] ≤ m·α/k. For k = ⌈m·α/ρ⌉ this is at most ρ, so W ≤
//! ⌈m·α/ρ⌉ − 1 with probability at least 1 − ρ. For m·α ≤ ρ this is the union bound: no certificate is wrong. Without
//! independence it can't be improved, since k certificates may be wrong together with probability m·α/k. Noise shared
//! by all inputs causes such dependence: similar inputs are wrong together.
//!
//! **Bernstein.** If certificates are wrong independently of each other, as with separate noise for each input, then
//! W/m ≤ α + √(2α(1−α)·ln(1/ρ)/m) + ln(1/ρ)/(3m) with probability at least 1 − ρ. Some published scripts omit the
//! factor 2; at m = 10,000 and α = 0.001 their bound fails with a probability above ρ.

use serde::Serialize;

use super::Run;
use crate::noise::NoiseMode;

/// ρ: the largest probability that a high-probability certified accuracy is too high.
pub(super) const RHO: f64 = 0.001;

/// The inequality behind a high-probability certified accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HighProbabilityBound {
    /// The run makes a simultaneous claim about all inputs with a failure probability of at most ρ: nothing is
    /// subtracted.
    Simultaneous,
    /// Bernstein's inequality for independent certificates, or Markov's if that subtracts less.
    Bernstein,
    /// Markov's inequality, which is valid however certificates depend on each other.
    Markov,
}

impl HighProbabilityBound {
    /// The bound that is valid for `run`.
    pub(super) fn of(run: &Run) -> Self {
        if run.family_alpha.is_some_and(|alpha| alpha.get() <= RHO) {
            return Self::Simultaneous;
        }
        match run.noise_mode {
            Some(NoiseMode::Shared) => Self::Markov,
            Some(NoiseMode::Independent) | None => Self::Bernstein,
        }
    }

    /// Lower bound on the true accuracy: `accuracy` minus the largest share of `inputs` inputs that may be wrong, each
    /// with probability `alpha`. Rounded down.
    pub(super) fn lower(self, accuracy: f64, inputs: usize, alpha: f64) -> f64 {
        let wrong = match self {
            Self::Simultaneous => return accuracy,
            Self::Bernstein => bernstein(alpha, inputs).min(markov(alpha, inputs)),
            Self::Markov => markov(alpha, inputs),
        };
        if wrong == 0.0 {
            return accuracy;
        }
        // The factor covers the rounding errors of a few operations.
        (accuracy - wrong * (1.0 + 1e-15)).next_down().max(0.0)
    }
}

/// Largest share of wrong certificates by Markov's inequality: (⌈m·α/ρ⌉ − 1)/m.
fn markov(alpha: f64, inputs: usize) -> f64 {
    let m = inputs.max(1) as f64;
    // The factor keeps the quotient from exceeding a whole number by rounding alone; it changes ρ by 1e-12 of it.
    let most = (m * alpha / RHO * (1.0 - 1e-12)).ceil() - 1.0;
    (most / m).clamp(0.0, 1.0)
}

fn bernstein(alpha: f64, inputs: usize) -> f64 {
    let (m, log) = (inputs.max(1) as f64, (1.0 / RHO).ln());
    alpha + (2.0 * alpha * (1.0 - alpha) * log / m).sqrt() + log / (3.0 * m)
}

#[cfg(test)]
mod tests {
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn independent_certificates_by_bernsteins_inequality() {
        // m = 500, α = ρ = 0.001: slack 0.001 + sqrt(2 · 0.000999 · 6.907755 / 500) + 6.907755 / 1500.
        let lower = HighProbabilityBound::Bernstein.lower(0.8, 500, 0.001);
        assert!((lower - (0.8 - 0.001 - 0.005_253_9 - 0.004_605_17)).abs() < 1e-6);
        assert_eq!(HighProbabilityBound::Bernstein.lower(0.0, 500, 0.001), 0.0);
    }

    #[test]
    fn dependent_certificates_by_markovs_inequality() {
        let markov = |inputs, alpha| HighProbabilityBound::Markov.lower(0.8, inputs, alpha);
        // m·α/ρ is 4.5, 5 and 5.1: no more than 4, 4 and 5 certificates are wrong.
        for (inputs, wrong) in [(450, 4.0), (500, 4.0), (510, 5.0)] {
            let expected = 0.8 - wrong / f64::from(inputs);
            assert!((markov(inputs as usize, 1e-5) - expected).abs() < 1e-12, "{inputs}");
        }
        // The union bound: none is wrong.
        assert_eq!(markov(90, 1e-5), 0.8);
        // At α = ρ, Markov's inequality allows 499 of 500 certificates to be wrong: at most one counts as correct.
        assert_eq!(markov(500, 0.001), 0.0);
        assert!((HighProbabilityBound::Markov.lower(1.0, 500, 0.001) - 0.002).abs() < 1e-12);
        assert_eq!(HighProbabilityBound::Markov.lower(1.0, 500, 0.5), 0.0);
        // For small α, Markov's inequality is the better one for independent certificates too.
        assert_eq!(HighProbabilityBound::Bernstein.lower(0.8, 90, 1e-5), 0.8);
    }

    /// Certificates of similar inputs that share their noise are right or wrong together. Groups of equal size, wrong
    /// at once, each with probability α, are simulated a million times.
    #[test]
    fn groups_that_are_wrong_together_break_bernsteins_bound_and_not_markovs() {
        const INPUTS: usize = 500;
        const ALPHA: f64 = 1e-5;
        const RUNS: u32 = 1_000_000;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut too_high = |bound: HighProbabilityBound, size: usize| {
            // Number of wrong groups, drawn by inversion of the binomial distribution.
            let groups = INPUTS / size;
            let none = (groups as f64 * (-ALPHA).ln_1p()).exp();
            let one = none * groups as f64 * ALPHA / (1.0 - ALPHA);
            let mut broken = 0_u32;
            for _ in 0..RUNS {
                let u = (random.next_u64() >> 11) as f64 / 2.0_f64.powi(53);
                // Three or more wrong groups are ignored: they occur once in ten million runs.
                let wrong = size * (usize::from(u >= none) + usize::from(u >= none + one));
                // All inputs are counted as correct, although some certificates are wrong.
                let truth = 1.0 - wrong as f64 / INPUTS as f64;
                broken += u32::from(bound.lower(1.0, INPUTS, ALPHA) > truth);
            }
            f64::from(broken) / f64::from(RUNS)
        };
        // One standard error of a share of 0.001 is 3.2e-5.
        let most = RHO + 4.0 * 3.2e-5;
        for size in [1, 2, 3, 4, 5, 10, 50, 250, 500] {
            let share = too_high(HighProbabilityBound::Markov, size);
            assert!(share <= most, "groups of {size}: {share}");
        }
        // The bound can't be improved: groups of 5 fail with probability ρ.
        assert!(too_high(HighProbabilityBound::Markov, 5) > 0.8 * RHO);
        // Bernstein's bound is valid for independent inputs, but not for groups.
        assert!(too_high(HighProbabilityBound::Bernstein, 1) <= most);
        assert!(too_high(HighProbabilityBound::Bernstein, 3) > 1.3 * RHO);
    }
}
