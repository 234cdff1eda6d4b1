use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{NoiseKey, Role};

/// Index of no input: noise that all inputs share is keyed by it.
pub const SHARED_INPUT: u64 = u64::MAX;

/// Which inputs get which noise.
///
/// What is certified of one input rests on its own samples alone, which are independent of each other in both modes,
/// and on fresh ones for the bound; so each certificate holds with its probability 1 − α. Noise that is shared makes
/// certificates of different inputs depend on each other: a claim about several at once needs the union bound, which
/// [`Simultaneous`](crate::evidence::Simultaneous) claims are made by and which asks for no independence. An audit bounds
/// the accuracy of such a run by Markov's inequality, which asks for none either.
///
/// ```
/// use mithridate_runtime::noise::{NoiseKey, NoiseMode, Role, SHARED_INPUT};
///
/// let key = |mode: NoiseMode, input| mode.key(7, Role::Estimation, input, 0);
/// assert_ne!(key(NoiseMode::Independent, 3), key(NoiseMode::Independent, 4));
/// assert_eq!(key(NoiseMode::Shared, 3), key(NoiseMode::Shared, 4));
/// assert_eq!(key(NoiseMode::Shared, 3).input, SHARED_INPUT);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoiseMode {
    /// Fresh noise for every input.
    #[default]
    Independent,
    /// The same noise for all inputs: drawn once, and on a GPU kept there.
    Shared,
}

impl NoiseMode {
    /// Names the block of noise that an input gets.
    pub fn key(self, seed: u64, role: Role, input: u64, block: u64) -> NoiseKey {
        let input = match self {
            Self::Independent => input,
            Self::Shared => SHARED_INPUT,
        };
        NoiseKey { seed, role, input, block }
    }
}

impl fmt::Display for NoiseMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Independent => "independent",
            Self::Shared => "shared",
        })
    }
}

impl FromStr for NoiseMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "independent" => Ok(Self::Independent),
            "shared" => Ok(Self::Shared),
            _ => Err(format!("'{text}' is not a noise mode; use independent or shared")),
        }
    }
}
