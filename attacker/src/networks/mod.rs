//! Networks, each defined once as a list of layers that serves training and export alike.

mod architecture;
mod export;
mod layer;
mod weights;

pub use architecture::Architecture;
pub use layer::Layer;
pub use weights::{read_weights, write_weights};

use tch::{Device, Tensor};

use crate::{Error, parameters::Parameters, random::Random};

/// A network: its layers with their parameters.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    input_shape: [usize; 3],
    classes: usize,
    layers: Vec<Layer>,
    parameters: Parameters,
}

impl Network {
    /// A network with fresh weights, uniform within ±1/√(inputs of the unit), drawn from `random`.
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
        let tensors = layers
            .iter()
            .enumerate()
            .flat_map(|(position, layer)| layer.initial_parameters(random, position as u64))
            .map(|tensor| tensor.to_device(device))
            .collect();
        Ok(Self::from_parts(architecture, input_shape, classes, layers, Parameters::new(tensors)))
    }

    fn from_parts(
        architecture: Architecture,
        input_shape: [usize; 3],
        classes: usize,
        layers: Vec<Layer>,
        parameters: Parameters,
    ) -> Self {
        Self { architecture, input_shape, classes, layers, parameters: parameters.requires_grad() }
    }

    /// Which architecture it is.
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

    /// Parameters, weight before bias, in the order of the layers.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Parameters, to be changed in place.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// Logits N×K of images N×C×H×W.
    pub fn forward(&self, images: &Tensor) -> Tensor {
        forward(&self.layers, &self.parameters, images)
    }
}

/// Runs layers with parameters given apart from them.
fn forward(layers: &[Layer], parameters: &Parameters, images: &Tensor) -> Tensor {
    let mut rest = parameters.tensors();
    let mut value = images.shallow_clone();
    for layer in layers {
        let (own, after) = rest.split_at(layer.parameter_shapes().len());
        value = layer.forward(own, &value);
        rest = after;
    }
    value
}
