use tch::{Kind, Reduction, Tensor, no_grad};

use super::{Attack, Computed, IMAGES_A_PASS, Lower};
use crate::{
    Error,
    attack::{
        Curvature, Differentiation,
        clock::Part,
        pool::{Batch, Drawn},
        upper_level::outer_level,
    },
    bilevel::{GaussNewton, Hessian, Solution, WarmStart, mixed_product, mixed_product_of, solve, unrolled},
    parameters::Parameters,
    random::Purpose,
};

impl Attack<'_> {
    /// Hypergradients of images of the pool's lower level, with their numbers.
    pub(super) fn pool_hypergradient(&mut self) -> Result<(Tensor, Tensor, Computed), Error> {
        let (settings, step) = (self.settings, self.step);
        let every = settings.renewal(self.data.target.len());
        let Lower::Pool(pool) = &mut self.lower else { unreachable!("the lower level is a pool") };
        pool.renew(step, every, &self.poison)?;
        let position = pool.position(step);
        let batch = settings.same_batch.then(|| pool.batch_in_order(step));
        pool.train(position, settings.inner_steps, &self.poison, batch.as_ref());
        let batch = batch.unwrap_or_else(|| pool.batch(&self.poison));
        Ok(self.hypergradient(position, &batch))
    }

    /// Hypergradients with the curvature of one batch.
    pub(super) fn hypergradient(&mut self, position: usize, batch: &Batch) -> (Tensor, Tensor, Computed) {
        let (settings, Lower::Pool(pool)) = (self.settings, &self.lower) else {
            unreachable!("the lower level is a pool")
        };
        let drawn = pool.drawn(position, batch, &self.poison);
        let numbers = if settings.same_batch { batch.poison.shallow_clone() } else { self.choose() };
        if settings.differentiation == Differentiation::Unrolled {
            self.through_steps(position, &drawn, numbers)
        } else {
            self.by_linear_solve(position, batch, &drawn, numbers)
        }
    }

    fn by_linear_solve(
        &mut self,
        position: usize,
        batch: &Batch,
        drawn: &Drawn,
        numbers: Tensor,
    ) -> (Tensor, Tensor, Computed) {
        let settings = self.settings;
        let start = match &mut self.lower {
            Lower::Pool(pool) if settings.warm_start => pool.warm_start(position),
            _ => None,
        };
        let Lower::Pool(pool) = &self.lower else { unreachable!("the lower level is a pool") };
        let network = pool.network(position);
        let parameters = network.parameters();
        let outer = self.clock.time(Part::OuterGradient, || {
            outer_level(network, parameters, self.data.validation, settings, self.random, self.step)
        });

        let started = self.clock.start();
        // The poison of the batch is a leaf of the graph, in case it is what is moved.
        let leaf = self.poison.index_select(0, &batch.poison).set_requires_grad(true);
        let clean = drawn.images.narrow(0, 0, drawn.images.size()[0] - leaf.size()[0]);
        let inputs = drawn.inputs(&Tensor::cat(&[&clean, &leaf], 0));
        let logits = network.forward(&inputs);
        let loss =
            settings.defence().loss(&drawn.perturbation.by_image(&logits), &drawn.labels, Reduction::Mean);
        let inner_loss = loss.detach();
        let solver = settings.solver_settings(self.step);
        let (solution, hessian) = match settings.curvature {
            Curvature::GaussNewton => {
                let matrix = GaussNewton::new(logits, parameters, settings.damping);
                self.clock.stop(Part::InnerGraph, started);
                (self.clock.solve(&matrix, &outer.gradient, &solver, start), None)
            }
            Curvature::Hessian => {
                let hessian = Hessian::new(&loss, parameters, settings.damping);
                self.clock.stop(Part::InnerGraph, started);
                (self.clock.solve(&hessian, &outer.gradient, &solver, start), Some(hessian))
            }
        };
        let p = &solution.p;
        let gradient = self.clock.time(Part::MixedProduct, || match hessian {
            _ if !settings.same_batch => self.mixed_passes(position, parameters, p, &numbers),
            Some(hessian) => mixed_of(|u| mixed_product_of(hessian.gradient(), p, u, false), leaf),
            None => mixed_of(|u| mixed_product(&loss, parameters, p, u), leaf),
        });
        let Solution { p, relative_residual, iterations, negative_curvature, adam } = solution;
        let computed = Computed {
            inner_loss,
            outer,
            relative_residual,
            iterations,
            negative_curvature,
            finite: p.is_finite_scalar(),
            found: p.norm_scalar().gt(0.0),
            p,
        };
        if settings.warm_start
            && let Lower::Pool(pool) = &mut self.lower
        {
            // What is not finite must not poison the solves to come.
            let p = computed.p.zeros_like().or(&computed.finite, &computed.p);
            let adam = adam.map(|mut adam| {
                adam.reset_unless(&computed.finite);
                adam
            });
            pool.keep(position, WarmStart { p, adam });
        }
        (gradient, numbers, computed)
    }

    /// Hypergradients by differentiating through gradient steps from where the network stands.
    fn through_steps(&self, position: usize, drawn: &Drawn, numbers: Tensor) -> (Tensor, Tensor, Computed) {
        let (settings, Lower::Pool(pool)) = (self.settings, &self.lower) else {
            unreachable!("the lower level is a pool")
        };
        let network = pool.network(position);
        let inputs = drawn.inputs(&drawn.images);
        let inner = |theta: &Parameters| {
            let logits = network.forward_with(theta, &inputs);
            settings.defence().loss(&drawn.perturbation.by_image(&logits), &drawn.labels, Reduction::Mean)
        };
        let mut outer = None;
        let mut gradient: Option<Tensor> = None;
        let (_, left) = unrolled(
            network.parameters(),
            settings.unrolling(),
            inner,
            |theta| {
                let found =
                    outer_level(network, theta, self.data.validation, settings, self.random, self.step);
                // ⟨∂R/∂θ, θ⟩ has the gradient wanted, without the graph of R a second time.
                let linear = found.gradient.dot(theta);
                outer = Some(found);
                linear
            },
            |theta, lambda| {
                let part = self.mixed_passes(position, theta, lambda, &numbers);
                gradient = Some(gradient.take().map_or_else(|| part.shallow_clone(), |sum| sum + &part));
            },
        );
        let outer = outer.unwrap_or_else(|| {
            outer_level(network, network.parameters(), self.data.validation, settings, self.random, self.step)
        });
        let gradient = gradient.unwrap_or_else(|| self.poison.index_select(0, &numbers).zeros_like());
        let computed = Computed {
            inner_loss: no_grad(|| inner(network.parameters())),
            relative_residual: left.norm_scalar() / outer.gradient.norm_scalar(),
            iterations: Tensor::full([], settings.solver_steps as i64, (Kind::Int64, self.poison.device())),
            negative_curvature: Tensor::zeros([], (Kind::Bool, self.poison.device())),
            finite: left.is_finite_scalar(),
            found: Tensor::ones([], (Kind::Bool, self.poison.device())),
            p: left,
            outer,
        };
        (gradient, numbers, computed)
    }

    /// −(∂²L/∂u∂θ)ᵀ p of the images with these numbers, some at a time.
    ///
    /// Of the sum over images, not the mean: each image's hypergradient is its own, up to the constant weight of one image
    /// in the training loss, which neither Adam's step nor a sign depends on.
    pub(super) fn mixed_passes(
        &self,
        position: usize,
        theta: &Parameters,
        p: &Parameters,
        numbers: &Tensor,
    ) -> Tensor {
        let Lower::Pool(pool) = &self.lower else { unreachable!("the lower level is a pool") };
        let network = pool.network(position);
        let product = |drawn: Drawn| {
            let leaf = drawn.images.set_requires_grad(true);
            let logits = drawn.perturbation.by_image(&network.forward_with(theta, &drawn.inputs(&leaf)));
            let loss = self.settings.defence().loss(&logits, &drawn.labels, Reduction::Sum);
            mixed_of(|u| mixed_product(&loss, theta, p, u), leaf)
        };
        Tensor::cat(&self.passes(position, numbers).map(product).collect::<Vec<_>>(), 0)
    }

    /// The poison images with these numbers, some at a time, with what is drawn for them.
    pub(super) fn passes(&self, position: usize, numbers: &Tensor) -> impl Iterator<Item = Drawn> {
        let total = numbers.size()[0];
        (0..total).step_by(IMAGES_A_PASS as usize).map(move |start| {
            let Lower::Pool(pool) = &self.lower else { unreachable!("the lower level is a pool") };
            let chosen = numbers.narrow(0, start, IMAGES_A_PASS.min(total - start));
            let images = self.poison.index_select(0, &chosen);
            let labels = self.data.target.labels.index_select(0, &chosen);
            let key = ((self.step as u64) << 32) | (start / IMAGES_A_PASS) as u64;
            let purposes = (Purpose::PoisonNoise, Purpose::PoisonAugmentation);
            pool.prepare(position, images, labels, key, purposes)
        })
    }

    /// Exact hypergradients of a convex lower level, solved to tolerance first.
    pub(super) fn convex_hypergradient(&mut self) -> (Tensor, Tensor, Computed) {
        let (settings, step) = (self.settings, self.step);
        let Lower::Convex(convex) = &mut self.lower else { unreachable!("the lower level is convex") };
        convex.solve(&self.poison, step);
        let network = convex.network();
        let parameters = network.parameters();
        let outer = outer_level(network, parameters, self.data.validation, settings, self.random, step);
        let matrix = GaussNewton::new(convex.logits(&self.poison), parameters, settings.damping);
        let solution = solve(&matrix, &outer.gradient, &settings.solver_settings(step), None);
        let leaf = self.poison.copy().set_requires_grad(true);
        let loss = convex.loss(parameters, &leaf);
        let gradient = mixed_of(|u| mixed_product(&loss, parameters, &solution.p, u), leaf);
        let numbers = convex.all();
        let computed = Computed {
            inner_loss: loss.detach(),
            outer,
            finite: solution.p.is_finite_scalar(),
            found: solution.p.norm_scalar().gt(0.0),
            p: solution.p,
            relative_residual: solution.relative_residual,
            iterations: solution.iterations,
            negative_curvature: solution.negative_curvature,
        };
        (gradient, numbers, computed)
    }

    /// Numbers of the poison images to move in this step.
    pub(super) fn choose(&self) -> Tensor {
        let total = self.data.target.len();
        let order = self.random.permutation(Purpose::PoisonChoice, self.step as u64, total);
        let chosen = &order[..self.settings.moved_in_step(total)];
        Tensor::from_slice(chosen).to_device(self.poison.device())
    }
}

/// A mixed product with respect to one tensor.
fn mixed_of(product: impl FnOnce(&Parameters) -> Parameters, leaf: Tensor) -> Tensor {
    product(&Parameters::new(vec![leaf])).tensors()[0].shallow_clone()
}
