use tch::{Device, Tensor};

use super::{Attack, IMAGES_A_PASS, Lower, Validation};
use crate::{
    Error,
    attack::{
        Objective,
        clock::{Clock, Part},
        pool::Batch,
    },
    networks::Network,
    parameters::Parameters,
    random::{Domain, Purpose, Random},
    training::Method,
};

/// What measurements find in a hypergradient beside its times.
#[derive(Debug)]
pub(crate) struct Found {
    /// −(∂²L/∂u∂θ)ᵀ p of the images moved.
    pub gradient: Tensor,
    pub p: Parameters,
    pub outer_gradient: Parameters,
    pub relative_residual: f64,
    pub iterations: usize,
    pub right: u64,
}

/// An attack whose hypergradient can be computed again and again from the same network, batch and noise.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    attack: Attack<'a>,
    batch: Batch,
}

impl<'a> Bench<'a> {
    /// Of an attack that has just been made: the network stands where its warm-up left it.
    ///
    /// # Errors
    /// [`Error::Setting`] if the lower level is not one that is trained in steps.
    pub fn new(mut attack: Attack<'a>) -> Result<Self, Error> {
        let step = attack.step;
        let same_batch = attack.settings.same_batch;
        let poison = &attack.poison;
        let Lower::Pool(pool) = &mut attack.lower else {
            let expected = "one that is trained in steps, such as lenet or mlp,";
            return Err(Error::setting("network", expected, &attack.settings.network));
        };
        let batch = if same_batch { pool.batch_in_order(step) } else { pool.batch(poison) };
        Ok(Self { attack, batch })
    }

    /// One training step on a fresh batch, without the batch that is kept.
    pub fn train(&mut self) {
        if let Lower::Pool(pool) = &mut self.attack.lower {
            pool.train(0, 1, &self.attack.poison, None);
        }
    }

    /// The hypergradient of the batch that is kept, with the times of its parts if asked for.
    pub fn hypergradient(&mut self, parts: bool) -> (Found, Vec<(Part, f64)>) {
        let device = self.device();
        self.attack.clock = if parts { Clock::on(device) } else { Clock::off(device) };
        let (gradient, _, computed) = self.attack.hypergradient(0, &self.batch);
        let times = std::mem::replace(&mut self.attack.clock, Clock::off(device)).into_times();
        let found = Found {
            gradient,
            p: computed.p,
            outer_gradient: computed.outer.gradient,
            relative_residual: computed.relative_residual.double_value(&[]),
            iterations: computed.iterations.int64_value(&[]) as usize,
            right: computed.outer.right.int64_value(&[]) as u64,
        };
        (found, times)
    }

    /// A whole step of the attack.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn step(&mut self) -> Result<(), Error> {
        self.attack.step().map(|_| ())
    }

    /// As much noise as one hypergradient takes, drawn the way it is drawn there. Plain training takes none.
    pub fn noise(&self, key: u64) -> Vec<Tensor> {
        let settings = self.attack.settings;
        let random = Random::new(Domain::Data, 0);
        let mut shape = self.attack.data.validation.pixels.size();
        let copies = match settings.method {
            Method::Erm => 0,
            _ => settings.defence().copies() as i64,
        };
        let moved = settings.moved_in_step(self.attack.data.target.len()) as i64;
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

    pub fn network(&self) -> Option<&Network> {
        match &self.attack.lower {
            Lower::Pool(pool) => Some(pool.network(0)),
            Lower::Convex(_) => None,
        }
    }

    fn device(&self) -> Device {
        self.attack.poison.device()
    }

    /// The images, labels and noise that the hypergradient of the batch that is kept is computed from, by name. Inputs
    /// are images with their noise, as the network gets them.
    pub fn inputs(&self) -> Vec<(&'static str, Tensor)> {
        let Lower::Pool(pool) = &self.attack.lower else { return Vec::new() };
        let Attack { data, settings, random, step, poison, .. } = &self.attack;
        let drawn = pool.drawn(0, &self.batch, poison);
        let validation = Validation::draw(data.validation, settings, *random, *step);
        let (inputs, labels): (Vec<_>, Vec<_>) = self
            .attack
            .passes(0, &self.attack.choose())
            .map(|pass| (pass.inputs(&pass.images), pass.labels))
            .unzip();
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
