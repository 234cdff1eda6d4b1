use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::{
    Error,
    networks::Network,
    training::{at_least_one, positive},
};

/// Settings of adversarial training of the smoothed classifier (Salman et al., 2019).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmoothAdvSettings {
    /// ℓ2 radius of the adversary.
    pub radius: f64,
    /// Steps of projected gradient ascent, each of length 2·radius/steps.
    pub steps: usize,
    /// Noisy copies m of an image, whose mean softmax approximates the smoothed classifier.
    pub noises: usize,
    /// Epochs over which the radius rises from `radius/warm_up` to its full size; 0 for none.
    pub warm_up: usize,
}

impl Default for SmoothAdvSettings {
    fn default() -> Self {
        Self { radius: 1.0, steps: 2, noises: 1, warm_up: 10 }
    }
}

impl SmoothAdvSettings {
    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        positive("smoothadv.radius", self.radius)?;
        at_least_one("smoothadv.steps", self.steps)?;
        at_least_one("smoothadv.noises", self.noises)
    }

    /// Share of the radius in force in epoch `epoch`, counted from 0.
    pub fn strength(&self, epoch: usize) -> f64 {
        if self.warm_up == 0 { 1.0 } else { ((epoch + 1) as f64 / self.warm_up as f64).min(1.0) }
    }
}

/// Adversarial perturbations δ, N×C×H×W, by projected gradient ascent on −log of the mean softmax over the noisy copies.
/// Each δ stays in the ℓ2 ball of radius `strength · settings.radius`, and x + δ in \[0, 1\].
///
/// `noise` is (N·m)×C×H×W, already multiplied by σ, and the same in every step. Batch norm takes the running
/// statistics.
pub(super) fn perturbation(
    network: &Network,
    images: &Tensor,
    labels: &Tensor,
    noise: &Tensor,
    strength: f64,
    settings: &SmoothAdvSettings,
) -> Tensor {
    let radius = settings.radius * strength;
    let step = 2.0 * radius / settings.steps as f64;
    let images = images.detach();
    let copies = noise.size()[0] / images.size()[0];
    let mut delta = images.zeros_like();
    for _ in 0..settings.steps {
        let leaf = delta.detach().set_requires_grad(true);
        let noisy = (&images + &leaf).repeat_interleave_self_int(copies, 0, None) + noise;
        let loss = smoothed_cross_entropy(
            &network.forward(&noisy).view([-1, copies, network.classes() as i64]),
            labels,
        );
        let gradient = Tensor::run_backward(&[&loss.sum(loss.kind())], &[&leaf], false, false).remove(0);
        delta = no_grad(|| {
            // An image whose gradient is 0 is not moved.
            let direction = &gradient / norms(&gradient).clamp_min(1e-30);
            let inside = (&images + leaf.detach() + direction * step).clamp(0.0, 1.0) - &images;
            let excess = norms(&inside).clamp_min(1e-30).reciprocal() * radius;
            inside * excess.clamp_max(1.0)
        });
    }
    delta
}

/// −log of the mean over copies of the softmax probability of the label, N, from logits N×k×K.
pub(super) fn smoothed_cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    let (copies, kind) = (logits.size()[1], logits.kind());
    let chosen = labels.view([-1, 1, 1]).expand([-1, copies, 1], false);
    let of_label = logits.log_softmax(-1, kind).gather(2, &chosen, false).squeeze_dim(2);
    -(of_label.logsumexp([1_i64].as_slice(), false) - (copies as f64).ln())
}

/// ℓ2 norm of each image, N×1×1×1.
fn norms(images: &Tensor) -> Tensor {
    images.square().sum_dim_intlist([1_i64, 2, 3].as_slice(), true, None::<Kind>).sqrt()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{
        networks::Architecture,
        random::{Domain, Purpose, Random},
    };

    #[test]
    fn the_smoothed_cross_entropy_is_minus_log_of_the_mean_probability() {
        // Two copies with probabilities ¾ and ¼ of the label: −log ½.
        let logits = Tensor::from_slice(&[3.0_f64.ln(), 0.0, 0.0, 3.0_f64.ln()]).view([1, 2, 2]);
        let loss = smoothed_cross_entropy(&logits, &Tensor::from_slice(&[0_i64]));
        assert!((loss.double_value(&[0]) - 2.0_f64.ln()).abs() < 1e-14);
    }

    /// For a linear network with two classes and one noise the loss rises along a fixed direction, ±(w₁ − w₀), so that
    /// the adversary ends at the radius along it wherever the pixel range allows.
    #[test]
    fn against_a_linear_network_the_adversary_goes_straight_to_the_rim() {
        let random = Random::new(Domain::Victim, 5);
        let network = Network::new(Architecture::Linear, [1, 3, 3], 2, random, Device::Cpu).unwrap();
        let images = random.uniform(Purpose::Order, 1, &[4, 1, 3, 3], 0.05) + 0.5;
        let labels = Tensor::from_slice(&[0_i64, 1, 0, 1]);
        let noise = random.normal(Purpose::TrainingNoise, 0, &[12, 1, 3, 3], Device::Cpu) * 0.1;
        let settings = SmoothAdvSettings { radius: 0.3, steps: 4, noises: 3, warm_up: 0 };
        let delta = perturbation(&network, &images, &labels, &noise, 0.5, &settings);
        let weight = network.parameters().tensors()[0].detach();
        let towards = weight.get(1) - weight.get(0);
        let unit = &towards / towards.norm();
        for (image, sign) in [1.0, -1.0, 1.0, -1.0].into_iter().enumerate() {
            let expected = &unit * (0.15 * sign);
            let error = (delta.get(image as i64).view([9]) - expected).abs().max().double_value(&[]);
            assert!(error < 1e-6, "{image}: {error}");
        }
    }

    #[test]
    fn the_adversary_stays_within_ball_and_pixel_range() {
        let random = Random::new(Domain::Victim, 6);
        let network = Network::new(Architecture::Mlp, [1, 4, 4], 3, random, Device::Cpu).unwrap();
        let images = (random.uniform(Purpose::Order, 1, &[20, 1, 4, 4], 0.6) + 0.5).clamp(0.0, 1.0);
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 0, 1].repeat(4));
        let noise = random.normal(Purpose::TrainingNoise, 0, &[20, 1, 4, 4], Device::Cpu) * 0.25;
        let settings = SmoothAdvSettings::default();
        let delta = perturbation(&network, &images, &labels, &noise, 1.0, &settings);
        assert!(norms(&delta).max().double_value(&[]) <= 1.0 + 1e-6);
        let moved = &images + &delta;
        assert!(moved.min().double_value(&[]) >= -1e-7 && moved.max().double_value(&[]) <= 1.0 + 1e-7);
        let loss = |images: &Tensor| {
            let logits = network.forward(&(images + &noise)).view([20, 1, 3]);
            smoothed_cross_entropy(&logits, &labels)
        };
        let better = loss(&moved).gt_tensor(&loss(&images)).sum(Kind::Int64).int64_value(&[]);
        assert!(better >= 19, "the loss rises: {better} of 20");
    }

    #[test]
    fn the_radius_rises_over_the_warm_up() {
        let settings = SmoothAdvSettings { warm_up: 4, ..SmoothAdvSettings::default() };
        assert_eq!([0, 1, 3, 9].map(|epoch| settings.strength(epoch)), [0.25, 0.5, 1.0, 1.0]);
        assert_eq!(SmoothAdvSettings { warm_up: 0, ..settings }.strength(0), 1.0);
    }
}
