use tch::{Tensor, no_grad};

use super::{BETA_1, BETA_2, update_moments};

/// Adam for many images at once. Each image has its own state and count of steps, so that its momentum comes from its
/// own gradients only.
#[derive(Debug)]
pub struct ImageAdam {
    mean: Tensor,
    square: Tensor,
    steps: Tensor,
}

/// ε of Adam, small compared with the mixed derivatives of single pixels.
const IMAGE_EPSILON: f64 = 1e-12;

impl ImageAdam {
    /// The state for images N×C×H×W, before any step.
    pub fn new(images: &Tensor) -> Self {
        let steps = Tensor::zeros([images.size()[0], 1, 1, 1], (images.kind(), images.device()));
        Self { mean: images.zeros_like(), square: images.zeros_like(), steps }
    }

    /// The steps, before they are multiplied by the learning rate, of the images with indices `numbers` (`int64`, M),
    /// given their gradients M×C×H×W. Unless `moved`, a boolean scalar, the state does not change.
    pub fn direction(&mut self, numbers: &Tensor, gradient: &Tensor, moved: &Tensor) -> Tensor {
        no_grad(|| {
            let old = [&self.mean, &self.square, &self.steps].map(|state| state.index_select(0, numbers));
            let [mut mean, mut square, steps] = old.each_ref().map(Tensor::copy);
            let steps = steps + 1.0;
            update_moments(&mut mean, &mut square, gradient);
            let states = [&mut self.mean, &mut self.square, &mut self.steps];
            for ((state, new), old) in states.into_iter().zip([&mean, &square, &steps]).zip(&old) {
                let _ = state.index_copy_(0, numbers, &new.where_self(moved, old));
            }
            let remaining = |beta: f64| -((&steps * beta.ln()).exp() - 1.0);
            let scale = (square / remaining(BETA_2)).sqrt() + IMAGE_EPSILON;
            mean / remaining(BETA_1) / scale
        })
    }

    /// Tensors of the state, to be saved and restored.
    pub fn state(&self) -> [&Tensor; 3] {
        [&self.mean, &self.square, &self.steps]
    }

    /// Restores a saved state.
    pub fn restore(&mut self, state: &[Tensor]) {
        let own = [&mut self.mean, &mut self.square, &mut self.steps];
        no_grad(|| own.into_iter().zip(state).for_each(|(own, saved)| own.copy_(saved)));
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn images_keep_states_of_their_own() {
        let images = Tensor::zeros([3, 1, 1, 1], (Kind::Double, Device::Cpu));
        let mut adam = ImageAdam::new(&images);
        let of = |numbers: &[i64]| Tensor::from_slice(numbers);
        let gradient = |values: &[f64]| Tensor::from_slice(values).view([-1, 1, 1, 1]);
        let yes = Tensor::ones([], (Kind::Bool, Device::Cpu));
        // The first step of every image has length 1 whatever the scale of its gradient.
        let first = adam.direction(&of(&[0, 2]), &gradient(&[5.0, -0.1]), &yes);
        assert!((first.double_value(&[0, 0, 0, 0]) - 1.0).abs() < 1e-9);
        assert!((first.double_value(&[1, 0, 0, 0]) + 1.0).abs() < 1e-9);
        let _ = adam.direction(&of(&[1]), &gradient(&[-7.0]), &yes.logical_not());
        let later = adam.direction(&of(&[1]), &gradient(&[3.0]), &yes);
        assert!((later.double_value(&[0, 0, 0, 0]) - 1.0).abs() < 1e-9, "what was not moved left no trace");
    }
}
