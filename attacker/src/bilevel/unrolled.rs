use tch::Tensor;

use crate::parameters::{Graph, Parameters};

/// Gradient steps on the lower level that are differentiated through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unrolling {
    /// Steps K.
    pub steps: usize,
    /// Their learning rate η.
    pub rate: f64,
}

/// Result of unrolled differentiation.
#[derive(Debug)]
pub(crate) struct Unrolled {
    /// θᴷ, the parameters after the last step.
    pub last: Parameters,
    /// The part of ∂R/∂θ that reaches back beyond the K steps.
    pub remainder: Parameters,
}

/// Hypergradient by differentiating through K gradient steps on the lower level instead of through its solution.
///
/// From θ₀ = `parameters`, θₖ₊₁ = θₖ − η ∇L(θₖ). It starts with λ = ∂R/∂θ at θᴷ. For k from K−1 down to 0, the caller's
/// `mixed(θₖ, η λ)` adds −η (∂²L/∂u∂θ)ᵀ λ at θₖ to the hypergradient, then η H(θₖ) λ is subtracted from λ. The last λ is
/// the remainder.
///
/// At a minimum of L, where θ does not move, this is K terms of the Neumann series with step η.
/// (Shaban, Cheng, Hatch and Boots, *Truncated back-propagation for bilevel optimization*, 2019.)
pub(crate) fn unrolled(
    parameters: &Parameters,
    unrolling: Unrolling,
    inner: impl Fn(&Parameters) -> Tensor,
    outer: impl FnOnce(&Parameters) -> Tensor,
    mut mixed: impl FnMut(&Parameters, &Parameters),
) -> Unrolled {
    let mut path = vec![parameters.copy().requires_grad()];
    for step in 0..unrolling.steps {
        let theta = &path[step];
        let gradient = theta.gradient_of(&inner(theta), Graph::Free);
        path.push(theta.plus(-unrolling.rate, &gradient).requires_grad());
    }
    let last = path.pop().unwrap_or_else(|| parameters.copy().requires_grad());
    let mut lambda = last.gradient_of(&outer(&last), Graph::Free);
    for theta in path.iter().rev() {
        mixed(theta, &lambda.scaled(unrolling.rate));
        let product = super::Hessian::new(&inner(theta), theta, 0.0);
        lambda.add_scaled(-unrolling.rate, &super::LinearOperator::apply(&product, &lambda));
    }
    Unrolled { last, remainder: lambda }
}
