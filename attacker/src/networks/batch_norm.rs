use tch::{Kind, Tensor, no_grad};

/// ε, added to every variance.
pub(super) const EPSILON: f64 = 1e-5;
/// Weight of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// The mean and variance that batch normalisation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// The running statistics (evaluation). The output of an image then depends on that image only.
    Running,
    /// The statistics of the batch (training). The running statistics move a tenth of the way to them (to the unbiased
    /// variance).
    Batch,
}

/// Normalises each channel of N×C×H×W. Training changes the running `mean` and `variance` in place.
///
/// # Panics
/// In training, if there is only one value in a channel, which has no variance.
pub(super) fn batch_norm(
    input: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, variance]: [&Tensor; 2],
    statistics: Statistics,
) -> Tensor {
    let training = statistics == Statistics::Batch;
    if training {
        let channels = mean.numel();
        assert!(
            input.numel() > channels,
            "batch statistics of {channels} channels need more than one value each"
        );
    }
    // libtorch keeps the running statistics for the backward pass; training must not change those.
    let (mean_kept, variance_kept) = (mean.copy(), variance.copy());
    let output = input.batch_norm(
        Some(weight),
        Some(bias),
        Some(&mean_kept),
        Some(&variance_kept),
        training,
        MOMENTUM,
        EPSILON,
        true,
    );
    if training {
        mean.shallow_clone().copy_(&mean_kept);
        variance.shallow_clone().copy_(&variance_kept);
    }
    output
}

/// Folds a batch normalisation in evaluation into the convolution before it, in double precision: weight `W·s` and bias
/// `(b − μ)·s + β` with `s = γ/√(v + ε)`.
///
/// `convolution` are W and b, `norm` γ and β, `buffers` μ and v.
pub(super) fn fold(convolution: [&Tensor; 2], norm: [&Tensor; 2], buffers: [&Tensor; 2]) -> [Tensor; 2] {
    no_grad(|| {
        let double = |tensors: [&Tensor; 2]| tensors.map(|tensor| tensor.to_kind(Kind::Double));
        let [weight, bias] = double(convolution);
        let [gamma, beta] = double(norm);
        let [mean, variance] = double(buffers);
        let scale = gamma / (variance + EPSILON).sqrt();
        [weight * scale.view([-1, 1, 1, 1]), (bias - mean) * scale + beta]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_by_hand() {
        let t = |value: f64| Tensor::from_slice(&[value]);
        let weight = t(2.0).view([1, 1, 1, 1]);
        // s = 3 / √4: weight 2 · 1.5, bias (1 − 5) · 1.5 − 1.
        let [weight, bias] = fold([&weight, &t(1.0)], [&t(3.0), &t(-1.0)], [&t(5.0), &t(4.0 - EPSILON)]);
        assert!((weight.double_value(&[0, 0, 0, 0]) - 3.0).abs() < 1e-12);
        assert!((bias.double_value(&[0]) + 7.0).abs() < 1e-12);
    }
}
