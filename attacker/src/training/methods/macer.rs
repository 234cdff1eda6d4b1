use serde::{Deserialize, Serialize};
use tch::{Reduction, Tensor};

use super::smoothadv::smoothed_cross_entropy;
use crate::{
    Error,
    training::{at_least_one, margin, positive},
};

/// Settings of MACER (Zhai et al., 2020).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MacerSettings {
    /// Noisy copies k of an image, whose mean softmax approximates the smoothed classifier.
    pub noises: usize,
    /// Weight λ of the robustness term.
    pub lambda: f64,
    /// Inverse temperature β of the softmax in the robustness term.
    pub beta: f64,
    /// Margin γ above which the hinge loss is 0.
    pub gamma: f64,
    /// Clamp a of the probabilities in the robustness term, as in the attack's soft radius; 0 for none.
    pub clamp: f64,
}

impl Default for MacerSettings {
    fn default() -> Self {
        Self { noises: 16, lambda: 16.0, beta: 16.0, gamma: 8.0, clamp: 0.0 }
    }
}

impl MacerSettings {
    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        at_least_one("macer.noises", self.noises)?;
        positive("macer.beta", self.beta)?;
        positive("macer.gamma", self.gamma)?;
        if !(self.lambda.is_finite() && self.lambda >= 0.0) {
            return Err(Error::setting("macer.lambda", "a finite number that is not negative", &self.lambda));
        }
        if !(0.0..0.5).contains(&self.clamp) {
            return Err(Error::setting("macer.clamp", "at least 0 and less than 0.5", &self.clamp));
        }
        Ok(())
    }
}

/// MACER's loss from logits N×k×K and labels N, as the mean or the sum over the N images.
///
/// For each image it is −log of the mean softmax over the copies. If the soft smoothed classifier is right, the
/// robustness term λ·σ/2·max(0, γ − [Φ⁻¹(p₁) − Φ⁻¹(p₂)]) is added. An image whose margin is infinite, which only a clamp
/// of 0 allows, has no robustness term, as in the authors' program.
pub(super) fn loss(
    logits: &Tensor,
    labels: &Tensor,
    sigma: f64,
    settings: &MacerSettings,
    reduction: Reduction,
) -> Tensor {
    let classification = smoothed_cross_entropy(logits, labels);
    let margin = margin(logits, labels, settings.beta, settings.clamp);
    let hinge = (-margin.value + settings.gamma).clamp_min(0.0);
    let robustness = hinge.where_self(&margin.usable, &hinge.zeros_like());
    let loss = classification + robustness * (0.5 * settings.lambda * sigma);
    if matches!(reduction, Reduction::Sum) { loss.sum(loss.kind()) } else { loss.mean(loss.kind()) }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::random::{Domain, Purpose, Random};

    const SIGMA: f64 = 0.5;

    fn settings() -> MacerSettings {
        MacerSettings { noises: 3, lambda: 4.0, beta: 2.0, gamma: 2.0, clamp: 0.0 }
    }

    fn logits() -> (Tensor, Tensor) {
        let logits = Random::new(Domain::Victim, 9).normal(Purpose::Order, 0, &[7, 3, 4], Device::Cpu);
        (logits.to_kind(Kind::Double), Tensor::from_slice(&[0_i64, 1, 2, 3, 0, 1, 2]))
    }

    /// The loss in plain numbers, from its definition; quantiles by statrs.
    fn by_hand(logits: &[f64], labels: &[i64], settings: &MacerSettings) -> f64 {
        use statrs::distribution::{ContinuousCDF, Normal};
        let normal = Normal::standard();
        let (k, classes) = (settings.noises, 4);
        let mut total = 0.0;
        for (image, &label) in logits.chunks(k * classes).zip(labels) {
            let mean_softmax = |beta: f64| {
                let mut mean = vec![0.0; classes];
                for copy in image.chunks(classes) {
                    let sum: f64 = copy.iter().map(|logit| (beta * logit).exp()).sum();
                    for (mean, logit) in mean.iter_mut().zip(copy) {
                        *mean += (beta * logit).exp() / sum / k as f64;
                    }
                }
                mean
            };
            total -= mean_softmax(1.0)[label as usize].ln();
            let p = mean_softmax(settings.beta);
            let best = (0..classes).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap();
            if best == label as usize {
                let second = (0..classes).filter(|&c| c != best).map(|c| p[c]).fold(0.0, f64::max);
                let clamped = |p: f64| (1.0 - 2.0 * settings.clamp) * p + settings.clamp;
                let margin = normal.inverse_cdf(clamped(p[best])) - normal.inverse_cdf(clamped(second));
                total += settings.lambda * SIGMA / 2.0 * (settings.gamma - margin).max(0.0);
            }
        }
        total
    }

    #[test]
    fn values_are_those_of_the_formula() {
        let (logits, labels) = logits();
        let numbers = Vec::<f64>::try_from(logits.view([-1])).unwrap();
        let label_numbers = Vec::<i64>::try_from(&labels).unwrap();
        for settings in [settings(), MacerSettings { clamp: 0.01, ..settings() }] {
            let expected = by_hand(&numbers, &label_numbers, &settings);
            let found = loss(&logits, &labels, SIGMA, &settings, Reduction::Sum).double_value(&[]);
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
            let mean = loss(&logits, &labels, SIGMA, &settings, Reduction::Mean).double_value(&[]);
            assert!((mean - expected / 7.0).abs() < 1e-8);
        }
        let plain = MacerSettings { lambda: 0.0, ..settings() };
        assert!(by_hand(&numbers, &label_numbers, &plain) < by_hand(&numbers, &label_numbers, &settings()));
    }

    #[test]
    fn gradients_are_those_of_central_differences_of_the_formula() {
        let (logits, labels) = logits();
        let label_numbers = Vec::<i64>::try_from(&labels).unwrap();
        let leaf = logits.copy().set_requires_grad(true);
        let value = loss(&leaf, &labels, SIGMA, &settings(), Reduction::Sum);
        let gradient = Tensor::run_backward(&[&value], &[&leaf], false, false).remove(0);
        let gradient = Vec::<f64>::try_from(gradient.view([-1])).unwrap();
        let base = Vec::<f64>::try_from(logits.view([-1])).unwrap();
        for (position, exact) in gradient.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = base.clone();
                moved[position] += step;
                by_hand(&moved, &label_numbers, &settings())
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((numeric - exact).abs() < 1e-6, "{position}: {numeric} {exact}");
        }
    }

    #[test]
    fn a_certain_network_has_a_finite_loss_and_gradient() {
        let leaf = Tensor::from_slice(&[500.0_f32, 0.0]).view([1, 1, 2]).set_requires_grad(true);
        let labels = Tensor::from_slice(&[0_i64]);
        let value = loss(&leaf, &labels, SIGMA, &MacerSettings::default(), Reduction::Mean);
        let gradient = Tensor::run_backward(&[&value], &[&leaf], false, false).remove(0);
        assert_eq!(value.double_value(&[]), 0.0);
        assert_eq!(Vec::<f32>::try_from(gradient.view([-1])).unwrap(), [0.0, 0.0]);
    }
}
