use tch::no_grad;

use super::{LinearOperator, Run};
use crate::parameters::Parameters;

/// Curvature of a direction, as a share of the largest met, that counts as none: what is left of it is rounding.
const FLAT: f64 = 1e-10;
/// Gradient of ‖A p − b‖², as a share of the first, that counts as none.
const SOLVED: f64 = 1e-13;

/// Hestenes and Stiefel (1952), for A positive definite; where it turns out not to be, the solve ends.
pub(super) fn solve(operator: &impl LinearOperator, b: &Parameters, run: &mut Run) -> Parameters {
    let (mut p, mut residual, mut direction) = (b.zeros_like(), b.copy(), b.copy());
    let mut squared = residual.dot_scalar(&residual);
    let mut largest = squared.zeros_like();
    for _ in 0..run.iterations {
        run.go_on_if(&squared.sqrt().gt_tensor(&run.target));
        if run.is_over() {
            break;
        }
        let product = operator.apply(&direction);
        let curvature = direction.dot_scalar(&product);
        let relative = &curvature / direction.dot_scalar(&direction);
        largest = no_grad(|| largest.maximum(&relative));
        // Not so where the curvature is not a number.
        let positive = relative.gt_tensor(&(&largest * FLAT));
        run.negative = run.negative.logical_or(&run.active.logical_and(&positive.logical_not()));
        run.go_on_if(&positive);
        run.count();
        let step = run.factor(&(&squared / &curvature));
        p.add_scaled_by(&step, &direction);
        residual.add_scaled_by(&-&step, &product);
        let next = residual.dot_scalar(&residual);
        direction = residual.plus_scalar(&run.factor(&(&next / &squared)), &direction);
        squared = next;
    }
    p
}

/// CGNR: minimises ‖A p − b‖ over growing Krylov spaces of A².
pub(super) fn solve_normal_equations(
    operator: &impl LinearOperator,
    b: &Parameters,
    run: &mut Run,
) -> Parameters {
    let (mut p, mut residual) = (b.zeros_like(), b.copy());
    let mut direction = operator.apply(&residual);
    let mut squared = direction.dot_scalar(&direction);
    let solved = &squared * SOLVED.powi(2);
    for _ in 0..run.iterations {
        run.go_on_if(&residual.norm_scalar().gt_tensor(&run.target).logical_and(&squared.gt_tensor(&solved)));
        if run.is_over() {
            break;
        }
        let product = operator.apply(&direction);
        let step = &squared / product.dot_scalar(&product);
        run.go_on_if(&step.isfinite());
        run.count();
        let step = run.factor(&step);
        p.add_scaled_by(&step, &direction);
        residual.add_scaled_by(&-&step, &product);
        let gradient = operator.apply(&residual);
        let next = gradient.dot_scalar(&gradient);
        direction = gradient.plus_scalar(&run.factor(&(&next / &squared)), &direction);
        squared = next;
    }
    p
}
