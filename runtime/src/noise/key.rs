use rand_xoshiro::Xoshiro256PlusPlus;

use super::keyed_stream;

/// Samples in a block: the unit in which noise is keyed.
pub const BLOCK: u64 = 64;

/// What samples are used for. Noise of one role is never used for another: a bound must not use the samples that
/// chose the class it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Choosing the class, n0 samples.
    Selection = 0,
    /// Estimating its probability, n samples.
    Estimation = 1,
    /// Predicting without a radius, n samples.
    Prediction = 2,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selection => "selection",
            Self::Estimation => "estimation",
            Self::Prediction => "prediction",
        }
    }
}

/// Names one block of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoiseKey {
    /// Seed of the run.
    pub seed: u64,
    /// What the samples are for.
    pub role: Role,
    /// Index of the input in its data set.
    pub input: u64,
    /// Number of the block, from 0.
    pub block: u64,
}

impl NoiseKey {
    /// The random stream of the block.
    pub(super) fn stream(&self) -> Xoshiro256PlusPlus {
        keyed_stream(
            "mithridate certification noise v1",
            &[self.seed, self.role as u64, self.input, self.block],
        )
    }
}
