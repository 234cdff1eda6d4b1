use tch::{Kind, Tensor};

use super::{Layer, Statistics, batch_norm::batch_norm};

/// A layer together with its tensors.
#[derive(Debug)]
pub(super) enum BoundLayer<'a> {
    /// [`Layer::Conv2d`].
    Conv2d { weight: &'a Tensor, bias: &'a Tensor, stride: usize, padding: usize },
    /// [`Layer::BatchNorm2d`], with the running mean and variance.
    BatchNorm2d { weight: &'a Tensor, bias: &'a Tensor, mean: &'a Tensor, variance: &'a Tensor },
    /// [`Layer::Linear`].
    Linear { weight: &'a Tensor, bias: &'a Tensor },
    /// [`Layer::Relu`].
    Relu,
    /// [`Layer::MaxPool2d`].
    MaxPool2d { kernel: usize, stride: usize },
    /// [`Layer::GlobalAveragePool2d`].
    GlobalAveragePool2d,
    /// [`Layer::Flatten`].
    Flatten,
    /// [`Layer::Residual`].
    Residual { body: Vec<Self>, shortcut: Vec<Self> },
}

/// The tensors of the layers that are not bound yet, in the order of the layers, depth first.
pub(super) struct Tensors<'a> {
    parameters: &'a [Tensor],
    buffers: &'a [Tensor],
}

impl<'a> Tensors<'a> {
    pub fn new(parameters: &'a [Tensor], buffers: &'a [Tensor]) -> Self {
        Self { parameters, buffers }
    }

    /// The next `N` parameters.
    pub fn parameters<const N: usize>(&mut self) -> [&'a Tensor; N] {
        take(&mut self.parameters)
    }

    /// The next `N` buffers.
    pub fn buffers<const N: usize>(&mut self) -> [&'a Tensor; N] {
        take(&mut self.buffers)
    }
}

/// Takes the first `N` tensors off a slice.
fn take<'a, const N: usize>(rest: &mut &'a [Tensor]) -> [&'a Tensor; N] {
    let (first, after) = rest.split_at(N);
    *rest = after;
    std::array::from_fn(|number| &first[number])
}

/// Binds layers to their tensors, which are taken from the front of `tensors`.
///
/// # Panics
/// If there are fewer tensors than the layers have.
pub(super) fn bind<'a>(layers: &[Layer], tensors: &mut Tensors<'a>) -> Vec<BoundLayer<'a>> {
    layers.iter().map(|layer| BoundLayer::new(layer, tensors)).collect()
}

/// Runs layers one after the other.
pub(super) fn run(layers: &[BoundLayer<'_>], input: &Tensor, statistics: Statistics) -> Tensor {
    layers.iter().fold(input.shallow_clone(), |value, layer| layer.forward(&value, statistics))
}

impl<'a> BoundLayer<'a> {
    /// Binds a layer to its tensors, which are taken from the front of `tensors`.
    fn new(layer: &Layer, tensors: &mut Tensors<'a>) -> Self {
        match layer {
            &Layer::Conv2d { stride, padding, .. } => {
                let [weight, bias] = tensors.parameters();
                Self::Conv2d { weight, bias, stride, padding }
            }
            Layer::BatchNorm2d { .. } => {
                let ([weight, bias], [mean, variance]) = (tensors.parameters(), tensors.buffers());
                Self::BatchNorm2d { weight, bias, mean, variance }
            }
            Layer::Linear { .. } => {
                let [weight, bias] = tensors.parameters();
                Self::Linear { weight, bias }
            }
            Layer::Relu => Self::Relu,
            &Layer::MaxPool2d { kernel, stride } => Self::MaxPool2d { kernel, stride },
            Layer::GlobalAveragePool2d => Self::GlobalAveragePool2d,
            Layer::Flatten => Self::Flatten,
            Layer::Residual { body, shortcut } => {
                let (body, shortcut) = (bind(body, tensors), bind(shortcut, tensors));
                Self::Residual { body, shortcut }
            }
        }
    }

    /// Output for an input; batch normalisation uses `statistics`.
    pub fn forward(&self, input: &Tensor, statistics: Statistics) -> Tensor {
        match self {
            &Self::Conv2d { weight, bias, stride, padding } => {
                let (stride, padding) = ([stride as i64; 2], [padding as i64; 2]);
                input.conv2d(weight, Some(bias), stride, padding, [1, 1], 1)
            }
            Self::BatchNorm2d { weight, bias, mean, variance } => {
                batch_norm(input, [weight, bias], [mean, variance], statistics)
            }
            &Self::Linear { weight, bias } => input.linear(weight, Some(bias)),
            Self::Relu => input.relu(),
            &Self::MaxPool2d { kernel, stride } => {
                input.max_pool2d([kernel as i64; 2], [stride as i64; 2], [0, 0], [1, 1], false)
            }
            Self::GlobalAveragePool2d => input.mean_dim([2_i64, 3].as_slice(), true, None::<Kind>),
            Self::Flatten => input.flatten(1, -1),
            Self::Residual { body, shortcut } => {
                run(body, input, statistics) + run(shortcut, input, statistics)
            }
        }
    }
}

impl Layer {
    /// Output for an input, with the parameters and buffers of the layer in the order of their shapes. Batch
    /// normalisation uses `statistics`; with those of the batch it updates the running ones in `buffers`.
    ///
    /// # Panics
    /// If there are fewer tensors than the layer has, or they have other shapes.
    pub fn forward(
        &self,
        parameters: &[Tensor],
        buffers: &[Tensor],
        input: &Tensor,
        statistics: Statistics,
    ) -> Tensor {
        BoundLayer::new(self, &mut Tensors::new(parameters, buffers)).forward(input, statistics)
    }
}
