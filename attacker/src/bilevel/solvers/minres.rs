use tch::{Kind, Tensor, no_grad};

use super::{LinearOperator, SolveState};
use crate::parameters::Parameters;

/// An entry of the tridiagonal matrix, relative to the largest, that counts as 0, since it is rounding.
const FLAT: f64 = 1e-13;

/// MINRES: Lanczos vectors, and the least-squares problem on their tridiagonal matrix solved by Givens rotations as
/// it grows (Paige and Saunders, *Solution of sparse indefinite systems of linear equations*, 1975).
pub(super) fn solve(operator: &impl LinearOperator, b: &Parameters, state: &mut SolveState) -> Parameters {
    let scalar = |value: f64| Tensor::full([], value, (Kind::Double, b.device()));
    let mut p = b.zeros_like();
    // Lanczos: `next` is β·v, where v is the next Lanczos vector and β the norm of `next`.
    let (mut before, mut next) = (b.zeros_like(), b.copy());
    let mut beta = b.norm_scalar();
    // The last two rotations (cosine, sine), and the last two directions of the solution.
    let mut rotations = [(scalar(1.0), scalar(0.0)), (scalar(1.0), scalar(0.0))];
    let mut directions = [b.zeros_like(), b.zeros_like()];
    // The rotated right-hand side; its absolute value is the norm of the residual.
    let mut left = beta.copy();
    let mut largest = scalar(0.0);
    for _ in 0..state.iterations {
        state.go_on_if(&left.abs().gt_tensor(&state.target).logical_and(&beta.gt_tensor(&(&largest * FLAT))));
        if state.is_over() {
            break;
        }
        state.count();
        let v = next.scaled_by(&state.factor(&beta.reciprocal()));
        let mut product = operator.apply(&v);
        product.add_scaled_by(&-&beta, &before);
        let alpha = v.dot_scalar(&product);
        product.add_scaled_by(&-&alpha, &v);
        let beta_next = product.norm_scalar();
        largest = no_grad(|| largest.maximum(&alpha.abs()).maximum(&beta_next));

        // The new column (β, α, β') of the tridiagonal matrix under the two rotations before, and one of its own.
        let [(c_2, s_2), (c_1, s_1)] = &rotations;
        let (upper, middle) = (s_2 * &beta, c_2 * &beta);
        let (second, diagonal) = (c_1 * &middle + s_1 * &alpha, c_1 * &alpha - s_1 * &middle);
        let length = (diagonal.square() + beta_next.square()).sqrt();
        let (c, s) = (&diagonal / &length, &beta_next / &length);

        let mut direction = v.copy();
        direction.add_scaled_by(&-&upper, &directions[0]);
        direction.add_scaled_by(&-&second, &directions[1]);
        // For a singular matrix the divisor may be 0.
        state.go_on_if(&length.gt_tensor(&(&largest * FLAT)));
        direction = direction.scaled_by(&state.factor(&length.reciprocal()));
        p.add_scaled_by(&state.factor(&(&c * &left)), &direction);
        left = -(&s * &left);

        let [_, last_direction] = directions;
        directions = [last_direction, direction];
        let [_, last_rotation] = rotations;
        rotations = [last_rotation, (c, s)];
        (before, next, beta) = (v, product, beta_next);
    }
    p
}
