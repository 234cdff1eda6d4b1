//! Rules that turn gradients into steps: Adam and gradient descent with momentum for the parameters of a network, and
//! Adam with a state for each image.

mod image_adam;

use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

pub(crate) use image_adam::ImageAdam;

use crate::{choice::choice, parameters::Parameters};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// A rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Adam (Kingma and Ba, 2015) with the usual β₁ = 0.9, β₂ = 0.999.
    #[default]
    Adam,
    /// Gradient descent with momentum: v ← μ v + g, θ ← θ − rate · v.
    Sgd,
}

choice!(OptimiserKind, "an optimiser", { Adam = "adam", Sgd = "sgd" });

/// Settings of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimiserSettings {
    /// Which rule.
    pub kind: OptimiserKind,
    /// Learning rate.
    pub rate: f64,
    /// Momentum μ of [`OptimiserKind::Sgd`].
    pub momentum: f64,
    /// Weight decay λ: λ θ is added to the gradient.
    pub weight_decay: f64,
}

impl OptimiserSettings {
    /// Adam without weight decay.
    pub fn adam(rate: f64) -> Self {
        Self { kind: OptimiserKind::Adam, rate, momentum: 0.0, weight_decay: 0.0 }
    }
}

/// An optimiser with its state.
///
/// ```
/// use mithridate_attacker::{optimiser::{Optimiser, OptimiserSettings}, parameters::Parameters};
/// use tch::Tensor;
///
/// let mut point = Parameters::new(vec![Tensor::from_slice(&[3.0_f64, -2.0])]);
/// let mut adam = Optimiser::new(&point, OptimiserSettings::adam(0.1));
/// for _ in 0..500 {
///     let gradient = point.scaled(2.0); // of the squared norm
///     adam.step(&mut point, &gradient, 1.0);
/// }
/// assert!(point.norm() < 1e-3);
/// ```
#[derive(Debug)]
pub struct Optimiser {
    settings: OptimiserSettings,
    state: OptimiserState,
    steps: u64,
}

/// The state that an optimiser keeps from step to step.
#[derive(Debug)]
enum OptimiserState {
    /// Running mean of the gradient and of its square.
    Adam { mean: Parameters, square: Parameters },
    /// The velocity v.
    Sgd { velocity: Parameters },
}

impl OptimiserState {
    fn vectors(&self) -> impl Iterator<Item = &Parameters> {
        match self {
            Self::Adam { mean, square } => [Some(mean), Some(square)],
            Self::Sgd { velocity } => [Some(velocity), None],
        }
        .into_iter()
        .flatten()
    }

    fn vectors_mut(&mut self) -> impl Iterator<Item = &mut Parameters> {
        match self {
            Self::Adam { mean, square } => [Some(mean), Some(square)],
            Self::Sgd { velocity } => [Some(velocity), None],
        }
        .into_iter()
        .flatten()
    }
}

impl Optimiser {
    /// An optimiser for parameters with the shapes of `parameters`; its state is 0.
    pub fn new(parameters: &Parameters, settings: OptimiserSettings) -> Self {
        let zeros = || parameters.zeros_like();
        let state = match settings.kind {
            OptimiserKind::Adam => OptimiserState::Adam { mean: zeros(), square: zeros() },
            OptimiserKind::Sgd => OptimiserState::Sgd { velocity: zeros() },
        };
        Self { settings, state, steps: 0 }
    }

    /// Makes one step against the gradient, at `factor` times the learning rate.
    pub fn step(&mut self, parameters: &mut Parameters, gradient: &Parameters, factor: f64) {
        self.steps += 1;
        let OptimiserSettings { rate, momentum, weight_decay, .. } = self.settings;
        let (rate, steps) = (rate * factor, self.steps as f64);
        no_grad(|| {
            for (layer, (parameter, gradient)) in
                parameters.tensors_mut().iter_mut().zip(gradient.tensors()).enumerate()
            {
                let decayed = (weight_decay > 0.0).then(|| gradient + &*parameter * weight_decay);
                let gradient = decayed.as_ref().unwrap_or(gradient);
                match &mut self.state {
                    OptimiserState::Adam { mean, square } => {
                        let (mean, square) =
                            (&mut mean.tensors_mut()[layer], &mut square.tensors_mut()[layer]);
                        update_moments(mean, square, gradient);
                        let correction = (1.0 - BETA_2.powf(steps)).sqrt();
                        let mut scale = square.sqrt();
                        let _ = scale.g_add_scalar_(EPSILON * correction);
                        let _ = scale.g_mul_scalar_(-(1.0 - BETA_1.powf(steps)) / (rate * correction));
                        let _ = parameter.addcdiv_(mean, &scale);
                    }
                    OptimiserState::Sgd { velocity } => {
                        let velocity = &mut velocity.tensors_mut()[layer];
                        let _ = velocity.g_mul_scalar_(momentum);
                        let _ = velocity.g_add_(gradient);
                        let _ = parameter.g_sub_(&(&*velocity * rate));
                    }
                }
            }
        });
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The tensors of the state, to be saved and restored with [`Optimiser::steps`].
    pub fn state(&self) -> impl Iterator<Item = &Tensor> {
        self.state.vectors().flat_map(Parameters::tensors)
    }

    /// Sets the state to 0 unless `condition`, a boolean scalar on the same device, holds.
    pub(crate) fn reset_unless(&mut self, condition: &Tensor) {
        no_grad(|| {
            for tensor in self.state.vectors_mut().flat_map(Parameters::tensors_mut) {
                let kept = tensor.where_self(condition, &tensor.zeros_like());
                tensor.copy_(&kept);
            }
        });
    }

    /// Restores a saved state.
    pub fn restore(&mut self, steps: u64, state: &[Tensor]) {
        self.steps = steps;
        let own = self.state.vectors_mut().flat_map(Parameters::tensors_mut);
        no_grad(|| own.zip(state).for_each(|(own, saved)| own.copy_(saved)));
    }
}

/// Updates the running mean and mean square with a gradient.
fn update_moments(mean: &mut Tensor, square: &mut Tensor, gradient: &Tensor) {
    let _ = mean.lerp_(gradient, 1.0 - BETA_1);
    let _ = square.lerp_(&gradient.square(), 1.0 - BETA_2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64) -> Parameters {
        Parameters::new(vec![Tensor::from_slice(&[value])])
    }

    /// Adam on one number with constant gradient 2: mean and square are 2 and 4 after correction at every step, so
    /// each step is the learning rate.
    #[test]
    fn a_constant_gradient_moves_adam_by_the_rate() {
        let mut point = number(1.0);
        let mut adam = Optimiser::new(&point, OptimiserSettings::adam(0.01));
        for step in 1..=20 {
            adam.step(&mut point, &number(2.0), 1.0);
            let value = point.tensors()[0].double_value(&[0]);
            assert!((value - (1.0 - 0.01 * f64::from(step))).abs() < 1e-8, "{step}: {value}");
        }
    }

    /// With constant gradient g the velocity after k steps is g (1 − μᵏ)/(1 − μ).
    #[test]
    fn momentum_adds_up_geometrically_and_decay_pulls_to_zero() {
        let settings =
            OptimiserSettings { kind: OptimiserKind::Sgd, rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        let mut point = number(0.0);
        let mut sgd = Optimiser::new(&point, settings);
        let mut expected = 0.0;
        for step in 1..=10 {
            sgd.step(&mut point, &number(2.0), 0.5);
            expected -= 0.05 * 2.0 * (1.0 - 0.9_f64.powi(step)) / 0.1;
            assert!((point.tensors()[0].double_value(&[0]) - expected).abs() < 1e-12);
        }
        let mut point = number(3.0);
        let decaying = OptimiserSettings { momentum: 0.0, weight_decay: 0.5, ..settings };
        Optimiser::new(&point, decaying).step(&mut point, &number(0.0), 1.0);
        assert!((point.tensors()[0].double_value(&[0]) - 3.0 * (1.0 - 0.1 * 0.5)).abs() < 1e-12);
    }

    #[test]
    fn a_restored_optimiser_goes_on_to_the_bit() {
        for &kind in OptimiserKind::ALL {
            let settings = OptimiserSettings { kind, rate: 0.1, momentum: 0.9, weight_decay: 0.01 };
            let gradient = |step: i32| number(f64::from(step).sin());
            let mut point = number(1.0);
            let mut first = Optimiser::new(&point, settings);
            (0..5).for_each(|step| first.step(&mut point, &gradient(step), 1.0));
            let mut again = point.copy();
            let mut second = Optimiser::new(&again, settings);
            second.restore(first.steps(), &first.state().map(Tensor::copy).collect::<Vec<_>>());
            for step in 5..9 {
                first.step(&mut point, &gradient(step), 1.0);
                second.step(&mut again, &gradient(step), 1.0);
            }
            assert_eq!(point.tensors(), again.tensors(), "{kind}");
        }
    }
}
