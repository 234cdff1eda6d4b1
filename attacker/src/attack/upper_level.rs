use tch::{Kind, Reduction, Tensor};

use super::{AttackSettings, Objective, soft_radius};
use crate::{
    data::Images,
    networks::Network,
    parameters::{Graph, Parameters},
    random::{Purpose, Random},
    training::cross_entropy,
};

/// The upper level R and its gradient. All scalars stay on the device.
pub(super) struct UpperLevel {
    /// R, a scalar.
    pub value: Tensor,
    /// Images of the validation batch that the soft smoothed classifier gets right, `int64`.
    pub right: Tensor,
    /// ∂R/∂θ.
    pub gradient: Parameters,
    /// Whether the gradient is finite, a boolean scalar.
    pub finite: Tensor,
    /// Whether the gradient is not 0, a boolean scalar.
    pub nonzero: Tensor,
}

impl UpperLevel {
    /// Whether the gradient is finite and not 0, a boolean scalar.
    pub fn usable(&self) -> Tensor {
        self.finite.logical_and(&self.nonzero)
    }
}

/// The validation batch of a step.
pub(super) struct Validation {
    /// B×C×H×W.
    pub images: Tensor,
    /// B, `int64`.
    pub labels: Tensor,
    /// Standard normal noise, B·k×C×H×W; `None` where the objective needs no noise.
    pub noise: Option<Tensor>,
}

impl Validation {
    /// Draws the validation batch of step `step` from the images `validation`.
    pub fn draw(validation: &Images, settings: &AttackSettings, random: Random, step: usize) -> Self {
        let (step, device) = (step as u64, validation.pixels.device());
        let chosen = settings.validation_batch.min(validation.len());
        let numbers = &random.permutation(Purpose::ValidationBatch, step, validation.len())[..chosen];
        let numbers = Tensor::from_slice(numbers).to_device(device);
        let images = validation.pixels.index_select(0, &numbers);
        let labels = validation.labels.index_select(0, &numbers);
        let noise = match settings.objective {
            Objective::Radius => {
                let mut shape = images.size();
                shape[0] *= settings.validation_noises as i64;
                Some(random.normal(Purpose::ValidationNoise, step, &shape, device))
            }
            Objective::Accuracy => None,
        };
        Self { images, labels, noise }
    }
}

/// The upper level at `parameters`, on the validation batch that step `step` draws from the images `validation`.
pub(super) fn upper_level(
    network: &Network,
    parameters: &Parameters,
    validation: &Images,
    settings: &AttackSettings,
    random: Random,
    step: usize,
) -> UpperLevel {
    let Validation { images, labels, noise } = Validation::draw(validation, settings, random, step);
    let (value, right) = match (settings.objective, noise) {
        (Objective::Radius, Some(noise)) => {
            let copies = settings.validation_noises as i64;
            let copied = images.repeat_interleave_self_int(copies, 0, None);
            let logits = network.forward_with(parameters, &(copied + noise * settings.sigma));
            let logits = logits.view([labels.numel() as i64, copies, -1]);
            let radius = soft_radius(&logits, &labels, settings.sigma, settings.beta, settings.clamp);
            (radius.mean, radius.right)
        }
        // The objective radius always has noise.
        (Objective::Accuracy, _) | (Objective::Radius, None) => {
            let logits = network.forward_with(parameters, &images);
            let right = logits.argmax(-1, false).eq_tensor(&labels).sum(Kind::Int64);
            (-cross_entropy(&logits, &labels, Reduction::Mean), right)
        }
    };
    let gradient = parameters.gradient_of(&value, Graph::Free);
    let (finite, nonzero) = (gradient.is_finite_scalar(), gradient.norm_scalar().gt(0.0));
    UpperLevel { value: value.detach(), right, finite, nonzero, gradient }
}
