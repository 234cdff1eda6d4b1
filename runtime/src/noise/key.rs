use rand_xoshiro::Xoshiro256PlusPlus;

use super::keyed_stream;

/// Number of samples in a block. Each block has its own random stream.
pub const BLOCK: u64 = 64;

/// The purpose of a sample. Different roles never share noise: a bound must not use the samples that selected its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Selecting the class: n0 samples.
    Selection = 0,
    /// Estimating the probability of that class: n samples.
    Estimation = 1,
    /// Predicting a class without a radius (PREDICT): n samples.
    Prediction = 2,
}

impl Role {
    /// Its name: `selection`, `estimation` or `prediction`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selection => "selection",
            Self::Estimation => "estimation",
            Self::Prediction => "prediction",
        }
    }
}

/// Identifies one block of noise: equal keys give equal noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoiseKey {
    /// Seed of the run.
    pub seed: u64,
    /// Purpose of the samples.
    pub role: Role,
    /// Index of the input in its data set, or [`SHARED_INPUT`](super::SHARED_INPUT) for noise that all inputs share.
    pub input: u64,
    /// Index of the block among the blocks of this input and role, from 0.
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
