//! Networks. Each is defined once, as a list of layers that both training and export use.
//!
//! [`Architecture`] is the table of networks; a [`Network`] is one of them with its parameters.

mod architecture;
mod batch_norm;
mod bound_layer;
mod calibration;
mod export;
mod initialization;
mod layer;
mod resnet;
mod weights;

pub use architecture::Architecture;
pub use batch_norm::Statistics;
pub use export::ExportOptions;
pub(crate) use initialization::Initialization;
pub use layer::Layer;
pub use weights::{StoredNetwork, read_weights, write_weights};

use tch::{Device, Kind, Tensor, no_grad};

use crate::{Error, parameters::Parameters, random::Random};
use bound_layer::{BoundLayer, Tensors, bind};

/// A network: its layers with their parameters, and the running statistics of its batch normalisation.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    input_shape: [usize; 3],
    classes: usize,
    layers: Vec<Layer>,
    parameters: Parameters,
    buffers: Parameters,
}

impl Network {
    /// A network with first weights drawn from `random`, and running statistics of mean 0 and variance 1.
    ///
    /// # Errors
    /// [`Error::Network`] if the architecture can't take images of this shape.
    pub fn new(
        architecture: Architecture,
        input_shape: [usize; 3],
        classes: usize,
        random: Random,
        device: Device,
    ) -> Result<Self, Error> {
        let layers = architecture.layers(input_shape, classes)?;
        let on_device = |tensors: Vec<Tensor>| {
            Parameters::new(tensors.into_iter().map(|tensor| tensor.to_device(device)).collect())
        };
        let parameters = on_device(architecture.initialization().parameters(&layers, random));
        let buffers = on_device(initialization::buffers(&layers));
        Ok(Self::from_parts(architecture, input_shape, classes, layers, parameters, buffers))
    }

    fn from_parts(
        architecture: Architecture,
        input_shape: [usize; 3],
        classes: usize,
        layers: Vec<Layer>,
        parameters: Parameters,
        buffers: Parameters,
    ) -> Self {
        let parameters = parameters.requires_grad();
        Self { architecture, input_shape, classes, layers, parameters, buffers }
    }

    /// Its architecture.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Shape of an input: channels, height, width.
    pub fn input_shape(&self) -> [usize; 3] {
        self.input_shape
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Parameters, weight before bias, in the order of the layers, depth first.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Parameters, to be changed in place.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// Running statistics, mean before variance, in the order of the layers; empty without batch normalisation. They
    /// have no gradient.
    pub fn buffers(&self) -> &Parameters {
        &self.buffers
    }

    /// Running statistics, to be changed in place.
    pub fn buffers_mut(&mut self) -> &mut Parameters {
        &mut self.buffers
    }

    /// Logits N×K of images N×C×H×W in evaluation: batch normalisation uses the running statistics, which are mean 0 and
    /// variance 1 in a fresh network (“frozen”).
    pub fn forward(&self, images: &Tensor) -> Tensor {
        self.forward_with(&self.parameters, images)
    }

    /// Logits in evaluation with other parameters of the same shapes; differentiable in them.
    ///
    /// # Panics
    /// If they have other shapes.
    pub fn forward_with(&self, parameters: &Parameters, images: &Tensor) -> Tensor {
        self.run(parameters, images, Statistics::Running)
    }

    /// Logits N×K of a batch N×C×H×W in training: batch normalisation uses the statistics of the batch, and the running
    /// statistics move a tenth of the way to them. Without batch normalisation the same as [`Network::forward`].
    pub fn forward_training(&self, images: &Tensor) -> Tensor {
        self.run(&self.parameters, images, Statistics::Batch)
    }

    /// All tensors that training changes, to save them: parameters, then running statistics.
    pub fn state(&self) -> impl Iterator<Item = &Tensor> {
        self.parameters.tensors().iter().chain(self.buffers.tensors())
    }

    /// Restores saved tensors, in the order of [`Network::state`].
    pub fn restore(&mut self, state: &[Tensor]) {
        let own = self.parameters.tensors_mut().iter_mut().chain(self.buffers.tensors_mut());
        no_grad(|| own.zip(state).for_each(|(own, saved)| own.copy_(saved)));
    }

    fn run(&self, parameters: &Parameters, images: &Tensor, statistics: Statistics) -> Tensor {
        bound_layer::run(&self.bound(parameters), images, statistics)
    }

    /// The layers with their tensors.
    fn bound<'a>(&'a self, parameters: &'a Parameters) -> Vec<BoundLayer<'a>> {
        bind(&self.layers, &mut Tensors::new(parameters.tensors(), self.buffers.tensors()))
    }

    /// A copy that shares no memory and no graph with the network.
    #[must_use]
    pub fn copy(&self) -> Self {
        self.map(Tensor::copy)
    }

    /// A copy with parameters and running statistics of another precision.
    #[must_use]
    pub fn to_kind(&self, kind: Kind) -> Self {
        self.map(|tensor| tensor.to_dtype(kind, false, true))
    }

    fn map(&self, change: impl Fn(&Tensor) -> Tensor) -> Self {
        let of = |tensors: &Parameters| {
            Parameters::new(tensors.tensors().iter().map(|tensor| change(&tensor.detach())).collect())
        };
        Self::from_parts(
            self.architecture,
            self.input_shape,
            self.classes,
            self.layers.clone(),
            of(&self.parameters),
            of(&self.buffers),
        )
    }
}
