use tch::{Kind, Tensor};

use crate::training::margin;

/// The soft average certified radius of a batch. Its scalars stay on the device.
#[derive(Debug)]
pub struct SoftRadius {
    /// Mean over the batch, as a scalar with its graph.
    pub mean: Tensor,
    /// Images the soft smoothed classifier gets right, `int64`.
    pub right: Tensor,
}

/// Soft average certified radius of images, in the same units as σ.
///
/// `logits` are B×k×K: for each of B images the logits of k noisy copies; `labels` are B. With σ = `sigma`, β = `beta`,
/// a = `clamp`, p the mean over the copies of softmax(β·logits), and p₁ ≥ p₂ its two largest entries,
///
/// ```text
/// R = σ/2 · [Φ⁻¹((1−2a)·p₁ + a) − Φ⁻¹((1−2a)·p₂ + a)]   where argmax p is the label, else 0
/// ```
///
/// averaged over the batch (Mehra et al., 2021, equation 5, after Zhai et al., 2020). If no image is right, the mean and
/// its gradient are 0.
///
/// # Example
/// ```
/// use mithridate_attacker::attack::soft_radius;
/// use tch::Tensor;
///
/// // One image, one copy, two classes with probabilities 0.9 and 0.1 at β = 1: Φ⁻¹(0.9) = 1.2815516.
/// let logits = Tensor::from_slice(&[0.9_f64.ln(), 0.1_f64.ln()]).view([1, 1, 2]);
/// let radius = soft_radius(&logits, &Tensor::from_slice(&[0_i64]), 0.5, 1.0, 1e-12);
/// assert!((radius.mean.double_value(&[]) - 0.5 * 1.2815516).abs() < 1e-6);
/// assert_eq!(soft_radius(&logits, &Tensor::from_slice(&[1_i64]), 0.5, 1.0, 1e-12).right.int64_value(&[]), 0);
/// ```
pub fn soft_radius(logits: &Tensor, labels: &Tensor, sigma: f64, beta: f64, clamp: f64) -> SoftRadius {
    let margin = margin(logits, labels, beta, clamp);
    let radius = margin.value * (0.5 * sigma);
    SoftRadius { mean: radius.mean(radius.kind()), right: margin.right.sum(Kind::Int64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Domain, Purpose, Random};

    fn logits() -> Tensor {
        let random = Random::new(Domain::Attack, 8);
        random.normal(Purpose::ValidationNoise, 0, &[6, 5, 4], tch::Device::Cpu).to_kind(Kind::Double)
    }

    #[test]
    fn the_gradient_is_that_of_central_differences() {
        let labels = Tensor::from_slice(&[1_i64, 1, 0, 2, 1, 3]);
        let at = |logits: &Tensor| soft_radius(logits, &labels, 0.25, 2.0, 1e-3).mean.double_value(&[]);
        let base = logits();
        let leaf = base.copy().set_requires_grad(true);
        let radius = soft_radius(&leaf, &labels, 0.25, 2.0, 1e-3);
        let right = radius.right.int64_value(&[]);
        assert!(right > 0 && right < 6, "a mixed batch: {right}");
        let gradient = Tensor::run_backward(&[&radius.mean], &[&leaf], false, false).remove(0);
        for position in 0..base.numel() as i64 {
            let moved = |by: f64| {
                let change = Tensor::zeros([base.numel() as i64], (Kind::Double, tch::Device::Cpu));
                let _ = change.get(position).fill_(by);
                at(&(&base + change.view_as(&base)))
            };
            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let exact = gradient.view([-1]).double_value(&[position]);
            assert!((numeric - exact).abs() < 1e-8, "{position}: {numeric} {exact}");
        }
    }

    #[test]
    fn the_clamp_bounds_the_radius() {
        // p₁ = 1, p₂ = 0: R = σ·Φ⁻¹(1 − a), and Φ⁻¹(0.999) = 3.0902323.
        let logits = Tensor::from_slice(&[100.0_f64, 0.0]).view([1, 1, 2]);
        let label = Tensor::from_slice(&[0_i64]);
        let radius = soft_radius(&logits, &label, 1.0, 16.0, 1e-3).mean.double_value(&[]);
        assert!((radius - 3.090_232_306).abs() < 1e-8, "{radius}");
    }

    #[test]
    fn nothing_right_has_value_and_gradient_zero() {
        let leaf = Tensor::from_slice(&[100.0_f64, 0.0]).view([1, 1, 2]).set_requires_grad(true);
        let radius = soft_radius(&leaf, &Tensor::from_slice(&[1_i64]), 1.0, 16.0, 1e-3);
        assert_eq!((radius.right.int64_value(&[]), radius.mean.double_value(&[])), (0, 0.0));
        let gradient = Tensor::run_backward(&[&radius.mean], &[&leaf], false, false).remove(0);
        assert_eq!(gradient.abs().max().double_value(&[]), 0.0);
    }
}
