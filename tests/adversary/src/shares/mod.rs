//! The share of false certificates, counted: a linear classifier whose smoothed probabilities are known in closed form is
//! certified for real, again and again, with noise that is new each time.
//!
//! | part | subject |
//! | --- | --- |
//! | `truth` | the classifier, its probabilities, and what makes a certificate false |
//! | `mixing` | the classifier with answers that depend on the others of their batch |
//! | `ways` | how it is certified: one input after the other, packed, as frames, from C |
//! | `wrong` | procedures that are wrong on purpose and must be found out |

mod c_interface;
mod mixing;
mod truth;
mod ways;
mod wrong;

pub use truth::{Case, Claim, LEVELS};
pub use ways::{Way, refuses_mixing};

use mithridate_runtime::{
    certify::{Settings, StoppingRule},
    noise::{Distribution, NoiseMode},
    units::{Alpha, Sigma},
};
use statrs::function::beta::beta_reg;

/// Probability that a certificate may be false.
pub const ALPHA: f64 = 0.1;
/// Certifications of each case in an ordinary run.
pub const TRIALS: u64 = 1000;
/// Names the variable by which the number of certifications is multiplied.
pub const TIMES: &str = "MITHRIDATE_ADVERSARY_TIMES";

/// Certifications of each case: [`TRIALS`], times the number in the variable [`TIMES`].
pub fn trials() -> u64 {
    let times = std::env::var(TIMES).ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    TRIALS.saturating_mul(std::cmp::max(times, 1))
}

/// A share above α is one that comes about with less than this probability where the true share is α.
pub const LEVEL: f64 = 1e-5;

/// The rules, as on the command line. Radii and losses are such that inputs end early, late and never.
pub const RULES: [&str; 5] = ["fixed", "radius:0.01,0.04", "precision:0.02", "loss:0.01", "deadline:0.05"];
/// The distributions of noise.
pub const NOISE: [Distribution; 3] =
    [Distribution::Gaussian, Distribution::Uniform, Distribution::QuantizedGaussian];

/// What came of certifying one input of one case many times.
#[derive(Clone, Debug)]
pub struct Share {
    /// Rule, noise, mode and way.
    pub name: String,
    /// The input, by its level of 255; one of [`LEVELS`].
    pub level: u8,
    /// Certifications.
    pub trials: u64,
    /// Certifications that gave a radius.
    pub certified: u64,
    /// Certificates that were false.
    pub wrong: u64,
}

impl Share {
    /// Probability of as many false certificates or more, if each is false with probability α.
    pub fn chance(&self) -> f64 {
        match self.wrong {
            0 => 1.0,
            wrong => beta_reg(wrong as f64, (self.trials - wrong) as f64 + 1.0, ALPHA),
        }
    }

    /// Whether the share is above α beyond its own error.
    pub fn is_above(&self) -> bool {
        self.chance() < LEVEL
    }

    /// The share of false certificates.
    pub fn wrong_share(&self) -> f64 {
        self.wrong as f64 / self.trials as f64
    }
}

/// What the certificates of a case depend on.
fn settings(rule: StoppingRule, distribution: Distribution, seed: u64) -> anyhow::Result<Settings> {
    let sigma = Sigma::new(truth::SIGMA)?;
    let (n0, n, alpha) = (16, 320, Alpha::new(ALPHA)?);
    Ok(Settings { distribution, n0, n, alpha, stop: rule, ..Settings::new(sigma, seed) })
}

/// Every rule with every noise, in every mode and way that has it; `on_shares` hears of each case when it is done.
///
/// # Errors
/// If a certification fails.
pub fn all(trials: u64, mut on_shares: impl FnMut(&[Share])) -> anyhow::Result<Vec<Share>> {
    let mut shares = Vec::new();
    for rule in RULES {
        for distribution in NOISE {
            for mode in [NoiseMode::Independent, NoiseMode::Shared] {
                for way in Way::ALL {
                    let case = Case { rule: rule.parse()?, distribution, mode };
                    if way.has(&case) {
                        let found = way.shares(&case, trials)?;
                        on_shares(&found);
                        shares.extend(found);
                    }
                }
            }
        }
    }
    Ok(shares)
}

/// Procedures that are wrong on purpose, which the same count must find out.
///
/// # Errors
/// If a certification fails.
pub fn all_wrong(trials: u64) -> anyhow::Result<Vec<Share>> {
    let mut shares = wrong::reused_selection(trials)?;
    shares.extend(wrong::mixed_batches(trials)?);
    shares.extend(wrong::best_of_seeds(trials)?);
    Ok(shares)
}
