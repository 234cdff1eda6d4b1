use serde::{Deserialize, Serialize};

use crate::votes::Votes;

/// The result for one input: a proof that the smoothed classifier returns `class` everywhere within `radius`, or an
/// abstention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Index of the input in its data set.
    pub index: u64,
    /// True class, if known.
    pub label: Option<usize>,
    /// Class with the most selection votes; `None` if no selection sample voted for a class.
    pub class: Option<usize>,
    /// Votes of the n0 selection samples.
    pub selection: Votes,
    /// Votes of the estimation samples.
    pub estimation: Votes,
    /// Number of estimation samples that the bound is computed from: n, or fewer if the stopping rule ended sampling
    /// before.
    pub samples: u64,
    /// Lower bound on the probability of `class` under noise, at confidence 1 − α.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, in data-set units; `None` is an abstention.
    pub radius: Option<f64>,
    /// Time the samples took, summed over workers, in seconds.
    pub seconds: f64,
}
