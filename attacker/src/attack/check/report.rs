use serde::Serialize;
use tch::Kind;

use crate::parameters::Parameters;

/// Errors of the hypergradients that one choice of settings gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// Images in the batch of the lower level.
    pub images: usize,
    /// Poison images among them.
    pub poison: usize,
    /// Parameters of the network.
    pub parameters: usize,
    /// Norm of the upper level's gradient.
    pub outer_gradient: f64,
    /// Relative error of products with the curvature matrix, against central differences of the gradient (for
    /// Gauss–Newton: of the logits).
    pub curvature_error: f64,
    /// Relative error of mixed products, against central differences of the gradient.
    pub mixed_error: f64,
    /// Relative error of the whole hypergradient, against central differences of the upper level for which the lower
    /// level is solved again.
    pub chain_error: f64,
    /// Damping ρ at which `chain_error` was measured.
    pub chain_damping: f64,
    /// Estimate of the Hessian's largest absolute eigenvalue.
    pub largest_eigenvalue: f64,
    /// The linear solve with the settings of the attack.
    pub solve: SolveCheck,
}

/// A linear solve compared with the exact solution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SolveCheck {
    /// Relative residual ‖A p − b‖ / ‖b‖.
    pub relative_residual: f64,
    /// Iterations made.
    pub iterations: usize,
    /// Whether negative curvature ended it.
    pub negative_curvature: bool,
    /// Relative residuals of the reference solutions: of the same system, and of the system with the Hessian.
    pub reference_residuals: [f64; 2],
    /// The hypergradient of the solve, compared with that of the exact solution of the same system.
    pub same_system: Agreement,
    /// The same compared with the exact solution of the system with the Hessian; absent if that is the same system.
    pub hessian: Option<Agreement>,
}

/// Agreement of a hypergradient with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Norm of the difference over the norm of the reference.
    pub relative_error: f64,
    /// Cosine of the angle between the two.
    pub cosine: f64,
    /// Share of pixels where both have the same sign; a step by the sign depends on the signs only.
    pub signs: f64,
}

impl Agreement {
    /// Compares the hypergradient `found` with `reference`.
    pub(super) fn between(found: &Parameters, reference: &Parameters) -> Self {
        let norm = reference.norm();
        let same = found.tensors()[0].sign().eq_tensor(&reference.tensors()[0].sign());
        Self {
            relative_error: found.plus(-1.0, reference).norm() / norm,
            cosine: found.dot_value(reference) / (norm * found.norm()),
            signs: same.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]),
        }
    }
}

impl CheckReport {
    /// Whether all three errors of derivatives are below 10⁻³. Finite differences across the kinks of a ReLU network are
    /// no more exact than that.
    pub fn derivatives_hold(&self) -> bool {
        [self.curvature_error, self.mixed_error, self.chain_error].iter().all(|&error| error < 1e-3)
    }
}
