use serde::{Deserialize, Serialize};

use super::Layer;
use crate::{Error, choice::choice};

/// Units in each hidden layer of the MLP.
const MLP_HIDDEN: [usize; 2] = [256, 256];

/// A network architecture by name.
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
}

choice!(Architecture, "a network", {
    LeNet = "lenet",
    Mlp = "mlp",
    Linear = "linear",
});

impl Architecture {
    /// Its layers for images C×H×W and so many classes.
    ///
    /// # Errors
    /// [`Error::Network`] if the images are too small for it.
    pub fn layers(self, input_shape: [usize; 3], classes: usize) -> Result<Vec<Layer>, Error> {
        let [channels, height, width] = input_shape;
        let pixels = channels * height * width;
        match self {
            Self::Linear => Ok(vec![Layer::Flatten, Layer::Linear { inputs: pixels, outputs: classes }]),
            Self::Mlp => {
                let mut layers = vec![Layer::Flatten];
                let mut inputs = pixels;
                for outputs in MLP_HIDDEN {
                    layers.extend([Layer::Linear { inputs, outputs }, Layer::Relu]);
                    inputs = outputs;
                }
                layers.push(Layer::Linear { inputs, outputs: classes });
                Ok(layers)
            }
            Self::LeNet => {
                // Two times: 4 pixels lost to the window, then halved.
                let after = |side: usize| (side.checked_sub(4)? / 2).checked_sub(4).map(|side| side / 2);
                let (Some(h), Some(w)) = (after(height).filter(|&h| h > 0), after(width).filter(|&w| w > 0))
                else {
                    let problem = "they must be at least 16 pixels high and wide".into();
                    return Err(Error::Network { network: self.name(), shape: input_shape, problem });
                };
                let pool = Layer::MaxPool2d { kernel: 2, stride: 2 };
                let conv =
                    |inputs, outputs| Layer::Conv2d { inputs, outputs, kernel: 5, stride: 1, padding: 0 };
                Ok(vec![
                    conv(channels, 20),
                    Layer::Relu,
                    pool.clone(),
                    conv(20, 50),
                    Layer::Relu,
                    pool,
                    Layer::Flatten,
                    Layer::Linear { inputs: 50 * h * w, outputs: 500 },
                    Layer::Relu,
                    Layer::Linear { inputs: 500, outputs: classes },
                ])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(architecture: Architecture) -> usize {
        let layers = architecture.layers([1, 28, 28], 10).unwrap();
        layers
            .iter()
            .flat_map(Layer::parameter_shapes)
            .map(|shape| shape.iter().product::<i64>() as usize)
            .sum()
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        assert_eq!(count(Architecture::LeNet), 431_080);
        assert_eq!(count(Architecture::Linear), 7_850);
        assert_eq!(count(Architecture::Mlp), 784 * 256 + 256 + 256 * 256 + 256 + 2570);
    }

    #[test]
    fn lenet_refuses_images_it_would_shrink_to_nothing() {
        assert!(Architecture::LeNet.layers([1, 16, 16], 10).is_ok());
        let error = Architecture::LeNet.layers([1, 15, 28], 10).unwrap_err();
        assert!(error.to_string().contains("at least 16 pixels"), "{error}");
    }
}
