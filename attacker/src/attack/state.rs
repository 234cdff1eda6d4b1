use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The counters of an attack; its tensors are saved beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackPosition {
    /// Steps made.
    pub step: usize,
    /// Number of the restart, from 0.
    pub restart: usize,
    /// Steps that moved the poison.
    pub(super) moved: usize,
    /// The counters of the pool; a convex lower level has none.
    pub(super) pool: Option<PoolPosition>,
}

/// The state of an attack, to be saved and resumed.
#[derive(Debug)]
pub struct AttackState<'a> {
    /// Its counters.
    pub position: AttackPosition,
    /// Its tensors, in the order in which [`Attack::resume`](super::Attack::resume) takes them.
    pub tensors: Vec<&'a Tensor>,
}

/// The state of a lower level.
pub(super) struct LevelState<'a> {
    /// The counters of a pool; a convex lower level has none.
    pub pool: Option<PoolPosition>,
    /// Its tensors, in the order in which [`LowerLevel::restore`](super::lower_level::LowerLevel::restore) takes them.
    pub tensors: Vec<&'a Tensor>,
}

/// The counters of a pool of networks; its tensors are saved beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolPosition {
    /// Networks made so far.
    pub made: u64,
    /// Batches drawn so far.
    pub drawn: u64,
    /// The counters of each network.
    pub members: Vec<MemberPosition>,
}

/// The counters of a network of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberPosition {
    /// Steps that the optimiser of the network has made.
    pub optimiser_steps: u64,
    /// Images that the network was trained on; an image counts each time.
    pub seen: u64,
    /// Whether a last solution of its linear system is saved.
    pub solved: bool,
    /// Steps of Adam that found this solution, if Adam did.
    pub solution_steps: Option<u64>,
}
