use tch::{Reduction, Tensor};

/// Cross-entropy of logits N×K with labels N.
///
/// ```
/// use mithridate_attacker::training::cross_entropy;
/// use tch::{Reduction, Tensor};
///
/// let logits = Tensor::from_slice(&[0.0_f64, 0.0]).view([1, 2]);
/// let loss = cross_entropy(&logits, &Tensor::from_slice(&[1_i64]), Reduction::Mean);
/// assert!((loss.double_value(&[]) - 2.0_f64.ln()).abs() < 1e-12);
/// ```
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, reduction: Reduction) -> Tensor {
    logits.log_softmax(-1, logits.kind()).g_nll_loss::<Tensor>(labels, None, reduction, -100)
}
