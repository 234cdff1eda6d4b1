use tch::{Kind, Reduction, Tensor, no_grad};

use super::{
    Curvature, Differentiation,
    lower_level::{Hypergradients, LowerLevel, mixed_of},
    state::{LevelState, PoolPosition},
    stopwatch::{Part, Stopwatch},
    upper_level::{UpperLevel, upper_level},
};
use crate::{
    Error,
    bilevel::{
        GaussNewton, Hessian, Solution, Unrolled, WarmStart, mixed_product, mixed_product_of, unrolled,
    },
    parameters::{Graph, Parameters},
    random::Purpose,
};

mod batch;
mod networks;

pub(super) use batch::{BatchIndices, DrawnBatch, Streams};
pub(super) use networks::NetworkPool;

/// Largest number of poison images in one double-backward pass; it bounds the memory.
pub(super) const IMAGES_A_PASS: i64 = 250;

/// The lower level of deep networks, which can't be solved exactly: a pool of networks in training. Each step of the
/// attack trains one of them for a few steps and takes hypergradients at its parameters.
#[derive(Debug)]
pub(super) struct PoolLevel<'a> {
    pub networks: NetworkPool<'a>,
    /// It is off unless the speed is measured.
    pub stopwatch: Stopwatch,
}

/// One step of the attack: its number, the poison before it, and the network it attacks.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolStep<'p> {
    /// Number of the step, from 0.
    pub step: usize,
    /// All poison images, N×C×H×W.
    pub poison: &'p Tensor,
    /// Position of the network in the pool.
    pub network: usize,
}

impl LowerLevel for PoolLevel<'_> {
    fn hypergradients(&mut self, step: usize, poison: &Tensor) -> Result<Hypergradients, Error> {
        let settings = self.networks.settings;
        self.networks.renew(step, settings.renewal(self.networks.data.target.len()), poison)?;
        let at = PoolStep { step, poison, network: self.networks.position(step) };
        let batch = settings.same_batch.then(|| self.networks.batch_in_order(step));
        self.networks.train(at.network, settings.inner_steps, poison, batch.as_ref());
        let batch = batch.unwrap_or_else(|| self.networks.batch(poison));
        Ok(self.of_batch(at, &batch))
    }

    fn state(&self) -> LevelState<'_> {
        let (position, tensors) = self.networks.state();
        LevelState { pool: Some(position), tensors }
    }

    fn restore(&mut self, pool: Option<&PoolPosition>, tensors: Vec<Tensor>) {
        if let Some(position) = pool {
            self.networks.restore(position, &mut tensors.into_iter());
        }
    }
}

impl<'a> PoolLevel<'a> {
    /// The lower level of these networks.
    pub fn new(networks: NetworkPool<'a>) -> Self {
        let stopwatch = Stopwatch::off(networks.data.target.pixels.device());
        Self { networks, stopwatch }
    }

    /// Hypergradients at the present parameters of the network, with the curvature of `batch`.
    pub fn of_batch(&mut self, at: PoolStep<'_>, batch: &BatchIndices) -> Hypergradients {
        let drawn = self.networks.drawn(at.network, batch, at.poison);
        let numbers = if self.networks.settings.same_batch {
            batch.poison.shallow_clone()
        } else {
            self.choose(at.step)
        };
        match self.networks.settings.differentiation {
            Differentiation::Unrolled => self.through_steps(at, &drawn, numbers),
            Differentiation::Implicit => self.by_linear_solve(at, batch, &drawn, numbers),
        }
    }

    /// Hypergradients by the implicit function theorem.
    fn by_linear_solve(
        &mut self,
        at: PoolStep<'_>,
        batch: &BatchIndices,
        drawn: &DrawnBatch,
        numbers: Tensor,
    ) -> Hypergradients {
        let settings = self.networks.settings;
        let start = if settings.warm_start { self.networks.warm_start(at.network) } else { None };
        let network = self.networks.network(at.network);
        let parameters = network.parameters();
        let outer = self.stopwatch.time(Part::OuterGradient, || self.outer(at, parameters));

        let started = self.stopwatch.start();
        // The poison of the batch is a leaf of the graph, because with `same_batch` its hypergradients are needed.
        let leaf = at.poison.index_select(0, &batch.poison).set_requires_grad(true);
        let clean = drawn.images.narrow(0, 0, drawn.images.size()[0] - leaf.size()[0]);
        let inputs = drawn.inputs(&Tensor::cat(&[&clean, &leaf], 0));
        let logits = network.forward(&inputs);
        let loss =
            settings.defence().loss(&drawn.perturbation.by_image(&logits), &drawn.labels, Reduction::Mean);
        let inner_loss = loss.detach();
        let solver = settings.solver_settings(at.step);
        let (solution, hessian) = match settings.curvature {
            Curvature::GaussNewton => {
                let matrix = GaussNewton::new(logits, parameters, settings.damping);
                self.stopwatch.stop(Part::InnerGraph, started);
                (self.stopwatch.solve(&matrix, &outer.gradient, &solver, start), None)
            }
            Curvature::Hessian => {
                let hessian = Hessian::new(&loss, parameters, settings.damping);
                self.stopwatch.stop(Part::InnerGraph, started);
                (self.stopwatch.solve(&hessian, &outer.gradient, &solver, start), Some(hessian))
            }
        };
        let p = &solution.p;
        let gradient = self.stopwatch.time(Part::MixedProduct, || match hessian {
            _ if !settings.same_batch => self.mixed_passes(at, parameters, p, &numbers),
            Some(hessian) => mixed_of(|u| mixed_product_of(hessian.gradient(), p, u, Graph::Free), leaf),
            None => mixed_of(|u| mixed_product(&loss, parameters, p, u), leaf),
        });
        let Solution { p, relative_residual, iterations, negative_curvature, adam } = solution;
        let finite = p.is_finite_scalar();
        if settings.warm_start {
            // A solution that is not finite must not start the next solve.
            let kept = p.zeros_like().or(&finite, &p);
            let adam = adam.map(|mut adam| {
                adam.reset_unless(&finite);
                adam
            });
            self.networks.keep(at.network, WarmStart { p: kept, adam });
        }
        Hypergradients {
            gradient,
            numbers,
            inner_loss,
            outer,
            relative_residual,
            iterations,
            negative_curvature,
            finite,
            nonzero: p.norm_scalar().gt(0.0),
            p,
        }
    }

    /// Hypergradients by differentiating through gradient steps from the present parameters.
    fn through_steps(&self, at: PoolStep<'_>, drawn: &DrawnBatch, numbers: Tensor) -> Hypergradients {
        let settings = self.networks.settings;
        let network = self.networks.network(at.network);
        let inputs = drawn.inputs(&drawn.images);
        let inner = |theta: &Parameters| {
            let logits = network.forward_with(theta, &inputs);
            settings.defence().loss(&drawn.perturbation.by_image(&logits), &drawn.labels, Reduction::Mean)
        };
        let mut outer = None;
        let mut gradient: Option<Tensor> = None;
        let Unrolled { remainder, .. } = unrolled(
            network.parameters(),
            settings.unrolling(),
            inner,
            |theta| {
                let found = self.outer(at, theta);
                // ⟨∂R/∂θ, θ⟩ has the same gradient as R and needs no graph of R.
                let linear = found.gradient.dot(theta);
                outer = Some(found);
                linear
            },
            |theta, lambda| {
                let part = self.mixed_passes(at, theta, lambda, &numbers);
                gradient = Some(gradient.take().map_or_else(|| part.shallow_clone(), |sum| sum + &part));
            },
        );
        let outer = outer.unwrap_or_else(|| self.outer(at, network.parameters()));
        let gradient = gradient.unwrap_or_else(|| at.poison.index_select(0, &numbers).zeros_like());
        let device = at.poison.device();
        Hypergradients {
            gradient,
            numbers,
            inner_loss: no_grad(|| inner(network.parameters())),
            relative_residual: remainder.norm_scalar() / outer.gradient.norm_scalar(),
            iterations: Tensor::full([], settings.solver_steps as i64, (Kind::Int64, device)),
            negative_curvature: Tensor::zeros([], (Kind::Bool, device)),
            finite: remainder.is_finite_scalar(),
            nonzero: Tensor::ones([], (Kind::Bool, device)),
            p: remainder,
            outer,
        }
    }

    /// The upper level at `parameters`, on the validation batch of the step.
    fn outer(&self, at: PoolStep<'_>, parameters: &Parameters) -> UpperLevel {
        let NetworkPool { settings, data, random, .. } = &self.networks;
        let network = self.networks.network(at.network);
        upper_level(network, parameters, data.validation, settings, *random, at.step)
    }

    /// −(∂²L/∂u∂θ)ᵀ p of the images `numbers`, at most [`IMAGES_A_PASS`] at a time.
    ///
    /// L is here the sum of the losses of the images, not their mean: the factor 1/N changes neither a step of Adam nor
    /// a sign.
    fn mixed_passes(&self, at: PoolStep<'_>, theta: &Parameters, p: &Parameters, numbers: &Tensor) -> Tensor {
        let network = self.networks.network(at.network);
        let product = |drawn: DrawnBatch| {
            let leaf = drawn.images.set_requires_grad(true);
            let logits = drawn.perturbation.by_image(&network.forward_with(theta, &drawn.inputs(&leaf)));
            let loss = self.networks.settings.defence().loss(&logits, &drawn.labels, Reduction::Sum);
            mixed_of(|u| mixed_product(&loss, theta, p, u), leaf)
        };
        Tensor::cat(&self.passes(at, numbers).map(product).collect::<Vec<_>>(), 0)
    }

    /// The poison images `numbers` in passes of at most [`IMAGES_A_PASS`], with their crops and noise.
    pub fn passes(&self, at: PoolStep<'_>, numbers: &Tensor) -> impl Iterator<Item = DrawnBatch> {
        let total = numbers.size()[0];
        (0..total).step_by(IMAGES_A_PASS as usize).map(move |start| {
            let chosen = numbers.narrow(0, start, IMAGES_A_PASS.min(total - start));
            let images = at.poison.index_select(0, &chosen);
            let labels = self.networks.data.target.labels.index_select(0, &chosen);
            let key = ((at.step as u64) << 32) | (start / IMAGES_A_PASS) as u64;
            let (noise, augmentation) = (Purpose::PoisonNoise, Purpose::PoisonAugmentation);
            self.networks.prepare(at.network, images, labels, Streams { key, noise, augmentation })
        })
    }

    /// Indices of the poison images that a step moves, `int64`.
    pub fn choose(&self, step: usize) -> Tensor {
        let NetworkPool { settings, data, random, .. } = &self.networks;
        let total = data.target.len();
        let order = random.permutation(Purpose::PoisonChoice, step as u64, total);
        Tensor::from_slice(&order[..settings.moved_in_step(total)]).to_device(data.target.pixels.device())
    }
}
