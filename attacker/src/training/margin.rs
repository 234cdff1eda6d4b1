use tch::Tensor;

/// The margin Φ⁻¹(p₁) − Φ⁻¹(p₂) of the soft smoothed classifier, differentiable: MACER makes it large, the attack makes
/// it small.
#[derive(Debug)]
pub(crate) struct Margin {
    /// The margin of each image, N; 0 where it is not `usable`.
    pub value: Tensor,
    /// Whether the soft smoothed classifier gets each image right, N, boolean.
    pub right: Tensor,
    /// Whether it is right with a finite margin, N, boolean.
    pub usable: Tensor,
}

/// Margins of images from the logits N×k×K of k noisy copies of each and their labels N.
///
/// p is the mean over the copies of softmax(β·logits) with β = `beta`, and p₁ ≥ p₂ are its two largest entries, each mapped
/// into \[a, 1−a\] by p → (1−2a)·p + a with a = `clamp`. Only a = 0 allows a probability of 0 or 1, whose quantile is infinite.
/// (Zhai et al., 2020.)
pub(crate) fn margin(logits: &Tensor, labels: &Tensor, beta: f64, clamp: f64) -> Margin {
    let probabilities = (logits * beta).softmax(-1, logits.kind()).mean_dim([1_i64].as_slice(), false, None);
    let (largest, classes) = probabilities.topk(2, 1, true, true);
    let right = classes.select(1, 0).eq_tensor(labels);
    let [first, second] = [0, 1].map(|rank| largest.select(1, rank) * (1.0 - 2.0 * clamp) + clamp);
    let usable = right.logical_and(&first.lt(1.0)).logical_and(&second.gt(0.0));
    // Elsewhere both probabilities are replaced by ½: the margin is 0 and its gradient finite.
    let quantile = |p: &Tensor| p.where_self(&usable, &p.full_like(0.5)).special_ndtri();
    Margin { value: quantile(&first) - quantile(&second), right, usable }
}
