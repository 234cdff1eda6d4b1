use tch::{Device, Tensor};

use super::{PoisonOptimiser, random};
use crate::{
    Error,
    attack::{
        AttackData, AttackSettings, Objective,
        pool::{BatchIndices, IMAGES_A_PASS, NetworkPool, PoolLevel, PoolStep},
        stopwatch::{Part, Stopwatch},
        upper_level::Validation,
    },
    networks::Network,
    parameters::Parameters,
    random::{Domain, Purpose, Random},
};

/// The error for a convex lower level, which makes no training steps that could be measured.
pub(crate) fn solved_network(settings: &AttackSettings) -> Error {
    let expected = "one that is trained step by step (the lower level of linear is solved instead)";
    Error::setting("network", expected, &settings.network)
}

/// A measured hypergradient.
#[derive(Debug)]
pub(crate) struct MeasuredHypergradient {
    /// −(∂²L/∂u∂θ)ᵀ p of each image moved, M×C×H×W.
    pub gradient: Tensor,
    /// Solution of the linear system.
    pub p: Parameters,
    /// Gradient of the upper level.
    pub outer_gradient: Parameters,
    /// ‖A p − b‖ / ‖b‖ of the linear solve.
    pub relative_residual: f64,
    /// Iterations of the linear solve.
    pub iterations: usize,
    /// Images of the validation batch that the network got right.
    pub right: u64,
    /// Seconds of each part in order; empty if they were not measured.
    pub times: Vec<(Part, f64)>,
}

/// An attack whose hypergradient can be computed again and again from the same network, batch and noise.
#[derive(Debug)]
pub(crate) struct MeasuredAttack<'a> {
    poison: PoisonOptimiser<'a>,
    lower: PoolLevel<'a>,
    random: Random,
    batch: BatchIndices,
}

impl<'a> MeasuredAttack<'a> {
    /// An attack before its first step, its network warmed up.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range or a convex lower level; [`Error::Network`].
    pub fn new(data: AttackData<'a>, settings: &'a AttackSettings, seed: u64) -> Result<Self, Error> {
        if settings.is_convex() {
            return Err(solved_network(settings));
        }
        let poison = PoisonOptimiser::new(data, settings, 0)?;
        let random = random(seed, 0);
        let mut lower = PoolLevel::new(NetworkPool::new(settings, data, &poison.images, random)?);
        let networks = &mut lower.networks;
        let batch =
            if settings.same_batch { networks.batch_in_order(0) } else { networks.batch(&poison.images) };
        Ok(Self { poison, lower, random, batch })
    }

    /// Makes one training step on a fresh batch.
    pub fn train(&mut self) {
        self.lower.networks.train(0, 1, &self.poison.images, None);
    }

    /// The hypergradient on the batch of this attack; if `parts`, also the times of its parts.
    pub fn hypergradient(&mut self, parts: bool) -> MeasuredHypergradient {
        let device = self.device();
        self.lower.stopwatch = if parts { Stopwatch::on(device) } else { Stopwatch::off(device) };
        let at = PoolStep { step: self.poison.step, poison: &self.poison.images, network: 0 };
        let computed = self.lower.of_batch(at, &self.batch);
        let times = std::mem::replace(&mut self.lower.stopwatch, Stopwatch::off(device)).into_times();
        MeasuredHypergradient {
            gradient: computed.gradient,
            p: computed.p,
            outer_gradient: computed.outer.gradient,
            relative_residual: computed.relative_residual.double_value(&[]),
            iterations: computed.iterations.int64_value(&[]) as usize,
            right: computed.outer.right.int64_value(&[]) as u64,
            times,
        }
    }

    /// Makes a whole step of the attack.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn step(&mut self) -> Result<(), Error> {
        self.poison.step(&mut self.lower).map(|_| ())
    }

    /// Draws as much noise as one hypergradient needs, in tensors of the same shapes; the method `erm` needs none for
    /// training. Equal `key`s give equal noise.
    pub fn noise(&self, key: u64) -> Vec<Tensor> {
        let PoisonOptimiser { settings, data, .. } = &self.poison;
        let random = Random::new(Domain::Data, 0);
        let mut shape = data.validation.pixels.size();
        let copies = if settings.method.has_noise() { settings.defence().copies() as i64 } else { 0 };
        let moved = settings.moved_in_step(data.target.len()) as i64;
        let passes = if settings.same_batch { 0 } else { moved };
        let validation = match settings.objective {
            Objective::Radius => settings.validation_batch * settings.validation_noises,
            Objective::Accuracy => 0,
        };
        let whole = [validation as i64, settings.batch as i64 * copies].into_iter();
        let parts = (0..passes)
            .step_by(IMAGES_A_PASS as usize)
            .map(|start| IMAGES_A_PASS.min(passes - start) * copies);
        whole
            .chain(parts)
            .filter(|&count| count > 0)
            .zip(0..)
            .map(|(count, number)| {
                shape[0] = count;
                random.normal(Purpose::Points, (key << 16) | number, &shape, self.device())
            })
            .collect()
    }

    /// The network attacked.
    pub fn network(&self) -> &Network {
        self.lower.networks.network(0)
    }

    fn device(&self) -> Device {
        self.poison.images.device()
    }

    /// The images, labels and noise that the hypergradient on the batch of this attack depends on, by name. Inputs are
    /// images with their noise added.
    pub fn inputs(&self) -> Vec<(&'static str, Tensor)> {
        let PoisonOptimiser { data, settings, step, images, .. } = &self.poison;
        let at = PoolStep { step: *step, poison: images, network: 0 };
        let drawn = self.lower.networks.drawn(0, &self.batch, images);
        let validation = Validation::draw(data.validation, settings, self.random, *step);
        let numbers = self.lower.choose(*step);
        let (inputs, labels): (Vec<_>, Vec<_>) =
            self.lower.passes(at, &numbers).map(|pass| (pass.inputs(&pass.images), pass.labels)).unzip();
        let named = [
            ("batch.inputs", drawn.inputs(&drawn.images)),
            ("batch.labels", drawn.labels.shallow_clone()),
            ("validation.images", validation.images),
            ("validation.labels", validation.labels),
            ("poison.inputs", Tensor::cat(&inputs, 0)),
            ("poison.labels", Tensor::cat(&labels, 0)),
        ];
        let noise = validation.noise.map(|noise| ("validation.noise", noise));
        named.into_iter().chain(noise).collect()
    }
}
