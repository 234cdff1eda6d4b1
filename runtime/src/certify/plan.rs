use serde::{Deserialize, Serialize};

use crate::backend::VoteSampler;

/// How the work is divided: instances of the model, threads of each, batch size and noise threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Number of instances of the model, each on its own thread.
    pub sessions: usize,
    /// Number of threads with which each instance runs one operator.
    pub threads: usize,
    /// Number of inputs in a batch.
    pub batch: usize,
    /// Number of threads that draw noise ahead; with 0, each worker draws its own noise.
    #[serde(default)]
    pub noise_threads: usize,
}

/// Instances of a model.
pub type Instances = Vec<Box<dyn VoteSampler>>;
