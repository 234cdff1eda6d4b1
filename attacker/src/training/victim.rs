use mithridate_runtime::terminal::Progress;
use serde::{Deserialize, Serialize};
use tch::{Device, Reduction, Tensor, no_grad};

use super::{Adam, Method, cross_entropy};
use crate::{
    Error,
    data::Images,
    networks::{Architecture, Network},
    random::{Purpose, Random},
};

/// How a victim is trained from scratch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VictimSettings {
    /// Network architecture.
    pub network: Architecture,
    /// Training method.
    pub method: Method,
    /// Standard deviation of the noise; not used by `erm`.
    pub sigma: f64,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in a batch.
    pub batch: usize,
    /// Learning rate of Adam.
    pub rate: f64,
}

impl VictimSettings {
    /// Refuses settings that can't be trained with.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        positive("sigma", self.sigma)?;
        positive("rate", self.rate)?;
        at_least_one("epochs", self.epochs)?;
        at_least_one("batch", self.batch)
    }
}

pub(crate) fn positive(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::setting(name, "a positive finite number", &value))
}

pub(crate) fn at_least_one(name: &'static str, value: usize) -> Result<(), Error> {
    if value >= 1 { Ok(()) } else { Err(Error::setting(name, "at least 1", &value)) }
}

/// Trains a network from scratch with Adam; order of images and noise come from the seed.
///
/// # Errors
/// [`Error::Setting`], [`Error::Network`], or [`Error::Diverged`] if the loss is no longer finite.
pub fn train(
    images: &Images,
    classes: usize,
    settings: &VictimSettings,
    seed: u64,
    title: &str,
) -> Result<Network, Error> {
    settings.check()?;
    let device = images.pixels.device();
    let random = Random::new(seed);
    let mut network = Network::new(settings.network, image_shape(&images.pixels), classes, random, device)?;
    let mut adam = Adam::new(network.parameters(), settings.rate);
    let batches = images.len().div_ceil(settings.batch);
    let mut progress = Progress::new(title, (settings.epochs * batches) as u64, "steps");
    for epoch in 0..settings.epochs {
        let order = random.permutation(Purpose::Order, epoch as u64, images.len());
        for (batch, numbers) in order.chunks(settings.batch).enumerate() {
            let numbers = Tensor::from_slice(numbers).to_device(device);
            let (pixels, labels) =
                (images.pixels.index_select(0, &numbers), images.labels.index_select(0, &numbers));
            let step = (epoch * batches + batch) as u64;
            let logits = settings.method.training_logits(&network, &pixels, settings.sigma, |shape| {
                random.normal(Purpose::TrainingNoise, step, shape, device)
            });
            let loss = cross_entropy(&logits, &labels, Reduction::Mean);
            let gradient = network.parameters().gradient_of(&loss, false, false);
            adam.step(network.parameters_mut(), &gradient);
            progress.advance(1);
            if batch + 1 == batches {
                let loss = loss.double_value(&[]);
                if !loss.is_finite() {
                    return Err(Error::Diverged { epoch: epoch + 1, loss });
                }
            }
        }
    }
    progress.finish();
    Ok(network)
}

pub(crate) fn image_shape(pixels: &Tensor) -> [usize; 3] {
    let size = pixels.size();
    [size[1] as usize, size[2] as usize, size[3] as usize]
}

/// For each class, how many of its images the network gets right without noise, and how many there are.
pub fn accuracy_by_class(network: &Network, images: &Images) -> Vec<(u64, u64)> {
    let mut counts = vec![(0, 0); network.classes()];
    no_grad(|| {
        for start in (0..images.len() as i64).step_by(1000) {
            let length = (images.len() as i64 - start).min(1000);
            let answers = network.forward(&images.pixels.narrow(0, start, length)).argmax(-1, false);
            let labels = images.labels.narrow(0, start, length);
            let host = |tensor: &Tensor| -> Vec<i64> {
                let mut values = vec![0; length as usize];
                tensor.to_device(Device::Cpu).copy_data(&mut values, length as usize);
                values
            };
            for (answer, label) in host(&answers).into_iter().zip(host(&labels)) {
                let count = &mut counts[label as usize];
                count.0 += u64::from(answer == label);
                count.1 += 1;
            }
        }
    });
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes told apart by brightness.
    fn images(count: i64) -> Images {
        let labels: Vec<i64> = (0..count).map(|i| i % 2).collect();
        let labels = Tensor::from_slice(&labels);
        let noise = Random::new(1).normal(Purpose::TrainingNoise, 99, &[count, 1, 4, 4], Device::Cpu) * 0.1;
        let pixels = noise + labels.view([count, 1, 1, 1]).to_kind(tch::Kind::Float) * 0.5 + 0.25;
        Images { pixels, labels }
    }

    fn settings(method: Method) -> VictimSettings {
        VictimSettings {
            network: Architecture::Linear,
            method,
            sigma: 0.1,
            epochs: 20,
            batch: 30,
            rate: 0.01,
        }
    }

    #[test]
    fn what_can_be_learned_is_learned_and_repeats_to_the_bit() {
        let images = images(200);
        for &method in Method::ALL {
            let network = train(&images, 2, &settings(method), 3, "test").unwrap();
            let right: u64 = accuracy_by_class(&network, &images).iter().map(|count| count.0).sum();
            assert!(right >= 195, "{method}: {right} of 200");
            let again = train(&images, 2, &settings(method), 3, "test").unwrap();
            assert_eq!(network.forward(&images.pixels), again.forward(&images.pixels));
            let other = train(&images, 2, &settings(method), 4, "test").unwrap();
            assert_ne!(network.forward(&images.pixels), other.forward(&images.pixels));
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let bad = |change: fn(&mut VictimSettings)| {
            let mut settings = settings(Method::Gaussian);
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert_eq!(bad(|s| s.sigma = -1.0), "sigma must be a positive finite number and is -1");
        assert_eq!(bad(|s| s.batch = 0), "batch must be at least 1 and is 0");
        assert_eq!(bad(|s| s.epochs = 0), "epochs must be at least 1 and is 0");
    }

    #[test]
    fn a_diverging_run_ends_with_a_sentence() {
        let mut settings = settings(Method::Erm);
        settings.rate = 1e38;
        let error = train(&images(60), 2, &settings, 1, "test").unwrap_err();
        assert!(error.to_string().starts_with("training diverged in epoch"), "{error}");
    }
}
