use serde::{Deserialize, Serialize};

/// The class that one sample voted for, or [`NOBODY`].
pub type Vote = u16;

/// The vote of a sample whose logits name no class.
pub const NOBODY: Vote = Vote::MAX;

/// Votes of the noisy copies of one input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Votes(Vec<u64>);

impl Votes {
    /// No votes yet for each of the classes.
    pub fn none(classes: usize) -> Self {
        Self(vec![0; classes])
    }

    /// Votes by class.
    pub fn by_class(&self) -> &[u64] {
        &self.0
    }

    /// All votes; less than the samples if some voted for nobody.
    pub fn total(&self) -> u64 {
        // Votes that somebody else wrote may be any numbers.
        self.0.iter().fold(0, |total, &votes| total.saturating_add(votes))
    }

    /// Becomes the same as other votes for as many classes, in the memory it has.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.0.copy_from_slice(&other.0);
    }

    /// Counts the votes of samples.
    pub(super) fn count(&mut self, voted: &[Vote]) {
        for vote in voted {
            // A vote for nobody is of no class.
            if let Some(votes) = self.0.get_mut(usize::from(*vote)) {
                *votes += 1;
            }
        }
    }

    /// The class with most votes, the first of equals; `None` if nobody has any.
    pub fn winner(&self) -> Option<usize> {
        first_largest(&self.0)
    }
}

/// The class with most votes, the first of equals; `None` if nobody has any.
pub(crate) fn first_largest(votes: &[u64]) -> Option<usize> {
    let most = *votes.iter().max()?;
    if most == 0 { None } else { votes.iter().position(|&votes| votes == most) }
}

impl From<Vec<u64>> for Votes {
    fn from(votes: Vec<u64>) -> Self {
        Self(votes)
    }
}

/// The result for one input: a proof that the smoothed classifier answers `class` within `radius`, or an abstention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Index of the input in its data set.
    pub index: u64,
    /// True class, if known.
    pub label: Option<usize>,
    /// Class chosen by the selection samples; `None` if not one of them voted.
    pub class: Option<usize>,
    /// Votes of the n0 selection samples.
    pub selection: Votes,
    /// Votes of the estimation samples.
    pub estimation: Votes,
    /// Number of estimation samples that the bound rests on: n, or fewer if the rule stopped before.
    pub samples: u64,
    /// Lower bound on the probability of `class` under noise, at confidence 1 − α.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, in units of the data set; `None` is an abstention.
    pub radius: Option<f64>,
    /// Time the samples took, summed over workers, in seconds.
    pub seconds: f64,
}
