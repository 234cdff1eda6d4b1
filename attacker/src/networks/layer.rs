use tch::Tensor;

use crate::random::{Purpose, Random};

/// One layer of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Two-dimensional convolution with bias: N×C×H×W to N×K×H'×W'.
    Conv2d {
        /// Channels in, C.
        inputs: usize,
        /// Channels out, K.
        outputs: usize,
        /// Side of the window.
        kernel: usize,
        /// Step of the window.
        stride: usize,
        /// Zeros added on every side.
        padding: usize,
    },
    /// Fully connected layer with bias: N×F to N×K.
    Linear {
        /// Features in, F.
        inputs: usize,
        /// Units, K.
        outputs: usize,
    },
    /// The larger of 0 and each value.
    Relu,
    /// Largest value in each window.
    MaxPool2d {
        /// Side of the window.
        kernel: usize,
        /// Step of the window.
        stride: usize,
    },
    /// N×C×H×W to N×(C·H·W).
    Flatten,
}

impl Layer {
    /// Shapes of its parameters: weight, then bias.
    pub fn parameter_shapes(&self) -> Vec<Vec<i64>> {
        match *self {
            Self::Conv2d { inputs, outputs, kernel, .. } => {
                let kernel = kernel as i64;
                vec![vec![outputs as i64, inputs as i64, kernel, kernel], vec![outputs as i64]]
            }
            Self::Linear { inputs, outputs } => {
                vec![vec![outputs as i64, inputs as i64], vec![outputs as i64]]
            }
            Self::Relu | Self::MaxPool2d { .. } | Self::Flatten => Vec::new(),
        }
    }

    /// Fresh parameters, uniform within ±1/√fan-in; `position` tells layers of a network apart.
    pub fn initial_parameters(&self, random: Random, position: u64) -> Vec<Tensor> {
        let shapes = self.parameter_shapes();
        let fan_in: i64 = shapes.first().map_or(1, |weight| weight[1..].iter().product());
        let bound = 1.0 / (fan_in as f64).sqrt();
        shapes
            .iter()
            .zip(0..)
            .map(|(shape, part)| random.uniform(Purpose::Weights, 2 * position + part, shape, bound))
            .collect()
    }

    /// Output for an input, with the parameters given.
    pub fn forward(&self, parameters: &[Tensor], input: &Tensor) -> Tensor {
        match (self, parameters) {
            (&Self::Conv2d { stride, padding, .. }, [weight, bias]) => {
                let (stride, padding) = ([stride as i64; 2], [padding as i64; 2]);
                input.conv2d(weight, Some(bias), stride, padding, [1, 1], 1)
            }
            (Self::Linear { .. }, [weight, bias]) => input.linear(weight, Some(bias)),
            (&Self::MaxPool2d { kernel, stride }, _) => {
                input.max_pool2d([kernel as i64; 2], [stride as i64; 2], [0, 0], [1, 1], false)
            }
            (Self::Flatten, _) => input.flatten(1, -1),
            (Self::Relu, _) => input.relu(),
            (Self::Conv2d { .. } | Self::Linear { .. }, _) => unreachable!("a weight and a bias"),
        }
    }
}
