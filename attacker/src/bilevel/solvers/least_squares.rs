use tch::no_grad;

use super::{LinearOperator, Run};
use crate::{
    parameters::Parameters,
    training::{Optimiser, OptimiserSettings},
};

/// Adam on ‖A p − b‖²; the best iterate is kept, so that the residual never ends above where it began.
pub(super) fn solve(
    operator: &impl LinearOperator,
    b: &Parameters,
    rate: f64,
    state: Option<Optimiser>,
    run: &mut Run,
) -> (Parameters, Optimiser) {
    let mut p = b.zeros_like();
    let mut adam = state.unwrap_or_else(|| Optimiser::new(&p, OptimiserSettings::adam(rate)));
    let (mut best, mut smallest) = (p.copy(), b.norm_scalar());
    // One look more than there are steps: the last iterate counts too.
    for iteration in 0..=run.iterations {
        let residual = operator.apply(&p).plus(-1.0, b);
        let size = residual.norm_scalar();
        let better = size.lt_tensor(&smallest);
        best = best.or(&better, &p);
        smallest = no_grad(|| size.where_self(&better, &smallest));
        run.go_on_if(&size.gt_tensor(&run.target));
        if run.is_over() || iteration == run.iterations {
            break;
        }
        run.count();
        adam.step(&mut p, &operator.apply(&residual).scaled(2.0), 1.0);
    }
    (best, adam)
}
