//! Residual networks against a second implementation: plain loops over numbers, written from the description of the
//! architecture. In double precision.

#![allow(clippy::unwrap_used)]

use mithridate_attacker::{
    networks::{Architecture, Network},
    random::{Domain, Purpose, Random},
};
use tch::{Device, Kind, Tensor};

/// One image: channels of rows of pixels.
type Image = Vec<Vec<Vec<f64>>>;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let mut values = vec![0.0; tensor.numel()];
    tensor.detach().contiguous().copy_data(&mut values, tensor.numel());
    values
}

/// Tensors of a network in the order in which its layers take them.
struct Tensors(std::vec::IntoIter<Vec<f64>>);

impl Tensors {
    fn of(tensors: &[Tensor]) -> Self {
        Self(tensors.iter().map(numbers).collect::<Vec<_>>().into_iter())
    }

    fn next(&mut self) -> Vec<f64> {
        self.0.next().unwrap()
    }
}

fn convolution(input: &Image, parameters: &mut Tensors, kernel: usize, stride: usize) -> Image {
    let (weight, bias) = (parameters.next(), parameters.next());
    let (channels, height, width) = (input.len(), input[0].len(), input[0][0].len());
    let padding = kernel / 2;
    let at = |c: usize, y: usize, x: usize| {
        let inside = y >= padding && x >= padding && y < height + padding && x < width + padding;
        if inside { input[c][y - padding][x - padding] } else { 0.0 }
    };
    let pixel = |k: usize, row: usize, column: usize| {
        let mut sum = bias[k];
        for c in 0..channels {
            for i in 0..kernel {
                for j in 0..kernel {
                    let weight = weight[((k * channels + c) * kernel + i) * kernel + j];
                    sum += weight * at(c, row * stride + i, column * stride + j);
                }
            }
        }
        sum
    };
    let (rows, columns) = (height.div_ceil(stride), width.div_ceil(stride));
    (0..bias.len())
        .map(|k| (0..rows).map(|row| (0..columns).map(|column| pixel(k, row, column)).collect()).collect())
        .collect()
}

fn each(image: &Image, change: impl Fn(usize, f64) -> f64) -> Image {
    let rows = |(c, rows): (usize, &Vec<Vec<f64>>)| {
        rows.iter().map(|row| row.iter().map(|&value| change(c, value)).collect()).collect()
    };
    image.iter().enumerate().map(rows).collect()
}

fn normalised(input: &Image, parameters: &mut Tensors, buffers: &mut Tensors) -> Image {
    let (gamma, beta) = (parameters.next(), parameters.next());
    let (mean, variance) = (buffers.next(), buffers.next());
    each(input, |c, value| gamma[c] * (value - mean[c]) / (variance[c] + 1e-5).sqrt() + beta[c])
}

fn relu(input: &Image) -> Image {
    each(input, |_, value| value.max(0.0))
}

fn block(input: &Image, parameters: &mut Tensors, buffers: &mut Tensors, stride: usize) -> Image {
    let first = convolution(input, parameters, 3, stride);
    let first = relu(&normalised(&first, parameters, buffers));
    let second = convolution(&first, parameters, 3, 1);
    let second = normalised(&second, parameters, buffers);
    let beside = if stride == 1 { input.clone() } else { convolution(input, parameters, 1, stride) };
    let mut sum = second;
    for (sum, beside) in sum.iter_mut().flatten().flatten().zip(beside.iter().flatten().flatten()) {
        *sum += beside;
    }
    relu(&sum)
}

/// Logits of the network with 6n + 2 layers for one image.
fn logits(image: &Image, network: &Network, n: usize) -> Vec<f64> {
    let mut parameters = Tensors::of(network.parameters().tensors());
    let mut buffers = Tensors::of(network.buffers().tensors());
    let stem = convolution(image, &mut parameters, 3, 1);
    let mut value = relu(&normalised(&stem, &mut parameters, &mut buffers));
    for stage in 0..3 {
        for number in 0..n {
            let stride = if stage > 0 && number == 0 { 2 } else { 1 };
            value = block(&value, &mut parameters, &mut buffers, stride);
        }
    }
    let means: Vec<f64> = value
        .iter()
        .map(|rows| rows.iter().flatten().sum::<f64>() / (rows.len() * rows[0].len()) as f64)
        .collect();
    let (weight, bias) = (parameters.next(), parameters.next());
    assert!(parameters.0.next().is_none() && buffers.0.next().is_none(), "every tensor has its place");
    let unit = |(weights, bias): (&[f64], &f64)| {
        bias + weights.iter().zip(&means).map(|(weight, mean)| weight * mean).sum::<f64>()
    };
    weight.chunks(means.len()).zip(&bias).map(unit).collect()
}

#[test]
fn logits_are_those_of_the_network_written_out() {
    let (channels, height, width) = (3, 7, 9);
    for (architecture, n) in [(Architecture::ResNet20, 3), (Architecture::ResNet32, 5)] {
        let random = Random::new(Domain::Data, 9);
        let network = Network::new(architecture, [channels, height, width], 4, random, Device::Cpu).unwrap();
        let mut network = network.to_kind(Kind::Double);
        let normal = |shape: &[i64], key: u64| {
            random.normal(Purpose::TrainingNoise, key, shape, Device::Cpu).to_kind(Kind::Double)
        };
        // Everything that starts at 0 or 1 gets values of its own, running statistics too.
        let mut key = 0;
        for tensor in network.parameters_mut().tensors_mut().iter_mut().filter(|tensor| tensor.dim() == 1) {
            key += 1;
            let step = normal(&tensor.size(), key) * 0.3;
            let _ = tch::no_grad(|| tensor.g_add_(&step));
        }
        for pair in network.buffers_mut().tensors_mut().chunks_exact_mut(2) {
            key += 2;
            pair[0].copy_(&normal(&pair[0].size(), key));
            pair[1].copy_(&(normal(&pair[1].size(), key + 1).square() + 0.5));
        }
        let images = normal(&[2, channels as i64, height as i64, width as i64], 0);
        let found = network.forward(&images);
        for number in 0..2 {
            let pixels = numbers(&images.get(number));
            let image: Image = pixels
                .chunks(height * width)
                .map(|rows| rows.chunks(width).map(<[f64]>::to_vec).collect())
                .collect();
            let expected = logits(&image, &network, n);
            let size = expected.iter().fold(0.0_f64, |size, logit| size.max(logit.abs()));
            assert_eq!(expected.len(), 4);
            for (class, logit) in expected.iter().enumerate() {
                let found = found.double_value(&[number, class as i64]);
                assert!((found - logit).abs() < 1e-11 * size, "{architecture}: {found} {logit}");
            }
        }
    }
}
