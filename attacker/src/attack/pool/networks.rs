use tch::{Device, Reduction, Tensor};

use super::{BatchIndices, DrawnBatch, Streams};
use crate::{
    Error,
    attack::{
        AttackData, AttackSettings,
        state::{MemberPosition, PoolPosition},
    },
    bilevel::WarmStart,
    networks::Network,
    optimiser::{Optimiser, OptimiserSettings},
    parameters::{Graph, Parameters},
    random::{Purpose, Random},
};

/// Networks in training on clean and poisoned images, attacked in turn.
#[derive(Debug)]
pub(in crate::attack) struct NetworkPool<'a> {
    pub settings: &'a AttackSettings,
    pub data: AttackData<'a>,
    pub random: Random,
    members: Vec<Member>,
    /// Networks made so far; part of the key of their weights.
    made: u64,
    /// Batches drawn so far; part of the key of their images and noise.
    drawn: u64,
}

/// A network in training.
#[derive(Debug)]
struct Member {
    network: Network,
    optimiser: Optimiser,
    /// Images it was trained on; an image counts each time.
    seen: u64,
    /// The last solution of its linear system.
    solution: Option<WarmStart>,
}

impl<'a> NetworkPool<'a> {
    /// Makes the networks and trains the k-th for k times the warm-up, so that their ages differ. `poison` holds all poison
    /// images, N×C×H×W.
    ///
    /// # Errors
    /// [`Error::Network`] if the network can't take images of this shape.
    pub fn new(
        settings: &'a AttackSettings,
        data: AttackData<'a>,
        poison: &Tensor,
        random: Random,
    ) -> Result<Self, Error> {
        let mut pool = Self::untrained(settings, data, random)?;
        for position in 0..settings.networks {
            pool.train(position, settings.warm_up * (position + 1), poison, None);
        }
        Ok(pool)
    }

    /// Makes the networks without training them, to restore a saved state.
    ///
    /// # Errors
    /// [`Error::Network`] if the network can't take images of this shape.
    pub fn untrained(
        settings: &'a AttackSettings,
        data: AttackData<'a>,
        random: Random,
    ) -> Result<Self, Error> {
        let mut pool = Self { settings, data, random, members: Vec::new(), made: 0, drawn: 0 };
        for _ in 0..settings.networks {
            let fresh = pool.fresh()?;
            pool.members.push(fresh);
        }
        Ok(pool)
    }

    fn fresh(&mut self) -> Result<Member, Error> {
        let random = self.random.child(Purpose::Weights, self.made);
        self.made += 1;
        let shape = self.data.clean.shape();
        let network = Network::new(self.settings.network, shape, self.data.classes, random, self.device())?;
        let optimiser =
            Optimiser::new(network.parameters(), OptimiserSettings::adam(self.settings.inner_rate));
        Ok(Member { network, optimiser, seen: 0, solution: None })
    }

    /// Replaces a network, each in turn, by a fresh one if step `step` is a multiple of `every`, and warms it up; with
    /// `None` no network is ever replaced.
    pub fn renew(&mut self, step: usize, every: Option<usize>, poison: &Tensor) -> Result<(), Error> {
        if let Some(every) = every
            && step > 0
            && step.is_multiple_of(every)
        {
            let position = (step / every - 1) % self.members.len();
            self.members[position] = self.fresh()?;
            self.train(position, self.settings.warm_up, poison, None);
        }
        Ok(())
    }

    /// Position of the network that step `step` attacks.
    pub fn position(&self, step: usize) -> usize {
        step % self.members.len()
    }

    pub fn network(&self, position: usize) -> &Network {
        &self.members[position].network
    }

    /// Takes out the last solution of the linear system of the network at `position`.
    pub fn warm_start(&mut self, position: usize) -> Option<WarmStart> {
        self.members[position].solution.take()
    }

    /// Keeps a solution for the next solve of the network at `position`.
    pub fn keep(&mut self, position: usize, solution: WarmStart) {
        self.members[position].solution = Some(solution);
    }

    /// Trains the network at `position` for `steps` steps, all on `batch`, or each on a fresh batch if that is `None`.
    pub fn train(&mut self, position: usize, steps: usize, poison: &Tensor, batch: Option<&BatchIndices>) {
        for _ in 0..steps {
            let fresh;
            let batch = if let Some(batch) = batch {
                batch
            } else {
                fresh = self.batch(poison);
                &fresh
            };
            let key = self.drawn;
            self.drawn += 1;
            let drawn = self.draw(position, batch, poison, key);
            let member = &mut self.members[position];
            let inputs = drawn.inputs(&drawn.images);
            let logits = if self.settings.frozen_bn {
                member.network.forward(&inputs)
            } else {
                member.network.forward_training(&inputs)
            };
            let logits = drawn.perturbation.by_image(&logits);
            let loss = self.settings.defence().loss(&logits, &drawn.labels, Reduction::Mean);
            let gradient = member.network.parameters().gradient_of(&loss, Graph::Free);
            member.optimiser.step(member.network.parameters_mut(), &gradient, 1.0);
            member.seen += self.settings.batch as u64;
        }
    }

    /// Share of the adversary's radius in force for the network at `position`; it rises with the passes that the network has made over
    /// the training images.
    pub fn strength(&self, position: usize) -> f64 {
        let images = (self.data.clean.len() + self.data.target.len()).max(1) as u64;
        self.settings.smoothadv.strength((self.members[position].seen / images) as usize)
    }

    /// A batch of random images, with the share of poison images that `batch_share` says.
    pub fn batch(&mut self, poison: &Tensor) -> BatchIndices {
        let key = self.drawn;
        self.drawn += 1;
        let chosen = self.settings.poison_in_batch();
        let poison = self.random.indices(Purpose::PoisonBatch, key, poison.size()[0] as usize, chosen);
        self.batch_with(&poison, key)
    }

    /// The batch of step `step`, whose poison images are the next of a random order; each pass over the poison images
    /// has another order.
    pub fn batch_in_order(&mut self, step: usize) -> BatchIndices {
        let key = self.drawn;
        self.drawn += 1;
        let poisoned = self.data.target.len();
        let (pass, part) =
            (step / self.settings.steps_in_epoch(poisoned), step % self.settings.steps_in_epoch(poisoned));
        let order = self.random.permutation(Purpose::PoisonChoice, pass as u64, poisoned);
        let size = self.settings.moved_in_step(poisoned);
        self.batch_with(&order[part * size..(part * size + size).min(poisoned)], key)
    }

    fn batch_with(&self, poison: &[i64], key: u64) -> BatchIndices {
        let clean = self.settings.batch - self.settings.poison_in_batch();
        let clean = self.random.indices(Purpose::CleanBatch, key, self.data.clean.len(), clean);
        let on_device = |numbers: &[i64]| Tensor::from_slice(numbers).to_device(self.device());
        BatchIndices { clean: on_device(&clean), poison: on_device(poison), key }
    }

    /// The images of a batch with its crops and noise, for the network at `position`; poison images come last.
    pub fn drawn(&self, position: usize, batch: &BatchIndices, poison: &Tensor) -> DrawnBatch {
        self.draw(position, batch, poison, batch.key)
    }

    fn draw(&self, position: usize, batch: &BatchIndices, poison: &Tensor, key: u64) -> DrawnBatch {
        let AttackData { clean, target, .. } = self.data;
        let images = Tensor::cat(
            &[clean.pixels.index_select(0, &batch.clean), poison.index_select(0, &batch.poison)],
            0,
        );
        let labels = Tensor::cat(
            &[clean.labels.index_select(0, &batch.clean), target.labels.index_select(0, &batch.poison)],
            0,
        );
        let streams = Streams { key, noise: Purpose::TrainingNoise, augmentation: Purpose::Augmentation };
        self.prepare(position, images, labels, streams)
    }

    /// Images N×C×H×W with the crops and the noise that the training method draws for them. The network at `position` is
    /// the one that an adversary attacks.
    pub fn prepare(&self, position: usize, images: Tensor, labels: Tensor, streams: Streams) -> DrawnBatch {
        let Streams { key, noise, augmentation } = streams;
        let crops = self.settings.augmentation().draw(self.random, augmentation, key, &images);
        let cropped = crops.as_ref().map(|crops| crops.apply(&images));
        let perturbation = self.settings.defence().perturb(
            self.network(position),
            cropped.as_ref().unwrap_or(&images),
            &labels,
            self.strength(position),
            |shape| self.random.normal(noise, key, shape, self.device()),
        );
        DrawnBatch { images, labels, crops, perturbation }
    }

    fn device(&self) -> Device {
        self.data.clean.pixels.device()
    }

    /// The counters and the tensors to save.
    pub fn state(&self) -> (PoolPosition, Vec<&Tensor>) {
        let mut tensors = Vec::new();
        let mut members = Vec::new();
        for Member { network, optimiser, seen, solution } in &self.members {
            tensors.extend(network.state());
            tensors.extend(optimiser.state());
            if let Some(WarmStart { p, adam }) = solution {
                tensors.extend(p.tensors());
                tensors.extend(adam.iter().flat_map(Optimiser::state));
            }
            members.push(MemberPosition {
                optimiser_steps: optimiser.steps(),
                seen: *seen,
                solved: solution.is_some(),
                solution_steps: solution
                    .as_ref()
                    .and_then(|solution| solution.adam.as_ref().map(Optimiser::steps)),
            });
        }
        (PoolPosition { made: self.made, drawn: self.drawn, members }, tensors)
    }

    /// Restores a saved state.
    pub fn restore(&mut self, position: &PoolPosition, tensors: &mut impl Iterator<Item = Tensor>) {
        (self.made, self.drawn) = (position.made, position.drawn);
        for (member, saved) in self.members.iter_mut().zip(&position.members) {
            let mut take = |count: usize| -> Vec<Tensor> { tensors.by_ref().take(count).collect() };
            let own = take(member.network.state().count());
            member.network.restore(&own);
            let optimiser = take(member.optimiser.state().count());
            member.optimiser.restore(saved.optimiser_steps, &optimiser);
            member.seen = saved.seen;
            member.solution = saved.solved.then(|| {
                let p = Parameters::new(take(member.network.parameters().tensors().len()));
                let adam = saved.solution_steps.map(|steps| {
                    let mut adam = Optimiser::new(&p, OptimiserSettings::adam(self.settings.solver_rate));
                    let state = take(adam.state().count());
                    adam.restore(steps, &state);
                    adam
                });
                WarmStart { p, adam }
            });
        }
    }
}
