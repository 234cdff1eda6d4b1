use tch::{Device, Kind, Tensor};

use super::Layer;
use crate::random::{Purpose, Random};

/// How the first weights of convolutions are drawn. Fully connected layers start uniform within ±1/√fan-in in any
/// case, batch normalisation with γ = 1 and β = 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialization {
    /// Uniform within ±1/√fan-in, biases too.
    Uniform,
    /// Normal with variance 2/fan-in (He et al., 2015), biases 0.
    HeNormal,
}

impl Initialization {
    /// Fresh parameters of layers, depth first. Each layer has random streams of its own.
    pub fn parameters(self, layers: &[Layer], random: Random) -> Vec<Tensor> {
        let leaves = layers.iter().flat_map(Layer::leaves);
        leaves.zip(0..).flat_map(|(layer, position)| self.of_layer(layer, position, random)).collect()
    }

    fn of_layer(self, layer: &Layer, position: u64, random: Random) -> Vec<Tensor> {
        let shapes = layer.parameter_shapes();
        let [weight, bias] = shapes.as_slice() else { return Vec::new() };
        let fan_in = weight[1..].iter().product::<i64>() as f64;
        match (layer, self) {
            (Layer::BatchNorm2d { .. }, _) => vec![ones(weight), zeros(bias)],
            (Layer::Conv2d { .. }, Self::HeNormal) => {
                let normal = random.normal(Purpose::Weights, 2 * position, weight, Device::Cpu);
                vec![normal * (2.0 / fan_in).sqrt(), zeros(bias)]
            }
            _ => [weight, bias]
                .into_iter()
                .zip(2 * position..)
                .map(|(shape, stream)| random.uniform(Purpose::Weights, stream, shape, 1.0 / fan_in.sqrt()))
                .collect(),
        }
    }
}

/// Fresh running statistics of layers, depth first: mean 0, variance 1.
pub(super) fn buffers(layers: &[Layer]) -> Vec<Tensor> {
    let fresh = |pair: &[Vec<i64>]| [zeros(&pair[0]), ones(&pair[1])];
    let shapes: Vec<Vec<i64>> = layers.iter().flat_map(Layer::buffer_shapes).collect();
    shapes.chunks_exact(2).flat_map(fresh).collect()
}

fn zeros(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, Device::Cpu))
}

fn ones(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, (Kind::Float, Device::Cpu))
}
