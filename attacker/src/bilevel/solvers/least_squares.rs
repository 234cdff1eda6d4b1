use super::{LinearOperator, Run};
use crate::{optimiser::Optimiser, parameters::Parameters};

/// Adam on ‖A p − b‖², from the last iterate of the solve before where there is one, as published.
///
/// The last iterate is the solution, not the best: the state of Adam belongs to it, and over a row of similar systems
/// it gets nearer to their solutions although it may not to that of the first.
pub(super) fn solve(
    operator: &impl LinearOperator,
    b: &Parameters,
    adam: &mut Optimiser,
    run: &mut Run,
) -> Parameters {
    let mut p = b.zeros_like();
    for _ in 0..run.iterations {
        let residual = operator.apply(&p).plus(-1.0, b);
        run.go_on_if(&residual.norm_scalar().gt_tensor(&run.target));
        if run.is_over() {
            break;
        }
        run.count();
        let before = p.copy();
        adam.step(&mut p, &operator.apply(&residual).scaled(2.0), 1.0);
        p = before.or(&run.active, &p);
    }
    p
}
