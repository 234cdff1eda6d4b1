//! Solvers of linear systems A p = b that need only products with A.
//!
//! All scalars of a solve stay on the device as tensors, so that a GPU never waits for the host. On a GPU an iteration
//! after the end of a solve has step length 0; on a CPU, where reading a scalar costs nothing, it is left out.
//!
//! A new solver is a variant of [`Solver`] with its name, an arm in [`solve`], and a file here.

mod conjugate_gradients;
mod least_squares;
mod minres;
mod neumann;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use crate::{
    choice::choice,
    optimiser::{Optimiser, OptimiserSettings},
    parameters::Parameters,
};

/// A symmetric matrix A that acts on vectors of parameters.
pub trait LinearOperator {
    /// The product A · `vector`.
    fn apply(&self, vector: &Parameters) -> Parameters;
}

/// A method to solve A p = b.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Conjugate gradients (Hestenes and Stiefel, 1952), stopped at the first direction of negative curvature; the
    /// solution so far is then returned.
    #[default]
    Cg,
    /// Conjugate gradients on the normal equations A² p = A b: works for indefinite A, makes two products in an
    /// iteration, and is slow for ill-conditioned A.
    NormalCg,
    /// MINRES (Paige and Saunders, 1975): the smallest residual over growing Krylov spaces. It works for indefinite A
    /// and makes one product in an iteration.
    Minres,
    /// Adam on ‖A p − b‖², two products in an iteration: the solver of the authors of the attack.
    LeastSquaresAdam,
    /// Neumann series p = η Σ (I − ηA)ⁱ b with η from a bound on ‖A‖ by power iteration; needs A positive definite.
    Neumann,
}

choice!(Solver, "a solver", {
    Cg = "cg",
    NormalCg = "normal-cg",
    Minres = "minres",
    LeastSquaresAdam = "least-squares-adam",
    Neumann = "neumann",
});

/// Settings of a solve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SolverSettings {
    /// Which method.
    pub solver: Solver,
    /// Largest number of iterations.
    pub iterations: usize,
    /// Relative residual at which to stop.
    pub tolerance: f64,
    /// Learning rate of [`Solver::LeastSquaresAdam`].
    pub rate: f64,
}

/// Where a solve starts: the solution of a similar system, and the state of Adam if that was the solver.
#[derive(Debug)]
pub struct WarmStart {
    /// The solution of the similar system.
    pub p: Parameters,
    /// State of [`Solver::LeastSquaresAdam`].
    pub adam: Option<Optimiser>,
}

/// Result of a solve; its scalars are still on the device.
#[derive(Debug)]
pub struct Solution {
    /// The solution.
    pub p: Parameters,
    /// ‖A p − b‖ / ‖b‖ of the solution, computed by one more product; 0 if b is 0.
    pub relative_residual: Tensor,
    /// Iterations that changed the solution.
    pub iterations: Tensor,
    /// Whether a direction of negative curvature ended the solve.
    pub negative_curvature: Tensor,
    /// State of Adam, if that was the solver, for a warm start of the next solve.
    pub adam: Option<Optimiser>,
}

impl Solution {
    /// [`Solution::relative_residual`] as a number.
    pub fn residual_value(&self) -> f64 {
        self.relative_residual.double_value(&[])
    }

    /// [`Solution::iterations`] as a number.
    pub fn iterations_value(&self) -> usize {
        self.iterations.int64_value(&[]) as usize
    }

    /// [`Solution::negative_curvature`] as a truth value.
    pub fn met_negative_curvature(&self) -> bool {
        self.negative_curvature.int64_value(&[]) != 0
    }
}

/// Solves A p = b, from `start` or from 0.
///
/// The solution is 0 if b is 0. From a start p₀ it solves A d = b − A p₀ and returns p = p₀ + d; the tolerance stays
/// relative to b. See [`Solver`] for the matrices that each method can handle.
pub fn solve(
    operator: &impl LinearOperator,
    b: &Parameters,
    settings: &SolverSettings,
    start: Option<WarmStart>,
) -> Solution {
    let size = b.norm_scalar();
    let target = &size * settings.tolerance;
    let (guess, adam) = start.map_or((None, None), |start| (Some(start.p), start.adam));
    let rest = guess.as_ref().map(|p| b.plus(-1.0, &operator.apply(p)));
    let rest = rest.as_ref().unwrap_or(b);
    let mut state = SolveState::new(rest, target, settings.iterations);
    let (mut p, adam) = match settings.solver {
        Solver::Cg => (conjugate_gradients::solve(operator, rest, &mut state), None),
        Solver::NormalCg => (conjugate_gradients::solve_normal_equations(operator, rest, &mut state), None),
        Solver::Minres => (minres::solve(operator, rest, &mut state), None),
        Solver::Neumann => (neumann::solve(operator, rest, &mut state), None),
        Solver::LeastSquaresAdam => {
            let fresh = || Optimiser::new(rest, OptimiserSettings::adam(settings.rate));
            let mut adam = adam.unwrap_or_else(fresh);
            (least_squares::solve(operator, rest, &mut adam, &mut state), Some(adam))
        }
    };
    if let Some(guess) = guess {
        p.add_scaled(1.0, &guess);
    }
    let residual = operator.apply(&p).plus(-1.0, b).norm_scalar();
    let relative = residual / &size;
    Solution {
        p,
        relative_residual: relative.where_self(&size.gt(0.0), &relative.zeros_like()),
        iterations: state.made,
        negative_curvature: state.negative,
        adam,
    }
}

/// The state that every method keeps during a solve.
struct SolveState {
    /// Norm of the residual at which to stop, a scalar.
    target: Tensor,
    /// Largest number of iterations.
    iterations: usize,
    /// Whether the solve goes on, a boolean scalar.
    active: Tensor,
    /// Iterations made, an `int64` scalar.
    made: Tensor,
    /// Whether a direction of negative curvature ended the solve, a boolean scalar.
    negative: Tensor,
    /// Whether a scalar can be read without waiting for the device.
    reading_is_free: bool,
}

impl SolveState {
    fn new(b: &Parameters, target: Tensor, iterations: usize) -> Self {
        let device = b.device();
        // A residual that is small enough, 0 or NaN needs no iteration.
        let active = b.norm_scalar().gt_tensor(&target);
        Self {
            target,
            iterations,
            active,
            made: Tensor::zeros([], (Kind::Int64, device)),
            negative: Tensor::zeros([], (Kind::Bool, device)),
            reading_is_free: device == Device::Cpu,
        }
    }

    /// Whether the solve has ended, as far as it can be known without waiting for the device.
    fn is_over(&self) -> bool {
        self.reading_is_free && self.active.int64_value(&[]) == 0
    }

    /// Ends the solve unless `condition`, a boolean scalar.
    fn go_on_if(&mut self, condition: &Tensor) {
        self.active = self.active.logical_and(condition);
    }

    /// `value` while the solve goes on, and 0 afterwards.
    fn factor(&self, value: &Tensor) -> Tensor {
        no_grad(|| value.where_self(&self.active, &value.zeros_like()))
    }

    /// Counts an iteration if the solve goes on.
    fn count(&mut self) {
        self.made = &self.made + self.active.to_kind(Kind::Int64);
    }
}
