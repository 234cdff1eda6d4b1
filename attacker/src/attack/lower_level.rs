use std::fmt::Debug;

use tch::Tensor;

use super::{
    state::{LevelState, PoolPosition},
    upper_level::UpperLevel,
};
use crate::{Error, parameters::Parameters};

/// The lower level of the attack: networks trained on clean and poisoned images, whose response to a change of the
/// poison gives the hypergradients.
///
/// [`PoolLevel`](super::pool::PoolLevel) holds networks that are trained a few steps at a time;
/// [`ConvexLevel`](super::convex::ConvexLevel) solves a convex lower level to a tolerance before every step.
pub(super) trait LowerLevel: Debug {
    /// Trains the networks, or solves the convex problem, for step `step`, counted from 0. Returns the hypergradients of the
    /// poison images that the step moves.
    ///
    /// `poison` holds all poison images before the step, N×C×H×W.
    ///
    /// # Errors
    /// [`Error::Network`] if a fresh network can't be made.
    fn hypergradients(&mut self, step: usize, poison: &Tensor) -> Result<Hypergradients, Error>;

    /// The state to save. A lower level that restores it continues with the same numbers, bit by bit.
    fn state(&self) -> LevelState<'_>;

    /// Restores a state that [`LowerLevel::state`] returned: the counters of its pool, if it has one, and copies of its
    /// tensors in the same order.
    fn restore(&mut self, pool: Option<&PoolPosition>, tensors: Vec<Tensor>);
}

/// Hypergradients of one step and how they were found; all tensors are still on the device.
pub(super) struct Hypergradients {
    /// −(∂²L/∂u∂θ)ᵀ p of each image to move, M×C×H×W.
    pub gradient: Tensor,
    /// Indices of these images among all poison images, `int64`, M.
    pub numbers: Tensor,
    /// Loss of the lower level on the batch of the linear system, a scalar.
    pub inner_loss: Tensor,
    /// The upper level and its gradient.
    pub outer: UpperLevel,
    /// Solution of the linear system. After an unrolled hypergradient: the part of the upper level's gradient that
    /// reaches back beyond the unrolled steps.
    pub p: Parameters,
    /// ‖A p − b‖ / ‖b‖, a scalar.
    pub relative_residual: Tensor,
    /// Iterations of the solve, a scalar.
    pub iterations: Tensor,
    /// Whether negative curvature ended the solve, a boolean scalar.
    pub negative_curvature: Tensor,
    /// Whether `p` is finite, a boolean scalar.
    pub finite: Tensor,
    /// Whether `p` is not 0, so that there is a hypergradient; a boolean scalar.
    pub nonzero: Tensor,
}

impl Hypergradients {
    /// Whether the poison can be moved along them, a boolean scalar.
    pub fn usable(&self) -> Tensor {
        self.outer.usable().logical_and(&self.finite).logical_and(&self.nonzero)
    }
}

/// A mixed product with respect to the single tensor `leaf`; `product` computes it.
pub(super) fn mixed_of(product: impl FnOnce(&Parameters) -> Parameters, leaf: Tensor) -> Tensor {
    product(&Parameters::new(vec![leaf])).tensors()[0].shallow_clone()
}
