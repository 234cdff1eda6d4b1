use tch::Tensor;

use super::{
    Hessian, NewtonSettings, SolverSettings, Unrolled, Unrolling, WarmStart, minimise, mixed_product_of,
    solve, unrolled,
};
use crate::{
    Error,
    parameters::{Graph, Parameters},
};

/// A bilevel problem: min over u of F(θ*(u), u), subject to θ*(u) = argmin over θ of G(θ, u).
///
/// Both losses are scalars with their graph in θ and u. The implementation must keep random parts (noise, choice of a
/// batch) fixed while one hypergradient is computed.
///
/// # Example
/// ```
/// use mithridate_attacker::{
///     bilevel::{BilevelProblem, HypergradientMethod, Solver, SolverSettings, hypergradient},
///     parameters::Parameters,
/// };
/// use tch::Tensor;
///
/// /// F = u² + v² − 1 over G = (1 − u − v)²: v follows as 1 − u.
/// struct Parabola;
/// impl BilevelProblem for Parabola {
///     fn outer_loss(&self, v: &Parameters, u: &Parameters) -> Tensor {
///         u.tensors()[0].square() + v.tensors()[0].square() - 1.0
///     }
///     fn inner_loss(&self, v: &Parameters, u: &Parameters) -> Tensor {
///         (1.0_f64 - &u.tensors()[0] - &v.tensors()[0]).square()
///     }
/// }
///
/// let number = |x: f64| Parameters::new(vec![Tensor::from(x)]);
/// let solver = SolverSettings { solver: Solver::Cg, iterations: 1, tolerance: 0.0, rate: 0.0 };
/// let method = HypergradientMethod::Implicit { solver, damping: 0.0 };
/// let found = hypergradient(&Parabola, &number(0.8), &number(0.2), &method, None);
/// // dF/du = 2u − 2(1 − u) = −1.2 at u = 0.2.
/// assert!((found.gradient.tensors()[0].double_value(&[]) + 1.2).abs() < 1e-12);
/// ```
pub trait BilevelProblem {
    /// The upper level, F.
    fn outer_loss(&self, parameters: &Parameters, upper: &Parameters) -> Tensor;
    /// The lower level, G.
    fn inner_loss(&self, parameters: &Parameters, upper: &Parameters) -> Tensor;
}

/// How a hypergradient is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HypergradientMethod {
    /// By the implicit function theorem, with (H + ρI) p = ∂F/∂θ solved iteratively.
    Implicit {
        /// How the linear system is solved.
        solver: SolverSettings,
        /// Damping ρ.
        damping: f64,
    },
    /// By differentiating through gradient steps on the lower level.
    Unrolled(Unrolling),
}

/// A hypergradient and how it was computed.
#[derive(Debug)]
pub struct Hypergradient {
    /// dF/du.
    pub gradient: Parameters,
    /// F.
    pub outer_loss: f64,
    /// Relative residual of the linear solve; for an unrolled hypergradient the share of ∂F/∂θ that reaches back beyond
    /// its steps.
    pub relative_residual: f64,
    /// A start for the next linear solve; `None` for an unrolled hypergradient.
    pub warm_start: Option<WarmStart>,
}

/// dF/du = ∂F/∂u − (∂²G/∂u∂θ)ᵀ p at the lower-level solution `parameters`.
///
/// The implicit method builds the graph of the inner gradient once, for all products. `start` is where the linear solve
/// starts; the unrolled method ignores it.
pub fn hypergradient(
    problem: &impl BilevelProblem,
    parameters: &Parameters,
    upper: &Parameters,
    method: &HypergradientMethod,
    start: Option<WarmStart>,
) -> Hypergradient {
    let theta = parameters.copy().requires_grad();
    let u = upper.copy().requires_grad();
    match method {
        HypergradientMethod::Implicit { solver, damping } => {
            let outer = problem.outer_loss(&theta, &u);
            let b = theta.gradient_of(&outer, Graph::Keep);
            let mut gradient = u.gradient_of(&outer, Graph::Free);
            let hessian = Hessian::new(&problem.inner_loss(&theta, &u), &theta, *damping);
            let solution = solve(&hessian, &b, solver, start);
            gradient.add_scaled(1.0, &mixed_product_of(hessian.gradient(), &solution.p, &u, Graph::Free));
            Hypergradient {
                gradient,
                outer_loss: outer.double_value(&[]),
                relative_residual: solution.residual_value(),
                warm_start: Some(WarmStart { p: solution.p, adam: solution.adam }),
            }
        }
        HypergradientMethod::Unrolled(unrolling) => {
            let mut gradient = u.zeros_like();
            let Unrolled { last, remainder } = unrolled(
                &theta,
                *unrolling,
                |theta| problem.inner_loss(theta, upper),
                |theta| problem.outer_loss(theta, upper),
                |theta, lambda| {
                    let inner = theta.gradient_of(&problem.inner_loss(theta, &u), Graph::Differentiable);
                    gradient.add_scaled(1.0, &mixed_product_of(&inner, lambda, &u, Graph::Free));
                },
            );
            let last = last.requires_grad();
            let outer = problem.outer_loss(&last, &u);
            let b = last.gradient_of(&outer, Graph::Keep);
            gradient.add_scaled(1.0, &u.gradient_of(&outer, Graph::Free));
            let size = b.norm();
            Hypergradient {
                gradient,
                outer_loss: outer.double_value(&[]),
                relative_residual: if size > 0.0 { remainder.norm() / size } else { 0.0 },
                warm_start: None,
            }
        }
    }
}

/// Settings of [`descend`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DescentSettings {
    /// Steps on u.
    pub steps: usize,
    /// Learning rate of u.
    pub rate: f64,
    /// How the hypergradient is computed; `tolerance` replaces the tolerance of its solver.
    pub method: HypergradientMethod,
    /// How the lower level is solved before each step; `tolerance` replaces its tolerance too.
    pub newton: NewtonSettings,
    /// Tolerance of both in the first step: absolute norm of the lower level's gradient, relative residual of the linear
    /// system.
    pub tolerance: f64,
    /// Factor by which `tolerance` falls from step to step.
    pub tolerance_factor: f64,
}

/// One step of a descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DescentStep {
    /// F before the step.
    pub outer_loss: f64,
    /// Norm of the hypergradient.
    pub gradient_norm: f64,
    /// Norm of the lower level's gradient at its solution.
    pub inner_gradient_norm: f64,
    /// Relative residual of the linear solve.
    pub relative_residual: f64,
}

/// Hyperparameter optimisation with approximate gradients (Pedregosa, 2016).
///
/// In each step the lower level and the linear system are solved to a tolerance that falls from step to step, starting
/// from their last solutions. Then u makes a gradient step, and `project` maps it back into the feasible set.
///
/// # Errors
/// [`Error::Bilevel`] if the lower level can't be solved to tolerance.
pub fn descend(
    problem: &impl BilevelProblem,
    parameters: &mut Parameters,
    upper: &mut Parameters,
    settings: &DescentSettings,
    project: impl Fn(&mut Parameters),
) -> Result<Vec<DescentStep>, Error> {
    let mut steps = Vec::with_capacity(settings.steps);
    let mut tolerance = settings.tolerance;
    let mut warm_start = None;
    for step in 0..settings.steps {
        let solved =
            minimise(parameters, &settings.newton, Some(tolerance), |theta| problem.inner_loss(theta, upper));
        if !solved.converged {
            return Err(Error::Bilevel { step, gradient_norm: solved.gradient_norm, tolerance });
        }
        let method = match settings.method {
            HypergradientMethod::Implicit { solver, damping } => {
                HypergradientMethod::Implicit { solver: SolverSettings { tolerance, ..solver }, damping }
            }
            unrolled @ HypergradientMethod::Unrolled(_) => unrolled,
        };
        let found = hypergradient(problem, parameters, upper, &method, warm_start);
        steps.push(DescentStep {
            outer_loss: found.outer_loss,
            gradient_norm: found.gradient.norm(),
            inner_gradient_norm: solved.gradient_norm,
            relative_residual: found.relative_residual,
        });
        upper.add_scaled(-settings.rate, &found.gradient);
        project(upper);
        warm_start = found.warm_start;
        tolerance *= settings.tolerance_factor;
    }
    Ok(steps)
}
