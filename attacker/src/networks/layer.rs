/// One layer of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Two-dimensional convolution with bias: N×C×H×W to N×K×H'×W'.
    Conv2d {
        /// Channels in, C.
        inputs: usize,
        /// Channels out, K.
        outputs: usize,
        /// Side of the window, in pixels.
        kernel: usize,
        /// Stride of the window, in pixels.
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
    /// max(0, x) of each value x.
    Relu,
    /// Largest value in each window.
    MaxPool2d {
        /// Side of the window, in pixels.
        kernel: usize,
        /// Stride of the window, in pixels.
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
        /// The layers of the other branch; empty for the identity.
        shortcut: Vec<Self>,
    },
}

impl Layer {
    /// Shapes of the parameters: weight, then bias. A residual layer has those of its body, then those of its shortcut.
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

    /// Shapes of the buffers, in the same order: running mean, then running variance of each batch normalisation.
    pub fn buffer_shapes(&self) -> Vec<Vec<i64>> {
        match self {
            Self::BatchNorm2d { .. } => self.parameter_shapes(),
            Self::Residual { body, shortcut } => {
                body.iter().chain(shortcut).flat_map(Self::buffer_shapes).collect()
            }
            Self::Conv2d { .. }
            | Self::Linear { .. }
            | Self::Relu
            | Self::MaxPool2d { .. }
            | Self::GlobalAveragePool2d
            | Self::Flatten => Vec::new(),
        }
    }

    /// The layer itself, or the layers in it, depth first.
    pub fn leaves(&self) -> Vec<&Self> {
        match self {
            Self::Residual { body, shortcut } => body.iter().chain(shortcut).flat_map(Self::leaves).collect(),
            _ => vec![self],
        }
    }
}
