use super::{BLOCK_INPUT, IMAGE_INPUT, NOISE_INPUT, NoiseInput, Smoothing, graph::Parts};
use crate::{ElementType, attributes::ints};

/// Adds the nodes that compute the model's input from images and noise.
pub(super) fn add(parts: &mut Parts, smoothing: &Smoothing, element_type: ElementType) {
    let Smoothing { slots, samples, image: [channels, height, width], .. } = *smoothing;
    let noisy = noisy(parts, smoothing);
    let batch = slots * samples;
    let mut current = noisy;
    let transposed = smoothing.channels_last && channels > 1;
    if transposed || !smoothing.affine.is_empty() {
        current = parts.reshape(&current, &[batch, channels, height, width], "noisy_image");
    }
    if !smoothing.affine.is_empty() {
        // Two operators, so that the product is rounded before the sum, as on the processor.
        let (factors, summands): (Vec<f32>, Vec<f32>) = smoothing.affine.iter().copied().unzip();
        let factor = parts.floats("factor", &[channels, 1, 1], &factors);
        let summand = parts.floats("summand", &[channels, 1, 1], &summands);
        current = parts.call("Mul", &[&current, &factor], "scaled");
        current = parts.call("Add", &[&current, &summand], "shifted");
    }
    if transposed {
        let permutation = vec![ints("perm", &[0, 2, 3, 1])];
        current = parts.node("Transpose", &[&current], permutation, "mithridate_smoothing/channels_last");
    }
    if element_type != ElementType::Float {
        current = parts.cast(&current, element_type, "mithridate_smoothing/typed");
    }
    let shape: Vec<usize> = std::iter::once(batch).chain(smoothing.dims.iter().copied()).collect();
    let shape = parts.sizes("model_shape", &shape);
    parts.node("Reshape", &[&current, &shape], Vec::new(), &smoothing.input);
}

/// Adds the nodes that compute noisy images, S×B×V. Returns the name of the result.
fn noisy(parts: &mut Parts, smoothing: &Smoothing) -> String {
    let Smoothing { slots, samples, .. } = *smoothing;
    let values: usize = smoothing.image.iter().product();
    match smoothing.noise {
        NoiseInput::Noisy => parts.input(NOISE_INPUT, ElementType::Float, &[slots, samples, values]),
        NoiseInput::Bank { blocks } => {
            let bank = parts.input(NOISE_INPUT, ElementType::Float, &[blocks, samples, values]);
            let image = parts.input(IMAGE_INPUT, ElementType::Float, &[slots, 1, values]);
            let block = parts.input(BLOCK_INPUT, ElementType::Int32, &[slots]);
            let noise = parts.call("Gather", &[&bank, &block], "chosen_noise");
            parts.call("Add", &[&image, &noise], "noisy")
        }
    }
}
