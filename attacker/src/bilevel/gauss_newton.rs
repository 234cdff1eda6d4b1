use tch::{Kind, Tensor};

use super::LinearOperator;
use crate::parameters::{Graph, Parameters};

/// The damped Gauss–Newton matrix Jᵀ S J + ρI of a mean cross-entropy, as a linear map.
///
/// J is the Jacobian of the logits with respect to the parameters, S the Hessian of the loss with respect to the
/// logits, block diagonal with blocks (diag π − π πᵀ) / N for softmax probabilities π. It is the Hessian without the
/// second derivatives of the network, so that both are equal for a linear network. It is never indefinite, so conjugate
/// gradients meet no negative curvature. (Schraudolph, *Fast curvature matrix-vector products*, 2002.)
pub struct GaussNewton<'a> {
    logits: Tensor,
    probabilities: Tensor,
    /// A direction d in logit space, at 0. `pulled_back` is Jᵀ d; the derivative of ⟨Jᵀ d, v⟩ with respect to d is J v.
    direction: Tensor,
    pulled_back: Parameters,
    parameters: &'a Parameters,
    damping: f64,
}

impl<'a> GaussNewton<'a> {
    /// The matrix of the mean cross-entropy of `logits`, N×K, which were computed from `parameters`.
    pub fn new(logits: Tensor, parameters: &'a Parameters, damping: f64) -> Self {
        let direction = logits.detach().zeros_like().set_requires_grad(true);
        let pulled_back =
            parameters.gradient_of(&(&logits * &direction).sum(logits.kind()), Graph::Differentiable);
        let probabilities = logits.detach().softmax(-1, logits.kind());
        Self { logits, probabilities, direction, pulled_back, parameters, damping }
    }
}

impl LinearOperator for GaussNewton<'_> {
    fn apply(&self, vector: &Parameters) -> Parameters {
        let product = self.pulled_back.dot(vector);
        let pushed = Tensor::run_backward(&[&product], &[&self.direction], true, false).remove(0);
        let weighted = &self.probabilities * pushed;
        let mean = weighted.sum_dim_intlist([1_i64].as_slice(), true, None::<Kind>);
        let curved = (weighted - &self.probabilities * mean) / self.logits.size()[0] as f64;
        let scalar = (&self.logits * curved).sum(self.logits.kind());
        self.parameters.gradient_of(&scalar, Graph::Keep).plus(self.damping, vector)
    }
}
