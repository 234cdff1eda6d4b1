use tch::Tensor;

/// How far the smoothed classifier is from changing its mind, made differentiable: what MACER trains for and the
/// attack works against.
#[derive(Debug)]
pub(crate) struct Margin {
    /// Φ⁻¹(p₁) − Φ⁻¹(p₂) of each image, N; 0 where it is not `usable`.
    pub value: Tensor,
    /// Images that the soft smoothed classifier gets right, N, boolean.
    pub right: Tensor,
    /// Right, with a margin that is finite.
    pub usable: Tensor,
}

/// Margins of images from the logits N×k×K of k noisy copies of each and their labels N.
///
/// With p the mean over the copies of softmax(β·logits) and p₁ ≥ p₂ its two largest entries, each moved into
/// \[a, 1−a\] by p → (1−2a)·p + a. A probability of exactly 0 or 1, which has no finite quantile, is only possible for
/// a = 0. (Zhai et al., 2020.)
pub(crate) fn margin(logits: &Tensor, labels: &Tensor, beta: f64, clamp: f64) -> Margin {
    let probabilities = (logits * beta).softmax(-1, logits.kind()).mean_dim([1_i64].as_slice(), false, None);
    let (largest, classes) = probabilities.topk(2, 1, true, true);
    let right = classes.select(1, 0).eq_tensor(labels);
    let [first, second] = [0, 1].map(|rank| largest.select(1, rank) * (1.0 - 2.0 * clamp) + clamp);
    let usable = right.logical_and(&first.lt(1.0)).logical_and(&second.gt(0.0));
    // Elsewhere both probabilities are replaced by ½, whose margin is 0 and whose gradient is finite, so that no
    // infinity leaks through.
    let quantile = |p: &Tensor| p.where_self(&usable, &p.full_like(0.5)).special_ndtri();
    Margin { value: quantile(&first) - quantile(&second), right, usable }
}
