use tch::{Kind, Tensor};

use super::{Statistics, batch_norm::batch_norm};

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
    /// Batch normalisation of each channel of N×C×H×W (Ioffe and Szegedy, 2015): `γ·(x − μ)/√(v + ε) + β` with
    /// ε = 1e-5. γ and β are parameters; the running μ and v are buffers.
    BatchNorm2d {
        /// Channels, C.
        channels: usize,
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
    /// Mean over all pixels of each channel: N×C×H×W to N×C×1×1.
    GlobalAveragePool2d,
    /// N×C×H×W to N×(C·H·W).
    Flatten,
    /// Sum of two branches with the same input (He et al., 2016).
    Residual {
        /// The layers of one branch.
        body: Vec<Self>,
        /// Those of the other; none for the identity.
        shortcut: Vec<Self>,
    },
}

impl Layer {
    /// Shapes of its parameters: weight, then bias, of each layer in it, the body of a residual layer before its
    /// shortcut.
    pub fn parameter_shapes(&self) -> Vec<Vec<i64>> {
        match self {
            &Self::Conv2d { inputs, outputs, kernel, .. } => {
                let kernel = kernel as i64;
                vec![vec![outputs as i64, inputs as i64, kernel, kernel], vec![outputs as i64]]
            }
            &Self::Linear { inputs, outputs } => {
                vec![vec![outputs as i64, inputs as i64], vec![outputs as i64]]
            }
            &Self::BatchNorm2d { channels } => vec![vec![channels as i64]; 2],
            Self::Residual { body, shortcut } => {
                body.iter().chain(shortcut).flat_map(Self::parameter_shapes).collect()
            }
            Self::Relu | Self::MaxPool2d { .. } | Self::GlobalAveragePool2d | Self::Flatten => Vec::new(),
        }
    }

    /// Shapes of its buffers, in the same order: running mean, then running variance, of each batch normalisation.
    pub fn buffer_shapes(&self) -> Vec<Vec<i64>> {
        match self {
            Self::BatchNorm2d { .. } => self.parameter_shapes(),
            Self::Residual { body, shortcut } => {
                body.iter().chain(shortcut).flat_map(Self::buffer_shapes).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The layer itself, or the layers in it, depth first.
    pub fn leaves(&self) -> Vec<&Self> {
        match self {
            Self::Residual { body, shortcut } => body.iter().chain(shortcut).flat_map(Self::leaves).collect(),
            _ => vec![self],
        }
    }

    /// Output for an input, with the parameters and buffers given. Batch normalisation takes the statistics asked
    /// for; with those of the batch it moves the running ones in `buffers` on.
    pub fn forward(
        &self,
        parameters: &[Tensor],
        buffers: &[Tensor],
        input: &Tensor,
        statistics: Statistics,
    ) -> Tensor {
        match (self, parameters, buffers) {
            (&Self::Conv2d { stride, padding, .. }, [weight, bias], _) => {
                let (stride, padding) = ([stride as i64; 2], [padding as i64; 2]);
                input.conv2d(weight, Some(bias), stride, padding, [1, 1], 1)
            }
            (Self::Linear { .. }, [weight, bias], _) => input.linear(weight, Some(bias)),
            (Self::BatchNorm2d { .. }, [weight, bias], [mean, variance]) => {
                batch_norm(input, [weight, bias], [mean, variance], statistics)
            }
            (Self::Residual { body, shortcut }, mut parameters, mut buffers) => {
                let mut branch = |layers| run(layers, &mut parameters, &mut buffers, input, statistics);
                branch(body) + branch(shortcut)
            }
            (&Self::MaxPool2d { kernel, stride }, ..) => {
                input.max_pool2d([kernel as i64; 2], [stride as i64; 2], [0, 0], [1, 1], false)
            }
            (Self::GlobalAveragePool2d, ..) => input.mean_dim([2_i64, 3].as_slice(), true, None::<Kind>),
            (Self::Flatten, ..) => input.flatten(1, -1),
            (Self::Relu, ..) => input.relu(),
            (Self::Conv2d { .. } | Self::Linear { .. } | Self::BatchNorm2d { .. }, ..) => {
                unreachable!("a weight, a bias and their buffers")
            }
        }
    }
}

/// Runs layers one after the other; takes their tensors from the front of `parameters` and `buffers`.
pub(super) fn run(
    layers: &[Layer],
    parameters: &mut &[Tensor],
    buffers: &mut &[Tensor],
    input: &Tensor,
    statistics: Statistics,
) -> Tensor {
    layers.iter().fold(input.shallow_clone(), |value, layer| {
        let own = take(parameters, layer.parameter_shapes().len());
        layer.forward(own, take(buffers, layer.buffer_shapes().len()), &value, statistics)
    })
}

/// The first tensors of a slice, which then starts after them.
pub(super) fn take<'a>(rest: &mut &'a [Tensor], count: usize) -> &'a [Tensor] {
    let (first, after) = rest.split_at(count);
    *rest = after;
    first
}
