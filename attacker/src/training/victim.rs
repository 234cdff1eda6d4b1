use serde::{Deserialize, Serialize};
use tch::{Reduction, Tensor};

use super::TrainingSettings;
use crate::{
    Error,
    data::Images,
    events::Work,
    networks::Network,
    optimiser::Optimiser,
    parameters::Graph,
    random::{Domain, Purpose, Random},
};

/// The training of a network from scratch. It can be saved after any step and resumed later; it then gives the same
/// weights, bit by bit.
///
/// # Example
/// ```
/// use mithridate_attacker::{
///     data::Images,
///     events::Work,
///     networks::Architecture,
///     random::{Domain, Purpose, Random},
///     training::{Training, TrainingSettings, accuracy_by_class},
/// };
/// use tch::{Device, Kind, Tensor};
///
/// // Two classes told apart by brightness.
/// let labels = Tensor::arange(200, (Kind::Int64, Device::Cpu)).remainder(2);
/// let noise = Random::new(Domain::Data, 1).normal(Purpose::Points, 0, &[200, 1, 4, 4], Device::Cpu) * 0.1;
/// let pixels = noise + labels.view([200, 1, 1, 1]) * 0.5 + 0.25;
/// let images = Images { pixels: pixels.to_kind(Kind::Float), labels };
///
/// let settings = TrainingSettings { network: Architecture::Linear, batch: 10, rate: 0.01, ..Default::default() };
/// let mut training = Training::new(&images, 2, settings, Domain::Victim, 1)?;
/// training.run(Work::ignored(), |_| Ok(()))?;
/// let right: u64 = accuracy_by_class(training.network(), &images).iter().map(|class| class.right).sum();
/// assert!(right > 190);
/// # Ok::<(), mithridate_attacker::Error>(())
/// ```
#[derive(Debug)]
pub struct Training<'a> {
    images: &'a Images,
    settings: TrainingSettings,
    random: Random,
    network: Network,
    optimiser: Optimiser,
    /// Steps made.
    done: u64,
    /// With `fixed_noise` the noise of all images, N×copies×C×H×W.
    noise: Option<Tensor>,
}

/// The counters of a training; its tensors are saved beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingPosition {
    /// Steps made.
    pub done: u64,
    optimiser_steps: u64,
}

/// The state of a training, to be saved and restored.
#[derive(Debug)]
pub struct TrainingState<'a> {
    /// Its counters.
    pub position: TrainingPosition,
    /// Its tensors, in the order in which [`Training::restore`] takes them.
    pub tensors: Vec<&'a Tensor>,
}

impl<'a> Training<'a> {
    /// Makes a fresh network. Weights, order of images, noise and crops depend on `domain` and `seed` only.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Network`].
    pub fn new(
        images: &'a Images,
        classes: usize,
        settings: TrainingSettings,
        domain: Domain,
        seed: u64,
    ) -> Result<Self, Error> {
        settings.check()?;
        let device = images.pixels.device();
        settings.augmentation().check(images.shape())?;
        let random = Random::new(domain, seed);
        let network = Network::new(settings.network, images.shape(), classes, random, device)?;
        let optimiser = Optimiser::new(network.parameters(), settings.optimiser());
        let noise = (settings.fixed_noise).then(|| {
            let mut shape = images.pixels.size();
            shape.insert(1, settings.defence().copies() as i64);
            random.normal(Purpose::TrainingNoise, u64::MAX, &shape, device)
        });
        Ok(Self { images, settings, random, network, optimiser, done: 0, noise })
    }

    /// The network now.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the network and drops the rest.
    pub fn into_network(self) -> Network {
        self.network
    }

    /// Number of steps in an epoch.
    fn batches(&self) -> u64 {
        self.images.len().div_ceil(self.settings.batch) as u64
    }

    /// Steps in total.
    pub fn steps(&self) -> u64 {
        (self.settings.epochs as u64).saturating_mul(self.batches())
    }

    /// Trains to the end, and tells `work` its progress. `after_step` is called after every step, to save the
    /// state when a checkpoint is due.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the loss of an epoch's last batch or the last weights are not finite; any error of
    /// `after_step`.
    pub fn run(
        &mut self,
        work: Work<'_>,
        mut after_step: impl FnMut(&Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let batches = self.batches();
        let total = self.steps();
        work.progress(self.done, total);
        let mut order = (u64::MAX, Vec::new());
        while self.done < total {
            let (epoch, batch) = (self.done / batches, self.done % batches);
            if order.0 != epoch {
                order = (epoch, self.random.permutation(Purpose::Order, epoch, self.images.len()));
            }
            let start = batch as usize * self.settings.batch;
            let numbers = &order.1[start..(start + self.settings.batch).min(order.1.len())];
            let loss = self.step(numbers, epoch as usize);
            self.done += 1;
            work.progress(self.done, total);
            if batch + 1 == batches {
                let loss = loss.double_value(&[]);
                if !loss.is_finite() {
                    return Err(Error::Diverged { epoch: epoch as usize + 1, loss });
                }
            }
            after_step(self)?;
        }
        // The last step changes the weights after the last loss was computed.
        if !self.network.parameters().is_finite() {
            return Err(Error::Diverged { epoch: self.settings.epochs, loss: f64::NAN });
        }
        Ok(())
    }

    /// Makes one step on the images with indices `numbers` in epoch `epoch`, from 0. Returns the loss before the step, a
    /// scalar on the device.
    pub fn step(&mut self, numbers: &[i64], epoch: usize) -> Tensor {
        let device = self.images.pixels.device();
        let numbers = Tensor::from_slice(numbers).to_device(device);
        let labels = self.images.labels.index_select(0, &numbers);
        let mut pixels = self.images.pixels.index_select(0, &numbers);
        let augmentation = self.settings.augmentation();
        if let Some(crops) = augmentation.draw(self.random, Purpose::Augmentation, self.done, &pixels) {
            pixels = crops.apply(&pixels);
        }
        let defence = self.settings.defence();
        let strength = self.settings.smoothadv.strength(epoch);
        let perturbation = defence.perturb(&self.network, &pixels, &labels, strength, |shape| {
            let kept = self.noise.as_ref().map(|noise| noise.index_select(0, &numbers).view(shape));
            kept.unwrap_or_else(|| self.random.normal(Purpose::TrainingNoise, self.done, shape, device))
        });
        let inputs = perturbation.apply(&pixels);
        let logits = if self.settings.frozen_bn {
            self.network.forward(&inputs)
        } else {
            self.network.forward_training(&inputs)
        };
        let loss = defence.loss(&perturbation.by_image(&logits), &labels, Reduction::Mean);
        let gradient = self.network.parameters().gradient_of(&loss, Graph::Free);
        let moment = self.done as f64 / self.batches() as f64;
        let TrainingSettings { schedule, epochs, schedule_every, schedule_factor, .. } = self.settings;
        let factor = schedule.factor(moment, epochs, schedule_every, schedule_factor);
        self.optimiser.step(self.network.parameters_mut(), &gradient, factor);
        loss.detach()
    }

    /// The state to save. A training that restores it continues with the same numbers, bit by bit.
    pub fn state(&self) -> TrainingState<'_> {
        TrainingState {
            position: TrainingPosition { done: self.done, optimiser_steps: self.optimiser.steps() },
            tensors: self.network.state().chain(self.optimiser.state()).collect(),
        }
    }

    /// Restores a state that was saved by a training with the same images, settings and seed.
    pub fn restore(&mut self, position: TrainingPosition, tensors: &[Tensor]) {
        let own = self.network.state().count().min(tensors.len());
        self.network.restore(&tensors[..own]);
        self.optimiser.restore(position.optimiser_steps, &tensors[own..]);
        self.done = position.done;
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{
        networks::Architecture,
        optimiser::OptimiserKind,
        training::{Method, Schedule, accuracy_by_class},
    };

    /// Two classes told apart by brightness.
    fn images(count: i64) -> Images {
        let labels: Vec<i64> = (0..count).map(|i| i % 2).collect();
        let labels = Tensor::from_slice(&labels);
        let random = Random::new(Domain::Data, 1);
        let noise = random.normal(Purpose::Points, 0, &[count, 1, 4, 4], Device::Cpu) * 0.1;
        let pixels = noise + labels.view([count, 1, 1, 1]).to_kind(tch::Kind::Float) * 0.5 + 0.25;
        Images { pixels, labels }
    }

    fn settings(method: Method) -> TrainingSettings {
        let mut settings = TrainingSettings {
            network: Architecture::Linear,
            method,
            sigma: 0.1,
            epochs: 20,
            batch: 30,
            rate: 0.01,
            ..TrainingSettings::default()
        };
        settings.smoothadv.radius = 0.3;
        settings.smoothadv.noises = 2;
        settings.macer.noises = 4;
        settings
    }

    fn trained(images: &Images, settings: TrainingSettings, seed: u64) -> Network {
        let mut training = Training::new(images, 2, settings, Domain::Victim, seed).unwrap();
        training.run(Work::ignored(), |_| Ok(())).unwrap();
        training.into_network()
    }

    #[test]
    fn what_can_be_learned_is_learned_by_every_method_and_repeats_to_the_bit() {
        let images = images(200);
        for &method in Method::ALL {
            let network = trained(&images, settings(method), 3);
            let right: u64 = accuracy_by_class(&network, &images).iter().map(|class| class.right).sum();
            assert!(right >= 195, "{method}: {right} of 200");
            let again = trained(&images, settings(method), 3);
            assert_eq!(network.forward(&images.pixels), again.forward(&images.pixels));
            let other = trained(&images, settings(method), 4);
            assert_ne!(network.forward(&images.pixels), other.forward(&images.pixels));
        }
    }

    #[test]
    fn a_training_taken_up_after_any_step_ends_the_same_to_the_bit() {
        let images = images(100);
        for (method, optimiser, fixed_noise) in [
            (Method::SmoothAdv, OptimiserKind::Adam, true),
            (Method::Macer, OptimiserKind::Sgd, false),
            (Method::Gaussian, OptimiserKind::Adam, true),
        ] {
            let settings = TrainingSettings {
                optimiser,
                fixed_noise,
                schedule: Schedule::Cosine,
                crop: 1,
                flip: true,
                epochs: 3,
                ..settings(method)
            };
            let mut saved = Vec::new();
            let mut training = Training::new(&images, 2, settings, Domain::Victim, 5).unwrap();
            training
                .run(Work::ignored(), |training| {
                    let TrainingState { position, tensors } = training.state();
                    saved.push((position, tensors.into_iter().map(Tensor::copy).collect::<Vec<_>>()));
                    Ok(())
                })
                .unwrap();
            let expected = training.network().forward(&images.pixels);
            for (position, tensors) in saved {
                let mut again = Training::new(&images, 2, settings, Domain::Victim, 5).unwrap();
                again.restore(position, &tensors);
                again.run(Work::ignored(), |_| Ok(())).unwrap();
                assert_eq!(again.network().forward(&images.pixels), expected, "{position:?}");
            }
        }
    }

    #[test]
    fn a_diverging_run_ends_with_a_sentence() {
        let settings = TrainingSettings { rate: 1e38, ..settings(Method::Erm) };
        let images = images(60);
        let mut training = Training::new(&images, 2, settings, Domain::Victim, 1).unwrap();
        let error = training.run(Work::ignored(), |_| Ok(())).unwrap_err();
        assert!(error.to_string().starts_with("training diverged in epoch"), "{error}");
        // Also by the very last step, whose loss nobody sees.
        let once = TrainingSettings { epochs: 1, batch: 60, ..settings };
        let mut training = Training::new(&images, 2, once, Domain::Victim, 1).unwrap();
        assert!(matches!(training.run(Work::ignored(), |_| Ok(())), Err(Error::Diverged { epoch: 1, .. })));
    }
}
