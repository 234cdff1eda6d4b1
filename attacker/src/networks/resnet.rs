use super::Layer;

/// Smallest side of an image. At 4 pixels each channel has a single value after the last stage, and in a batch of one
/// image it has no variance.
pub(super) const SMALLEST_SIDE: usize = 5;

/// The residual network of He et al. (2016) for small images, with n blocks of two 3×3 convolutions in each of three
/// stages of 16, 32 and 64 channels. Where the shape changes, the shortcut is a 1×1 convolution with stride 2 and no
/// batch normalisation. All convolutions have a bias.
pub(super) fn layers(n: usize, channels: usize, classes: usize) -> Vec<Layer> {
    let mut layers = vec![conv3x3(channels, 16, 1), Layer::BatchNorm2d { channels: 16 }, Layer::Relu];
    let mut inputs = 16;
    for outputs in [16, 32, 64] {
        for _ in 0..n {
            layers.extend([block(inputs, outputs), Layer::Relu]);
            inputs = outputs;
        }
    }
    layers.extend([Layer::GlobalAveragePool2d, Layer::Flatten, Layer::Linear { inputs, outputs: classes }]);
    layers
}

fn block(inputs: usize, outputs: usize) -> Layer {
    let stride = if inputs == outputs { 1 } else { 2 };
    let shortcut = if inputs == outputs {
        Vec::new()
    } else {
        vec![Layer::Conv2d { inputs, outputs, kernel: 1, stride, padding: 0 }]
    };
    let norm = Layer::BatchNorm2d { channels: outputs };
    let body =
        vec![conv3x3(inputs, outputs, stride), norm.clone(), Layer::Relu, conv3x3(outputs, outputs, 1), norm];
    Layer::Residual { body, shortcut }
}

/// Convolution 3×3 with padding 1: at stride 1 it keeps the size of the image.
pub(super) fn conv3x3(inputs: usize, outputs: usize, stride: usize) -> Layer {
    Layer::Conv2d { inputs, outputs, kernel: 3, stride, padding: 1 }
}
