use super::{LinearOperator, SolveState};
use crate::{optimiser::Optimiser, parameters::Parameters};

/// Adam on ‖A p − b‖², with the state of Adam from the solve before, as published.
///
/// It returns the last iterate, not the best one: the state of Adam belongs to the last. Over a sequence of similar
/// systems the iterates approach the solutions, even if the residual rises in the first solves.
pub(super) fn solve(
    operator: &impl LinearOperator,
    b: &Parameters,
    adam: &mut Optimiser,
    state: &mut SolveState,
) -> Parameters {
    let mut p = b.zeros_like();
    for _ in 0..state.iterations {
        let residual = operator.apply(&p).plus(-1.0, b);
        state.go_on_if(&residual.norm_scalar().gt_tensor(&state.target));
        if state.is_over() {
            break;
        }
        state.count();
        let before = p.copy();
        adam.step(&mut p, &operator.apply(&residual).scaled(2.0), 1.0);
        p = before.or(&state.active, &p);
    }
    p
}
