use serde::{Deserialize, Serialize};

use crate::{choice::choice, parameters::Parameters, training::Adam};

/// A symmetric linear map on parameters.
pub trait LinearOperator {
    /// Its product with a vector.
    fn apply(&self, vector: &Parameters) -> Parameters;
}

/// A way to solve A p = b when only products with A can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Conjugate gradients, stopped where a direction of negative curvature appears: the solution so far is then the
    /// best that a convex model of the problem gives.
    Cg,
    /// Conjugate gradients on the normal equations A² p = A b: indifferent to the sign of curvature, two products an
    /// iteration, slower where A is ill conditioned.
    NormalCg,
    /// Adam on ‖A p − b‖², two products an iteration: what the authors of the attack used.
    LeastSquaresAdam,
    /// Neumann series p = η Σ (I − ηA)ⁱ b with η from a bound on ‖A‖ by power iteration; needs A positive definite.
    Neumann,
}

choice!(Solver, "a solver", {
    Cg = "cg",
    NormalCg = "normal-cg",
    LeastSquaresAdam = "least-squares-adam",
    Neumann = "neumann",
});

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SolverSettings {
    /// Which method.
    pub solver: Solver,
    /// Most iterations.
    pub iterations: usize,
    /// Relative residual at which to stop.
    pub tolerance: f64,
    /// Learning rate of [`Solver::LeastSquaresAdam`].
    pub rate: f64,
}

/// What a solver came to.
#[derive(Debug)]
pub struct Solution {
    /// The solution.
    pub p: Parameters,
    /// ‖A p − b‖ / ‖b‖ of it, computed anew by one more product.
    pub relative_residual: f64,
    /// Iterations made.
    pub iterations: usize,
    /// Whether a direction of negative curvature ended the solve.
    pub negative_curvature: bool,
}

/// Solves A p = b from p = 0.
///
/// Whatever the method, the solution returned has the residual stated, and is 0 if b is 0. See [`Solver`] for which
/// method stands what.
pub fn solve(operator: &impl LinearOperator, b: &Parameters, settings: &SolverSettings) -> Solution {
    let size = b.norm();
    if size == 0.0 {
        let p = b.zeros_like();
        return Solution { p, relative_residual: 0.0, iterations: 0, negative_curvature: false };
    }
    let target = settings.tolerance * size;
    let (p, iterations, negative_curvature) = match settings.solver {
        Solver::Cg => conjugate_gradients(|v| operator.apply(v), b, settings.iterations, target),
        Solver::NormalCg => normal_equations(operator, b, settings.iterations, target),
        Solver::LeastSquaresAdam => least_squares(operator, b, settings, target),
        Solver::Neumann => neumann(operator, b, settings.iterations, target),
    };
    let relative_residual = operator.apply(&p).plus(-1.0, b).norm() / size;
    Solution { p, relative_residual, iterations, negative_curvature }
}

/// Hestenes and Stiefel (1952).
fn conjugate_gradients(
    apply: impl Fn(&Parameters) -> Parameters,
    b: &Parameters,
    iterations: usize,
    target: f64,
) -> (Parameters, usize, bool) {
    let (mut p, mut residual, mut direction) = (b.zeros_like(), b.copy(), b.copy());
    let mut squared = residual.dot_value(&residual);
    for iteration in 0..iterations {
        if squared.sqrt() <= target {
            return (p, iteration, false);
        }
        let product = apply(&direction);
        let curvature = direction.dot_value(&product);
        if curvature.is_nan() || curvature <= 0.0 {
            return (p, iteration, true);
        }
        let step = squared / curvature;
        p.add_scaled(step, &direction);
        residual.add_scaled(-step, &product);
        let next = residual.dot_value(&residual);
        direction = residual.plus(next / squared, &direction);
        squared = next;
    }
    (p, iterations, false)
}

/// CGNR: minimises ‖A p − b‖ over growing Krylov spaces of A².
fn normal_equations(
    operator: &impl LinearOperator,
    b: &Parameters,
    iterations: usize,
    target: f64,
) -> (Parameters, usize, bool) {
    let (mut p, mut residual) = (b.zeros_like(), b.copy());
    let mut gradient = operator.apply(&residual);
    let mut direction = gradient.copy();
    let mut squared = gradient.dot_value(&gradient);
    for iteration in 0..iterations {
        if residual.norm() <= target || squared == 0.0 {
            return (p, iteration, false);
        }
        let product = operator.apply(&direction);
        let step = squared / product.dot_value(&product);
        if !step.is_finite() {
            return (p, iteration, false);
        }
        p.add_scaled(step, &direction);
        residual.add_scaled(-step, &product);
        gradient = operator.apply(&residual);
        let next = gradient.dot_value(&gradient);
        direction = gradient.plus(next / squared, &direction);
        squared = next;
    }
    (p, iterations, false)
}

fn least_squares(
    operator: &impl LinearOperator,
    b: &Parameters,
    settings: &SolverSettings,
    target: f64,
) -> (Parameters, usize, bool) {
    let mut p = b.zeros_like();
    let mut adam = Adam::new(&p, settings.rate);
    let (mut best, mut smallest) = (p.copy(), b.norm());
    for iteration in 0..settings.iterations {
        let residual = operator.apply(&p).plus(-1.0, b);
        let size = residual.norm();
        if size < smallest {
            (best, smallest) = (p.copy(), size);
        }
        if size <= target {
            return (p, iteration, false);
        }
        adam.step(&mut p, &operator.apply(&residual).scaled(2.0));
    }
    let last = operator.apply(&p).plus(-1.0, b).norm();
    (if last < smallest { p } else { best }, settings.iterations, false)
}

fn neumann(
    operator: &impl LinearOperator,
    b: &Parameters,
    iterations: usize,
    target: f64,
) -> (Parameters, usize, bool) {
    // A few power iterations; a margin covers what they miss of the largest eigenvalue.
    let mut direction = b.copy();
    let mut largest = 0.0;
    for _ in 0..10 {
        let product = operator.apply(&direction);
        largest = product.norm() / direction.norm();
        if largest == 0.0 || !largest.is_finite() {
            return (b.zeros_like(), 0, false);
        }
        direction = product.scaled(1.0 / product.norm());
    }
    let step = 1.0 / (1.2 * largest);
    let (mut p, mut term) = (b.scaled(step), b.scaled(step));
    for iteration in 0..iterations {
        term = term.plus(-step, &operator.apply(&term));
        p.add_scaled(1.0, &term);
        if term.norm() <= step * target {
            return (p, iteration + 1, false);
        }
    }
    (p, iterations, false)
}
