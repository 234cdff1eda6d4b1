use tch::no_grad;

use super::{LinearOperator, SolveState};
use crate::parameters::Parameters;

/// Curvature of a direction, relative to the largest so far, that counts as 0, since it is rounding.
const FLAT: f64 = 1e-10;
/// Gradient of ‖A p − b‖², relative to the first, that counts as 0.
const SOLVED: f64 = 1e-13;

/// Conjugate gradients (Hestenes and Stiefel, 1952) for positive definite A. The solve ends at a direction whose
/// curvature is not positive.
pub(super) fn solve(operator: &impl LinearOperator, b: &Parameters, state: &mut SolveState) -> Parameters {
    let (mut p, mut residual, mut direction) = (b.zeros_like(), b.copy(), b.copy());
    let mut squared = residual.dot_scalar(&residual);
    let mut largest = squared.zeros_like();
    for _ in 0..state.iterations {
        state.go_on_if(&squared.sqrt().gt_tensor(&state.target));
        if state.is_over() {
            break;
        }
        let product = operator.apply(&direction);
        let curvature = direction.dot_scalar(&product);
        let relative = &curvature / direction.dot_scalar(&direction);
        largest = no_grad(|| largest.maximum(&relative));
        // False also where the curvature is NaN.
        let positive = relative.gt_tensor(&(&largest * FLAT));
        state.negative = state.negative.logical_or(&state.active.logical_and(&positive.logical_not()));
        state.go_on_if(&positive);
        state.count();
        let step = state.factor(&(&squared / &curvature));
        p.add_scaled_by(&step, &direction);
        residual.add_scaled_by(&-&step, &product);
        let next = residual.dot_scalar(&residual);
        direction = residual.plus_scalar(&state.factor(&(&next / &squared)), &direction);
        squared = next;
    }
    p
}

/// CGNR: minimises ‖A p − b‖ over growing Krylov spaces of A².
pub(super) fn solve_normal_equations(
    operator: &impl LinearOperator,
    b: &Parameters,
    state: &mut SolveState,
) -> Parameters {
    let (mut p, mut residual) = (b.zeros_like(), b.copy());
    let mut direction = operator.apply(&residual);
    let mut squared = direction.dot_scalar(&direction);
    let solved = &squared * SOLVED.powi(2);
    for _ in 0..state.iterations {
        state.go_on_if(
            &residual.norm_scalar().gt_tensor(&state.target).logical_and(&squared.gt_tensor(&solved)),
        );
        if state.is_over() {
            break;
        }
        let product = operator.apply(&direction);
        let step = &squared / product.dot_scalar(&product);
        state.go_on_if(&step.isfinite());
        state.count();
        let step = state.factor(&step);
        p.add_scaled_by(&step, &direction);
        residual.add_scaled_by(&-&step, &product);
        let gradient = operator.apply(&residual);
        let next = gradient.dot_scalar(&gradient);
        direction = gradient.plus_scalar(&state.factor(&(&next / &squared)), &direction);
        squared = next;
    }
    p
}
