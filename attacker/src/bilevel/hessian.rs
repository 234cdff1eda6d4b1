use tch::Tensor;

use super::LinearOperator;
use crate::parameters::{Graph, Parameters};

/// The damped Hessian H + ρI of an inner loss, as a linear map.
///
/// The graph of the inner gradient is built once and used for every product, so noise and choice of images are the same
/// throughout one linear system.
///
/// # Example
/// ```
/// use mithridate_attacker::{bilevel::{Hessian, LinearOperator}, parameters::Parameters};
/// use tch::Tensor;
///
/// // L = θ₁² + 3 θ₁ θ₂ has the Hessian [[2, 3], [3, 0]].
/// let theta = Parameters::new(vec![Tensor::from_slice(&[0.5_f64, -1.0])]).requires_grad();
/// let x = &theta.tensors()[0];
/// let loss = x.get(0) * x.get(0) + x.get(0) * x.get(1) * 3.0;
/// let hessian = Hessian::new(&loss, &theta, 0.0);
/// let product = hessian.apply(&Parameters::new(vec![Tensor::from_slice(&[1.0_f64, 2.0])]));
/// assert_eq!(Vec::<f64>::try_from(&product.tensors()[0])?, [8.0, 3.0]);
/// # Ok::<(), tch::TchError>(())
/// ```
pub struct Hessian<'a> {
    gradient: Parameters,
    parameters: &'a Parameters,
    damping: f64,
}

impl<'a> Hessian<'a> {
    /// The Hessian of `loss` with respect to `parameters`, from which it was computed.
    pub fn new(loss: &Tensor, parameters: &'a Parameters, damping: f64) -> Self {
        Self { gradient: parameters.gradient_of(loss, Graph::Differentiable), parameters, damping }
    }

    /// The inner gradient with its graph.
    pub fn gradient(&self) -> &Parameters {
        &self.gradient
    }
}

impl LinearOperator for Hessian<'_> {
    fn apply(&self, vector: &Parameters) -> Parameters {
        let product = self.gradient.dot(vector);
        if !product.requires_grad() {
            // The loss is linear in the parameters.
            return vector.scaled(self.damping);
        }
        self.parameters.gradient_of(&product, Graph::Keep).plus(self.damping, vector)
    }
}

/// −(∂²L/∂u∂θ)ᵀ p: the hypergradient, given the solution p of the linear system.
///
/// `loss` is computed from `parameters` and from `u`, both of which must require gradients. It takes one double-backward
/// pass for all images in `u`.
pub fn mixed_product(loss: &Tensor, parameters: &Parameters, p: &Parameters, u: &Parameters) -> Parameters {
    mixed_product_of(&parameters.gradient_of(loss, Graph::Differentiable), p, u, Graph::Free)
}

/// [`mixed_product`] from an inner gradient that was already computed with its graph; `graph` says whether that graph
/// stays.
pub fn mixed_product_of(gradient: &Parameters, p: &Parameters, u: &Parameters, graph: Graph) -> Parameters {
    u.gradient_of(&-gradient.dot(p), graph)
}
