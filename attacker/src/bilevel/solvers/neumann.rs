use super::{LinearOperator, SolveState};
use crate::parameters::Parameters;

/// Power iterations for the largest eigenvalue.
const POWER_ITERATIONS: usize = 10;
/// Safety factor on that estimate.
const MARGIN: f64 = 1.2;

/// p = η Σ (I − ηA)ⁱ b. It ends when the last term changes the residual by no more than the target.
pub(super) fn solve(operator: &impl LinearOperator, b: &Parameters, state: &mut SolveState) -> Parameters {
    let mut direction = b.scaled_by(&state.factor(&b.norm_scalar().reciprocal()));
    let mut largest = b.norm_scalar();
    for _ in 0..POWER_ITERATIONS {
        let product = operator.apply(&direction);
        largest = product.norm_scalar();
        state.go_on_if(&largest.gt(0.0).logical_and(&largest.isfinite()));
        direction = product.scaled_by(&state.factor(&largest.reciprocal()));
    }
    let step = state.factor(&(largest * MARGIN).reciprocal());
    let mut term = b.scaled_by(&step);
    let mut p = term.copy();
    for _ in 0..state.iterations {
        state.go_on_if(&term.norm_scalar().gt_tensor(&(&step * &state.target)));
        if state.is_over() {
            break;
        }
        state.count();
        term.add_scaled_by(&-&step, &operator.apply(&term));
        p.add_scaled_by(&state.factor(&step.ones_like()), &term);
    }
    p
}
