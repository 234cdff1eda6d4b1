use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A shard of a run: shard `number` of `of`, counted from 1. Its text form is `2/3`.
///
/// Inputs are assigned in turn: shard 2 of 3 has the second, fifth, eighth … input. So every shard is representative,
/// even if the data set is sorted by class.
///
/// ```
/// use mithridate_runtime::evidence::Shard;
///
/// let shard: Shard = "2/3".parse()?;
/// assert_eq!(shard.positions(7).collect::<Vec<_>>(), [1, 4]);
/// assert_eq!(shard.len(7), 2);
/// assert!("4/3".parse::<Shard>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    number: u64,
    of: u64,
}

impl Shard {
    /// Number of the shard, from 1.
    pub fn number(self) -> u64 {
        self.number
    }

    /// Number of shards of the run.
    pub fn of(self) -> u64 {
        self.of
    }

    /// Positions of the shard's inputs among the `inputs` inputs of the run, counted from 0.
    pub fn positions(self, inputs: u64) -> impl Iterator<Item = u64> {
        let step = usize::try_from(self.of).unwrap_or(usize::MAX);
        (self.number - 1..inputs).step_by(step)
    }

    /// Number of inputs of the shard, if the run has `inputs` inputs.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self, inputs: u64) -> u64 {
        inputs.saturating_sub(self.number - 1).div_ceil(self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a part is given as I/N with I from 1 to N, such as 2/5".to_owned();
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let parse = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
        let shard = Self { number: parse(number)?, of: parse(of)? };
        if shard.number == 0 || shard.number > shard.of { Err(wrong()) } else { Ok(shard) }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_input_once() {
        for inputs in 0..20 {
            for of in 1..8 {
                let mut all: Vec<u64> = Vec::new();
                for number in 1..=of {
                    let shard = Shard { number, of };
                    let positions: Vec<u64> = shard.positions(inputs).collect();
                    assert_eq!(positions.len() as u64, shard.len(inputs), "{shard} of {inputs}");
                    all.extend(positions);
                }
                all.sort_unstable();
                assert_eq!(all, (0..inputs).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "1", "0/3", "4/3", "1/0", "-1/3", "a/b", "1/3/5"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!(serde_json::to_string(&"2/3".parse::<Shard>().unwrap()).unwrap(), "\"2/3\"");
        assert!(serde_json::from_str::<Shard>("\"4/3\"").is_err());
    }
}
