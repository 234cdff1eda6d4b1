use tch::{Tensor, no_grad};

use crate::parameters::Parameters;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;

/// Adam (Kingma and Ba, 2015) with the usual β₁ = 0.9, β₂ = 0.999.
///
/// ```
/// use mithridate_attacker::{parameters::Parameters, training::Adam};
/// use tch::Tensor;
///
/// let mut point = Parameters::new(vec![Tensor::from_slice(&[3.0_f64, -2.0])]);
/// let mut adam = Adam::new(&point, 0.1);
/// for _ in 0..500 {
///     let gradient = point.scaled(2.0); // of the squared norm
///     adam.step(&mut point, &gradient);
/// }
/// assert!(point.norm() < 1e-3);
/// ```
#[derive(Debug)]
pub struct Adam {
    mean: Parameters,
    square: Parameters,
    steps: i32,
    /// Learning rate.
    pub rate: f64,
    epsilon: f64,
}

impl Adam {
    /// For parameters of these shapes.
    pub fn new(parameters: &Parameters, rate: f64) -> Self {
        Self { mean: parameters.zeros_like(), square: parameters.zeros_like(), steps: 0, rate, epsilon: 1e-8 }
    }

    /// Takes one step against the gradient.
    pub fn step(&mut self, parameters: &mut Parameters, gradient: &Parameters) {
        self.steps += 1;
        let correction_1 = 1.0 - BETA_1.powi(self.steps);
        let correction_2 = 1.0 - BETA_2.powi(self.steps);
        no_grad(|| {
            let state = self.mean.tensors_mut().iter_mut().zip(self.square.tensors_mut());
            let updates = parameters.tensors_mut().iter_mut().zip(gradient.tensors());
            for ((parameter, gradient), (mean, square)) in updates.zip(state) {
                update_moments(mean, square, gradient);
                let scale = (&*square / correction_2).sqrt() + self.epsilon;
                let _ = parameter.g_sub_(&(&*mean / scale * (self.rate / correction_1)));
            }
        });
    }
}

/// Moves the running mean and mean square of a gradient on by one step.
fn update_moments(mean: &mut Tensor, square: &mut Tensor, gradient: &Tensor) {
    let _ = mean.g_mul_scalar_(BETA_1);
    let _ = mean.g_add_(&(gradient * (1.0 - BETA_1)));
    let _ = square.g_mul_scalar_(BETA_2);
    let _ = square.g_add_(&(gradient.square() * (1.0 - BETA_2)));
}

/// Adam for many images at once, each with a state and a count of steps of its own, so that an image's momentum is
/// made of its own gradients only.
#[derive(Debug)]
pub struct ImageAdam {
    mean: Tensor,
    square: Tensor,
    steps: Tensor,
}

/// Small enough not to matter beside the mixed derivatives of single pixels.
const IMAGE_EPSILON: f64 = 1e-12;

impl ImageAdam {
    /// For images N×C×H×W.
    pub fn new(images: &Tensor) -> Self {
        let steps = Tensor::zeros([images.size()[0], 1, 1, 1], (images.kind(), images.device()));
        Self { mean: images.zeros_like(), square: images.zeros_like(), steps }
    }

    /// The step for the images with these numbers (`int64`, M), given their gradients M×C×H×W, before the learning
    /// rate.
    pub fn direction(&mut self, numbers: &Tensor, gradient: &Tensor) -> Tensor {
        no_grad(|| {
            let mut mean = self.mean.index_select(0, numbers);
            let mut square = self.square.index_select(0, numbers);
            let steps = self.steps.index_select(0, numbers) + 1.0;
            update_moments(&mut mean, &mut square, gradient);
            let _ = self.mean.index_copy_(0, numbers, &mean);
            let _ = self.square.index_copy_(0, numbers, &square);
            let _ = self.steps.index_copy_(0, numbers, &steps);
            let remaining = |beta: f64| -((&steps * beta.ln()).exp() - 1.0);
            let scale = (square / remaining(BETA_2)).sqrt() + IMAGE_EPSILON;
            mean / remaining(BETA_1) / scale
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adam on one number with constant gradient 2: mean and square are 2 and 4 after correction at every step, so
    /// each step is the learning rate.
    #[test]
    fn a_constant_gradient_moves_by_the_rate() {
        let mut point = Parameters::new(vec![Tensor::from_slice(&[1.0_f64])]);
        let gradient = Parameters::new(vec![Tensor::from_slice(&[2.0_f64])]);
        let mut adam = Adam::new(&point, 0.01);
        for step in 1..=20 {
            adam.step(&mut point, &gradient);
            let value = point.tensors()[0].double_value(&[0]);
            assert!((value - (1.0 - 0.01 * f64::from(step))).abs() < 1e-8, "{step}: {value}");
        }
    }

    #[test]
    fn images_keep_states_of_their_own() {
        let images = Tensor::zeros([3, 1, 1, 1], (tch::Kind::Double, tch::Device::Cpu));
        let mut adam = ImageAdam::new(&images);
        let of = |numbers: &[i64]| Tensor::from_slice(numbers);
        let gradient = |values: &[f64]| Tensor::from_slice(values).view([-1, 1, 1, 1]);
        // The first step of every image has length 1 whatever the scale of its gradient.
        let first = adam.direction(&of(&[0, 2]), &gradient(&[5.0, -0.1]));
        assert!((first.double_value(&[0, 0, 0, 0]) - 1.0).abs() < 1e-9);
        assert!((first.double_value(&[1, 0, 0, 0]) + 1.0).abs() < 1e-9);
        let later = adam.direction(&of(&[1]), &gradient(&[3.0]));
        assert!((later.double_value(&[0, 0, 0, 0]) - 1.0).abs() < 1e-9);
    }
}
