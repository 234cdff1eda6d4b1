use tch::{Device, Kind, Tensor};

use super::Layer;
use crate::random::{Purpose, Random};

/// How the first weights of convolutions are drawn. Fully connected layers always start uniform within ±1/√fan-in, and
/// batch normalisation with γ = 1 and β = 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialization {
    /// Uniform within ±1/√fan-in, biases too.
    Uniform,
    /// Normal with variance 2/fan-in (He et al., 2015), biases 0.
    HeNormal,
}

impl Initialization {
    /// First parameters of layers, depth first. Each tensor has its own random stream.
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

/// First running statistics of layers, depth first: mean 0, variance 1.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{networks::Architecture, random::Domain};

    fn start(architecture: Architecture) -> (Vec<Layer>, Vec<Tensor>) {
        let layers = architecture.layers([3, 32, 32], 10).unwrap();
        let tensors = architecture.initialization().parameters(&layers, Random::new(Domain::Data, 2));
        (layers, tensors)
    }

    #[test]
    fn he_normal_convolutions_have_the_variance_they_should() {
        for architecture in [Architecture::ResNet20, Architecture::WideCnn] {
            let (_, tensors) = start(architecture);
            let mut convolutions = 0;
            for pair in tensors.chunks_exact(2).filter(|pair| pair[0].dim() == 4) {
                let size = pair[0].size();
                let fan_in = (size[1] * size[2] * size[3]) as f64;
                let mean_square = pair[0].square().mean(Kind::Double).double_value(&[]);
                let found = mean_square * fan_in / 2.0;
                // The mean of n squared normal numbers has the standard deviation √(2/n).
                let deviation = (2.0 / pair[0].numel() as f64).sqrt();
                assert!((found - 1.0).abs() < 5.0 * deviation, "{architecture} {size:?}: {found}");
                assert_eq!(pair[1].abs().max().double_value(&[]), 0.0);
                convolutions += 1;
            }
            assert_eq!(convolutions, if architecture == Architecture::WideCnn { 4 } else { 21 });
        }
    }

    #[test]
    fn batch_norm_starts_as_the_identity() {
        let (layers, _) = start(Architecture::ResNet20);
        let norm = [Layer::BatchNorm2d { channels: 2 }];
        assert_eq!(
            Initialization::HeNormal.parameters(&norm, Random::new(Domain::Data, 2)),
            [ones(&[2]), zeros(&[2])]
        );
        assert_eq!(buffers(&norm), [zeros(&[2]), ones(&[2])]);
        assert_eq!(buffers(&layers).len(), 38);
    }

    /// Recorded runs depend on these weights.
    #[test]
    fn lenet_starts_uniform_from_the_stream_of_each_tensor() {
        let (_, tensors) = start(Architecture::LeNet);
        let stream = |key, shape: &[i64], bound| {
            Random::new(Domain::Data, 2).uniform(Purpose::Weights, key, shape, bound)
        };
        assert_eq!(tensors.len(), 8);
        assert_eq!(tensors[0], stream(0, &[20, 3, 5, 5], 1.0 / 75_f64.sqrt()));
        assert_eq!(tensors[1], stream(1, &[20], 1.0 / 75_f64.sqrt()));
        assert_eq!(tensors[2], stream(6, &[50, 20, 5, 5], 1.0 / 500_f64.sqrt()));
        assert_eq!(tensors[7], stream(19, &[10], 1.0 / 500_f64.sqrt()));
    }
}
