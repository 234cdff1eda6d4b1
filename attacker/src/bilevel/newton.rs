use tch::Tensor;

use super::{Hessian, Solver, SolverSettings, solve};
use crate::parameters::Parameters;

/// Limits of a solve of the lower level by Newton's method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewtonSettings {
    /// Norm of the gradient at which to stop, relative to its norm at the start.
    pub tolerance: f64,
    /// Largest number of Newton steps.
    pub steps: usize,
    /// Largest number of products with the Hessian in each step.
    pub products: usize,
}

/// Result of a solve of the lower level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewtonReport {
    /// Norm of the gradient at the end.
    pub gradient_norm: f64,
    /// Newton steps made.
    pub steps: usize,
    /// Whether the tolerance was reached.
    pub converged: bool,
}

/// Minimises a smooth convex loss from `parameters`, in place, by Newton's method. Conjugate gradients find each step to
/// an accuracy that rises near the minimum (Dembo and Steihaug, 1983); the step is halved until the loss falls (Armijo).
///
/// `loss` gives the loss at parameters as a scalar with its graph. `target` is the absolute norm of the gradient to
/// reach; with `None` it is the relative tolerance of the settings.
///
/// # Example
/// ```
/// use mithridate_attacker::{bilevel::{NewtonSettings, minimise}, parameters::Parameters};
/// use tch::{Kind, Tensor};
///
/// // The minimum of e^x − 2x is at ln 2.
/// let mut x = Parameters::new(vec![Tensor::from_slice(&[3.0_f64])]);
/// let settings = NewtonSettings { tolerance: 1e-12, steps: 50, products: 5 };
/// let report = minimise(&mut x, &settings, None, |x| {
///     let x = &x.tensors()[0];
///     (x.exp() - x * 2.0).sum(Kind::Double)
/// });
/// assert!(report.converged);
/// assert!((x.tensors()[0].double_value(&[0]) - 2.0_f64.ln()).abs() < 1e-10);
/// ```
pub fn minimise(
    parameters: &mut Parameters,
    settings: &NewtonSettings,
    target: Option<f64>,
    loss: impl Fn(&Parameters) -> Tensor,
) -> NewtonReport {
    let mut target = target;
    let mut gradient_norm = f64::NAN;
    for step in 0..=settings.steps {
        let theta = parameters.copy().requires_grad();
        let value = loss(&theta);
        let hessian = Hessian::new(&value, &theta, 0.0);
        let gradient = hessian.gradient().copy();
        gradient_norm = gradient.norm();
        let target = *target.get_or_insert(settings.tolerance * gradient_norm);
        // A gradient that is not finite ends the solve as well.
        if gradient_norm <= target || step == settings.steps || !gradient_norm.is_finite() {
            return NewtonReport { gradient_norm, steps: step, converged: gradient_norm <= target };
        }
        let inexact = SolverSettings {
            solver: Solver::Cg,
            iterations: settings.products,
            tolerance: gradient_norm.sqrt().min(0.1),
            rate: 0.0,
        };
        let solution = solve(&hessian, &gradient, &inexact, None);
        // If the first direction had negative curvature, the step is along the gradient.
        let direction = if solution.p.norm() > 0.0 { solution.p } else { gradient.copy() };
        let (before, slope) = (value.double_value(&[]), gradient.dot_value(&direction));
        let step_length = (0..40).map(|halvings| 0.5_f64.powi(halvings)).find(|&length| {
            let after = loss(&theta.plus(-length, &direction)).double_value(&[]);
            // Near the minimum the difference of two losses is rounding, and the gradient norm decides.
            after <= before - 1e-4 * length * slope
                || (after - before).abs() <= 1e-12 * before.abs().max(1e-300)
        });
        let Some(length) = step_length else {
            return NewtonReport { gradient_norm, steps: step, converged: false };
        };
        parameters.assign(&theta.plus(-length, &direction));
    }
    NewtonReport { gradient_norm, steps: settings.steps, converged: false }
}
