use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{NoiseKey, Role};

/// Replaces the index of the input in the key of noise that all inputs share. No input has this index.
pub const SHARED_INPUT: u64 = u64::MAX;

/// Whether inputs share their noise.
///
/// The certificate of one input depends only on the samples of that input, which are independent of each other in both
/// modes. So each certificate is valid with probability at least 1 − α in both modes. Shared noise makes the
/// certificates of different inputs depend on each other. [`Simultaneous`](crate::evidence::Simultaneous) claims about
/// several inputs use the union bound, and audits of such runs bound the accuracy by Markov's inequality; neither needs
/// independence.
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
    /// Every input has its own noise.
    #[default]
    Independent,
    /// All inputs get the same noise. It is drawn once and, on a GPU, kept in its memory.
    Shared,
}

impl NoiseMode {
    /// The key of block `block` of the noise with role `role` for input `input`.
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
