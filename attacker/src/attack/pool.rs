use tch::{Device, Reduction, Tensor};

use super::AttackSettings;
use crate::{
    Error,
    data::Images,
    networks::Network,
    random::{Purpose, Random},
    training::{Adam, cross_entropy, image_shape},
};

/// The lower level: networks in training on clean and poisoned images, attacked in turn.
pub(super) struct Pool<'a> {
    settings: &'a AttackSettings,
    clean: &'a Images,
    classes: usize,
    random: Random,
    members: Vec<(Network, Adam)>,
    /// Networks made so far; part of the key of their weights.
    made: u64,
    /// Training batches drawn so far; part of the key of their images and noise.
    drawn: u64,
}

impl<'a> Pool<'a> {
    /// Makes the networks and trains the k-th for k times the warm-up, so that their ages differ.
    pub fn new(
        settings: &'a AttackSettings,
        clean: &'a Images,
        poison: &Tensor,
        classes: usize,
        random: Random,
    ) -> Result<Self, Error> {
        let mut pool = Self { settings, clean, classes, random, members: Vec::new(), made: 0, drawn: 0 };
        for position in 0..settings.networks {
            let fresh = pool.fresh()?;
            pool.members.push(fresh);
            pool.train(position, settings.warm_up * (position + 1), poison);
        }
        Ok(pool)
    }

    fn fresh(&mut self) -> Result<(Network, Adam), Error> {
        // Weights of network i come from a seed of their own, drawn from the attack's.
        let seed = self
            .random
            .coins(Purpose::Weights, self.made, 64)
            .iter()
            .fold(0, |seed, &bit| seed << 1 | u64::from(bit));
        self.made += 1;
        let shape = image_shape(&self.clean.pixels);
        let device = self.clean.pixels.device();
        let network = Network::new(self.settings.network, shape, self.classes, Random::new(seed), device)?;
        let adam = Adam::new(network.parameters(), self.settings.inner_rate);
        Ok((network, adam))
    }

    /// Replaces a network by a fresh one if it is time.
    pub fn renew(&mut self, step: usize, poison: &Tensor) -> Result<(), Error> {
        if let Some(every) = self.settings.renew_every
            && step > 0
            && step.is_multiple_of(every)
        {
            let position = (step / every - 1) % self.members.len();
            self.members[position] = self.fresh()?;
            self.train(position, self.settings.warm_up, poison);
        }
        Ok(())
    }

    /// The network attacked in a step.
    pub fn position(&self, step: usize) -> usize {
        step % self.members.len()
    }

    pub fn network(&self, position: usize) -> &Network {
        &self.members[position].0
    }

    /// Trains a network for some steps.
    pub fn train(&mut self, position: usize, steps: usize, poison: &Tensor) {
        for _ in 0..steps {
            let (logits, labels) = self.batch_logits(position, poison);
            let loss = cross_entropy(&logits, &labels, Reduction::Mean);
            let (network, adam) = &mut self.members[position];
            let gradient = network.parameters().gradient_of(&loss, false, false);
            adam.step(network.parameters_mut(), &gradient);
        }
    }

    /// Logits of a fresh batch, with their graph, and its labels: what the curvature of a step is of.
    pub fn batch_logits(&mut self, position: usize, poison: &Tensor) -> (Tensor, Tensor) {
        let (images, labels, key) = self.draw(poison);
        (self.logits(position, &images, key), labels)
    }

    fn logits(&self, position: usize, images: &Tensor, key: u64) -> Tensor {
        let noise = |shape: &[i64]| self.random.normal(Purpose::TrainingNoise, key, shape, self.device());
        self.settings.method.logits(self.network(position), images, self.settings.sigma, noise)
    }

    /// A batch of clean and poison images in the share that the settings ask for.
    fn draw(&mut self, poison: &Tensor) -> (Tensor, Tensor, u64) {
        let key = self.drawn;
        self.drawn += 1;
        let poisoned = self.settings.poison_in_batch();
        let choose = |purpose, count: usize, chosen| {
            Tensor::from_slice(&self.random.indices(purpose, key, count, chosen)).to_device(self.device())
        };
        let from_clean = choose(Purpose::CleanBatch, self.clean.len(), self.settings.batch - poisoned);
        let from_poison = choose(Purpose::PoisonBatch, poison.size()[0] as usize, poisoned);
        let target = Tensor::full(
            [poisoned as i64],
            self.settings.target_class as i64,
            (tch::Kind::Int64, self.device()),
        );
        let images = Tensor::cat(
            &[self.clean.pixels.index_select(0, &from_clean), poison.index_select(0, &from_poison)],
            0,
        );
        let labels = Tensor::cat(&[self.clean.labels.index_select(0, &from_clean), target], 0);
        (images, labels, key)
    }

    fn device(&self) -> Device {
        self.clean.pixels.device()
    }
}
