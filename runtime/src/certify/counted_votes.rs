use super::{Certificate, Decision, Input, Settings, Vote, Votes};

/// A request to count the votes of one input, with its own seed and numbers of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct VoteRequest {
    /// The input.
    pub input: Input,
    /// Seed of its noise.
    pub seed: u64,
    /// Number of selection samples; may be 0.
    pub n0: u64,
    /// Number of estimation samples; may be 0.
    pub n: u64,
}

impl VoteRequest {
    /// The request for an input with the seed, n0 and n of `settings`.
    pub(super) fn of(input: Input, settings: &Settings) -> Self {
        Self { input, seed: settings.seed, n0: settings.n0, n: settings.n }
    }
}

/// Votes of an input, without a conclusion from them.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedVotes {
    /// Index of the input in its data set.
    pub index: u64,
    /// Votes of the selection samples.
    pub selection: Votes,
    /// Votes of the estimation samples.
    pub estimation: Votes,
    /// Number of estimation samples.
    pub samples: u64,
    /// The vote of each estimation sample after [`Certifier::keep_votes`](super::Certifier::keep_votes), otherwise
    /// empty.
    pub votes: Vec<Vote>,
    /// Time the samples took, summed over workers, in seconds.
    pub seconds: f64,
}

impl CountedVotes {
    /// The certificate of an input with the true class `label`, if known, and the `decision` made from these votes.
    pub fn into_certificate(self, label: Option<usize>, decision: Decision) -> Certificate {
        let Self { index, selection, estimation, samples, votes: _, seconds } = self;
        let Decision { class, p_lower, radius } = decision;
        Certificate { index, label, class, selection, estimation, samples, p_lower, radius, seconds }
    }
}
