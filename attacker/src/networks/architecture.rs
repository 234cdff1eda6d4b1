use serde::{Deserialize, Serialize};

use super::{Initialization, Layer, resnet};
use crate::{Error, choice::choice};

/// Units in each hidden layer of the MLP.
const MLP_HIDDEN: [usize; 2] = [256, 256];

/// A network architecture by name.
///
/// A new network is a variant here with its name in `choice!` and a row in its table, `recipe`; its layers may have
/// a file of their own. Flags, files, weights and export then know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Convolutions 5×5 of 20 and 50 channels, each with ReLU and 2×2 max-pooling, then 500 hidden units: the
    /// network of the published MNIST results, 431,080 parameters on 28×28 images.
    LeNet,
    /// Two hidden layers of 256 units with ReLU.
    Mlp,
    /// One linear layer: multinomial logistic regression, for which the lower level is convex.
    Linear,
    /// Convolutions 3×3 of 64, 64, 128 and 128 channels with ReLU, 2×2 max-pooling after every second, then 256
    /// hidden units: a wider network, to test whether poison transfers.
    #[serde(rename = "wide-cnn")]
    WideCnn,
    /// Residual network with 20 layers: the network of the published CIFAR-10 results, 273,066 parameters on
    /// 3×32×32 images.
    ResNet20,
    /// Residual network with 32 layers, 467,946 parameters on 3×32×32 images.
    ResNet32,
    /// Residual network with 110 layers, 1,734,666 parameters on 3×32×32 images.
    ResNet110,
}

choice!(Architecture, "a network", {
    LeNet = "lenet",
    Mlp = "mlp",
    Linear = "linear",
    WideCnn = "wide-cnn",
    ResNet20 = "resnet20",
    ResNet32 = "resnet32",
    ResNet110 = "resnet110",
});

impl Architecture {
    /// Its layers for images of shape `input_shape`, C×H×W, and `classes` classes.
    ///
    /// # Errors
    /// [`Error::Network`] if the images are too small for it.
    pub fn layers(self, input_shape: [usize; 3], classes: usize) -> Result<Vec<Layer>, Error> {
        let [_, height, width] = input_shape;
        let Recipe { smallest_side: smallest, layers, .. } = self.recipe();
        if height.min(width) < smallest {
            let problem = format!("they must be at least {smallest} pixels high and wide");
            return Err(Error::Network { network: self.name(), shape: input_shape, problem });
        }
        Ok(layers(input_shape, classes))
    }

    /// Whether it has batch normalisation, so that training and evaluation differ.
    pub fn has_batch_norm(self) -> bool {
        self.recipe().has_batch_norm
    }

    /// How the first weights of its convolutions are drawn.
    pub(crate) fn initialization(self) -> Initialization {
        self.recipe().initialization
    }

    /// The table of networks.
    fn recipe(self) -> Recipe {
        let plain = Recipe {
            smallest_side: 1,
            initialization: Initialization::Uniform,
            has_batch_norm: false,
            layers: |shape, classes| mlp(shape.iter().product(), &[], classes),
        };
        let residual = Recipe {
            smallest_side: resnet::SMALLEST_SIDE,
            initialization: Initialization::HeNormal,
            has_batch_norm: true,
            ..plain
        };
        match self {
            Self::LeNet => Recipe { smallest_side: 16, layers: lenet, ..plain },
            Self::Mlp => {
                Recipe { layers: |shape, classes| mlp(shape.iter().product(), &MLP_HIDDEN, classes), ..plain }
            }
            Self::Linear => plain,
            Self::WideCnn => Recipe {
                smallest_side: 4,
                initialization: Initialization::HeNormal,
                layers: wide_cnn,
                ..plain
            },
            // n blocks in each of 3 stages have 2 convolutions each; with the first convolution and the linear layer: 6n + 2.
            Self::ResNet20 => {
                Recipe { layers: |[channels, ..], classes| resnet::layers(3, channels, classes), ..residual }
            }
            Self::ResNet32 => {
                Recipe { layers: |[channels, ..], classes| resnet::layers(5, channels, classes), ..residual }
            }
            Self::ResNet110 => {
                Recipe { layers: |[channels, ..], classes| resnet::layers(18, channels, classes), ..residual }
            }
        }
    }
}

/// A row of the table of networks.
#[derive(Clone, Copy)]
struct Recipe {
    /// Smallest height and width of an image, in pixels.
    smallest_side: usize,
    /// How the first weights of convolutions are drawn.
    initialization: Initialization,
    /// Whether there is batch normalisation among the layers.
    has_batch_norm: bool,
    /// The layers for images C×H×W and a number of classes.
    layers: fn([usize; 3], usize) -> Vec<Layer>,
}

const HALVE: Layer = Layer::MaxPool2d { kernel: 2, stride: 2 };

fn lenet([channels, height, width]: [usize; 3], classes: usize) -> Vec<Layer> {
    let conv = |inputs, outputs| Layer::Conv2d { inputs, outputs, kernel: 5, stride: 1, padding: 0 };
    // Twice: the 5×5 window takes 4 pixels, then pooling halves.
    let after = |side: usize| ((side - 4) / 2 - 4) / 2;
    let mut layers = vec![conv(channels, 20), Layer::Relu, HALVE, conv(20, 50), Layer::Relu, HALVE];
    layers.extend(mlp(50 * after(height) * after(width), &[500], classes));
    layers
}

fn wide_cnn([channels, height, width]: [usize; 3], classes: usize) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut inputs = channels;
    for outputs in [64, 128] {
        layers.extend([resnet::conv3x3(inputs, outputs, 1), Layer::Relu]);
        layers.extend([resnet::conv3x3(outputs, outputs, 1), Layer::Relu, HALVE]);
        inputs = outputs;
    }
    // Halved twice, rounded down.
    layers.extend(mlp(inputs * (height / 4) * (width / 4), &[256], classes));
    layers
}

/// A flatten layer, then fully connected layers with ReLU between them.
fn mlp(features: usize, hidden: &[usize], classes: usize) -> Vec<Layer> {
    let mut layers = vec![Layer::Flatten];
    let mut inputs = features;
    for &outputs in hidden {
        layers.extend([Layer::Linear { inputs, outputs }, Layer::Relu]);
        inputs = outputs;
    }
    layers.push(Layer::Linear { inputs, outputs: classes });
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(shapes: impl Iterator<Item = Vec<i64>>) -> i64 {
        shapes.map(|shape| shape.iter().product::<i64>()).sum()
    }

    fn count(architecture: Architecture, input_shape: [usize; 3]) -> i64 {
        let layers = architecture.layers(input_shape, 10).unwrap();
        elements(layers.iter().flat_map(Layer::parameter_shapes))
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let mnist = [1, 28, 28];
        assert_eq!(count(Architecture::LeNet, mnist), 431_080);
        assert_eq!(count(Architecture::Linear, mnist), 7_850);
        assert_eq!(count(Architecture::Mlp, mnist), 784 * 256 + 256 + 256 * 256 + 256 + 2570);
        let cifar = [3, 32, 32];
        assert_eq!(count(Architecture::ResNet20, cifar), 273_066);
        assert_eq!(count(Architecture::ResNet32, cifar), 467_946);
        assert_eq!(count(Architecture::ResNet110, cifar), 1_734_666);
        // A 3×3 convolution with bias, γ and β.
        let conv = |inputs, outputs| 9 * inputs * outputs + 3 * outputs;
        for (architecture, n) in
            [(Architecture::ResNet20, 3), (Architecture::ResNet32, 5), (Architecture::ResNet110, 18)]
        {
            for shape in [mnist, cifar] {
                let stages = 2 * n * conv(16, 16)
                    + (conv(16, 32) + 16 * 32 + 32 + (2 * n - 1) * conv(32, 32))
                    + (conv(32, 64) + 32 * 64 + 64 + (2 * n - 1) * conv(64, 64));
                let expected = conv(shape[0] as i64, 16) + stages + 650;
                assert_eq!(count(architecture, shape), expected, "{architecture}");
            }
        }
        let ends = 256 + 2570;
        assert_eq!(
            count(Architecture::WideCnn, cifar),
            (27 + 1) * 64 + (576 + 1) * 64 + (576 + 1) * 128 + (1152 + 1) * 128 + 128 * 64 * 256 + ends
        );
        assert_eq!(
            count(Architecture::WideCnn, mnist),
            (9 + 1) * 64 + (576 + 1) * 64 + (576 + 1) * 128 + (1152 + 1) * 128 + 128 * 49 * 256 + ends
        );
    }

    #[test]
    fn layers_are_as_many_as_the_name_says() {
        for (architecture, depth) in
            [(Architecture::ResNet20, 20), (Architecture::ResNet32, 32), (Architecture::ResNet110, 110)]
        {
            let layers = architecture.layers([3, 32, 32], 10).unwrap();
            // Projections don't count.
            let counted =
                |layer: &&Layer| matches!(layer, Layer::Linear { .. } | Layer::Conv2d { kernel: 3, .. });
            assert_eq!(layers.iter().flat_map(Layer::leaves).filter(counted).count(), depth);
        }
    }

    #[test]
    fn running_statistics_are_as_many_as_published() {
        let layers = Architecture::ResNet20.layers([3, 32, 32], 10).unwrap();
        assert_eq!(elements(layers.iter().flat_map(Layer::buffer_shapes)), 1_376);
        for &architecture in Architecture::ALL {
            let layers = architecture.layers([3, 32, 32], 10).unwrap();
            let buffers = layers.iter().flat_map(Layer::buffer_shapes).count();
            assert_eq!(architecture.has_batch_norm(), buffers > 0, "{architecture}");
        }
    }

    #[test]
    fn names_in_files_are_the_names_in_flags() {
        for &architecture in Architecture::ALL {
            assert_eq!(serde_json::to_value(architecture).unwrap(), architecture.name());
        }
    }

    #[test]
    fn images_that_would_shrink_to_nothing_are_refused() {
        for (architecture, side) in [
            (Architecture::LeNet, 16),
            (Architecture::WideCnn, 4),
            (Architecture::ResNet20, 5),
            (Architecture::ResNet32, 5),
            (Architecture::ResNet110, 5),
        ] {
            assert!(architecture.layers([1, side, side], 10).is_ok());
            let error = architecture.layers([1, side - 1, 28], 10).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "the network {architecture} can't take images of [1, {}, 28]: they must be at least {side} \
                     pixels high and wide",
                    side - 1
                )
            );
            assert!(architecture.layers([1, 28, side - 1], 10).is_err());
        }
    }
}
