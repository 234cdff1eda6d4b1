use std::time::Instant;

use mithridate_runtime::terminal::Progress;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor, no_grad};

use super::{
    AttackSettings, Curvature, Differentiation, Objective, PoisonStep,
    clock::{Clock, Part},
    convex::Convex,
    pool::{Batch, Drawn, Pool, PoolPosition},
    soft_radius,
};
use crate::{
    Error,
    bilevel::{GaussNewton, Hessian, Solution, WarmStart, mixed_product, mixed_product_of, solve, unrolled},
    data::Images,
    networks::Network,
    parameters::Parameters,
    random::{Domain, Purpose, Random},
    training::{ImageAdam, cross_entropy, image_shape},
};

mod measure;

pub(crate) use measure::{Bench, Found};

/// Poison images in one double-backward pass; bounds memory.
const IMAGES_A_PASS: i64 = 250;

/// What happened in one step of the attack: a line of the run log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Number of the restart, from 0.
    pub restart: usize,
    /// Number of the step, from 0.
    pub step: usize,
    /// Loss of the lower level, on the batch of the linear system.
    pub inner_loss: f64,
    /// Upper level: the soft average certified radius of the validation batch, or minus its cross-entropy.
    pub outer: f64,
    /// Validation images that the soft smoothed classifier got right.
    pub right: u64,
    /// Relative residual of the linear solve; share of the upper level's gradient left after an unrolled one.
    pub relative_residual: f64,
    /// Iterations of the solve.
    pub iterations: u64,
    /// Whether negative curvature ended the solve.
    pub negative_curvature: bool,
    /// Mean size of the poison so far, in pixel units.
    pub mean_change: f64,
    /// Why the poison was not moved in this step, if it wasn't.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skipped: Option<String>,
    /// Time of the step, in seconds.
    pub seconds: f64,
}

/// The images an attack works on.
#[derive(Clone, Copy, Debug)]
pub struct AttackData<'a> {
    /// Training images that stay as they are.
    pub clean: &'a Images,
    /// Training images to poison, unchanged, with their labels.
    pub target: &'a Images,
    /// Validation images of the target classes.
    pub validation: &'a Images,
    /// Number of classes.
    pub classes: usize,
}

/// The lower level.
#[derive(Debug)]
enum Lower<'a> {
    Pool(Box<Pool<'a>>),
    Convex(Box<Convex<'a>>),
}

/// An attack in progress (Mehra et al., 2021, with ApproxGrad): T1 training steps on a network, a linear solve for p of
/// at most T2 iterations, a step on poison images along their hypergradients, which all follow from the same p.
///
/// It can be left after any step and taken up again, to the bit. Poison stays within ε of the clean images and \[0, 1\].
/// Hypergradients run the network with the running statistics of its batch norm, so that images do not depend on each
/// other.
#[derive(Debug)]
pub struct Attack<'a> {
    data: AttackData<'a>,
    settings: &'a AttackSettings,
    random: Random,
    lower: Lower<'a>,
    poison: Tensor,
    adam: ImageAdam,
    restart: usize,
    step: usize,
    steps: usize,
    /// Steps that moved the poison.
    moved: usize,
    /// Stands still unless speed is measured.
    clock: Clock,
}

/// Where an attack stands, but for its tensors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackPosition {
    /// Steps made.
    pub step: usize,
    /// The restart it belongs to.
    pub restart: usize,
    moved: usize,
    pool: Option<PoolPosition>,
}

/// What a step computed, still on the device.
struct Computed {
    inner_loss: Tensor,
    outer: Outer,
    /// The solution of the linear system; what is left of the upper level's gradient after an unrolled one.
    p: Parameters,
    relative_residual: Tensor,
    iterations: Tensor,
    negative_curvature: Tensor,
    /// Whether p is finite.
    finite: Tensor,
    /// Whether p is not 0, so that there is a hypergradient.
    found: Tensor,
}

/// The upper level and its gradient.
pub(super) struct Outer {
    pub value: Tensor,
    right: Tensor,
    pub gradient: Parameters,
    /// Whether the gradient is finite.
    finite: Tensor,
    /// Whether it is not 0.
    slopes: Tensor,
}

impl Outer {
    /// Whether there is a gradient to follow.
    fn holds(&self) -> Tensor {
        self.finite.logical_and(&self.slopes)
    }
}

impl<'a> Attack<'a> {
    /// Gets ready to make the first step.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Network`].
    pub fn new(
        data: AttackData<'a>,
        settings: &'a AttackSettings,
        seed: u64,
        restart: usize,
    ) -> Result<Self, Error> {
        Self::start(data, settings, seed, restart, None)
    }

    /// Takes up an attack where it was left. The data, settings and seed must be those it was started with.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Network`].
    pub fn resume(
        data: AttackData<'a>,
        settings: &'a AttackSettings,
        seed: u64,
        position: &AttackPosition,
        tensors: Vec<Tensor>,
    ) -> Result<Self, Error> {
        Self::start(data, settings, seed, position.restart, Some((position, tensors)))
    }

    fn start(
        data: AttackData<'a>,
        settings: &'a AttackSettings,
        seed: u64,
        restart: usize,
        saved: Option<(&AttackPosition, Vec<Tensor>)>,
    ) -> Result<Self, Error> {
        settings.check(data.classes)?;
        settings.augmentation().check(image_shape(&data.target.pixels))?;
        for (name, count) in [
            ("the number of target-class training images", data.target.len()),
            ("the number of other training images", data.clean.len()),
            ("the number of target-class validation images", data.validation.len()),
        ] {
            if count == 0 {
                return Err(Error::setting(name, "at least 1; use more images or another split", &count));
            }
        }
        let base = Random::new(Domain::Attack, seed);
        let random = if restart == 0 { base } else { base.child(Purpose::Split, restart as u64) };
        let poison = data.target.pixels.copy();
        let lower = if settings.is_convex() {
            Lower::Convex(Box::new(Convex::new(settings, data, random)?))
        } else if saved.is_some() {
            Lower::Pool(Box::new(Pool::empty(settings, data, random)?))
        } else {
            Lower::Pool(Box::new(Pool::new(settings, data, &poison, random)?))
        };
        let steps = settings.total_steps(data.target.len());
        let adam = ImageAdam::new(&poison);
        let clock = Clock::off(poison.device());
        let mut attack =
            Self { data, settings, random, lower, poison, adam, restart, step: 0, steps, moved: 0, clock };
        if let Some((position, tensors)) = saved {
            attack.restore(position, tensors);
        }
        Ok(attack)
    }

    /// Poison as it is now, N×C×H×W.
    pub fn poison(&self) -> &Tensor {
        &self.poison
    }

    /// Steps made.
    pub fn steps_made(&self) -> usize {
        self.step
    }

    /// Steps in all.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Makes the steps that are left. `after_step` gets a report of each, to log it and to save the state.
    ///
    /// A step whose validation batch has nothing right, or whose numbers are not finite, leaves the poison as it is and
    /// says so.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Ineffective`] if no step moved the poison, or whatever `after_step` fails with.
    pub fn run(
        &mut self,
        title: &str,
        mut after_step: impl FnMut(&Self, &StepReport) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut progress = Progress::new(title, self.steps as u64, "steps");
        progress.resume_at(self.step as u64);
        while self.step < self.steps {
            let report = self.step()?;
            progress.advance(1);
            after_step(self, &report)?;
        }
        let kept = self.steps - self.moved;
        if kept > 0 {
            progress.note(&format!(
                "the poison was not moved in {kept} of {} steps; the run log says why",
                self.steps
            ));
        }
        progress.finish();
        if self.moved == 0 { Err(Error::Ineffective) } else { Ok(()) }
    }

    /// Makes one step. Nothing is read back from the device before all of it is under way.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn step(&mut self) -> Result<StepReport, Error> {
        let started = Instant::now();
        let (gradient, numbers, computed) = match self.settings.is_convex() {
            true => self.convex_hypergradient(),
            false => self.pool_hypergradient()?,
        };
        let holds = computed.outer.holds().logical_and(&computed.finite).logical_and(&computed.found);
        self.move_poison(&gradient, &numbers, &holds);
        let mut report = self.read(&computed, &holds);
        self.moved += usize::from(report.skipped.is_none());
        self.step += 1;
        report.seconds = (started.elapsed().as_secs_f64() * 1e4).round() / 1e4;
        Ok(report)
    }

    /// Hypergradients of images of the pool's lower level, with their numbers.
    fn pool_hypergradient(&mut self) -> Result<(Tensor, Tensor, Computed), Error> {
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
    fn hypergradient(&mut self, position: usize, batch: &Batch) -> (Tensor, Tensor, Computed) {
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
    fn mixed_passes(&self, position: usize, theta: &Parameters, p: &Parameters, numbers: &Tensor) -> Tensor {
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
    fn passes(&self, position: usize, numbers: &Tensor) -> impl Iterator<Item = Drawn> {
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
    fn convex_hypergradient(&mut self) -> (Tensor, Tensor, Computed) {
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
    fn choose(&self) -> Tensor {
        let total = self.data.target.len();
        let order = self.random.permutation(Purpose::PoisonChoice, self.step as u64, total);
        let chosen = &order[..self.settings.moved_in_step(total)];
        Tensor::from_slice(chosen).to_device(self.poison.device())
    }

    /// Moves poison images against their hypergradients and back into the ε-ball and \[0, 1\], if the condition holds.
    fn move_poison(&mut self, gradient: &Tensor, numbers: &Tensor, holds: &Tensor) {
        let AttackSettings { epsilon, poison_rate, decay, step, .. } = *self.settings;
        let falling = if decay { 1.0 - self.step as f64 / self.steps as f64 } else { 1.0 };
        no_grad(|| {
            let finite = gradient.nan_to_num(0.0, 0.0, 0.0);
            let direction = match step {
                PoisonStep::Adam => self.adam.direction(numbers, &finite, holds),
                PoisonStep::SlotAdam => {
                    let slots = Tensor::arange(numbers.size()[0], (Kind::Int64, numbers.device()));
                    self.adam.direction(&slots, &finite, holds)
                }
                PoisonStep::Sign => finite.sign(),
            };
            let original = self.data.target.pixels.index_select(0, numbers);
            let before = self.poison.index_select(0, numbers);
            let change = (&before - direction * (poison_rate * falling) - &original).clamp(-epsilon, epsilon);
            let after = (original + change).clamp(0.0, 1.0);
            let _ = self.poison.index_copy_(0, numbers, &after.where_self(holds, &before));
        });
    }

    /// The report of a step: the one copy to the host that it makes, after all its work was handed to the device.
    fn read(&self, computed: &Computed, holds: &Tensor) -> StepReport {
        let Computed { inner_loss, outer, relative_residual, iterations, negative_curvature, finite, .. } =
            computed;
        let change = (&self.poison - &self.data.target.pixels).abs().mean(Kind::Double);
        let scalars = [
            inner_loss,
            &outer.value,
            &outer.right,
            &outer.finite,
            &outer.slopes,
            relative_residual,
            iterations,
            negative_curvature,
            finite,
            holds,
            &change,
        ];
        let packed =
            Tensor::stack(&scalars.map(|scalar| scalar.to_kind(Kind::Double)), 0).to_device(Device::Cpu);
        let mut values = [0.0; 11];
        packed.copy_data(&mut values, 11);
        let [
            inner_loss,
            outer,
            right,
            finite_outer,
            slopes,
            residual,
            iterations,
            negative,
            finite_p,
            moved,
            change,
        ] = values;
        let reason = || {
            let reason = match () {
                () if right == 0.0 && self.settings.objective == Objective::Radius => {
                    "no validation image was right"
                }
                () if finite_outer == 0.0 => "the gradient of the upper level was not finite",
                () if slopes == 0.0 => "the gradient of the upper level was 0, its softmax saturated",
                () if finite_p == 0.0 => "the linear solve was not finite",
                () if negative != 0.0 => "the first direction of the linear solve had negative curvature",
                () => "the linear solve came to nothing",
            };
            reason.to_owned()
        };
        // What is not a number has no place in JSON.
        let number = |value: f64| if value.is_finite() { value } else { -1.0 };
        StepReport {
            restart: self.restart,
            step: self.step,
            inner_loss: number(inner_loss),
            outer: number(outer),
            right: right as u64,
            relative_residual: number(residual),
            iterations: iterations as u64,
            negative_curvature: negative != 0.0,
            mean_change: change,
            skipped: (moved == 0.0).then(reason),
            seconds: 0.0,
        }
    }

    /// Where it stands, and the tensors that belong to that: to be saved.
    pub fn state(&self) -> (AttackPosition, Vec<&Tensor>) {
        let mut tensors = vec![&self.poison];
        tensors.extend(self.adam.state());
        let pool = match &self.lower {
            Lower::Pool(pool) => {
                let (position, own) = pool.state();
                tensors.extend(own);
                Some(position)
            }
            Lower::Convex(convex) => {
                tensors.extend(convex.network().state());
                None
            }
        };
        (AttackPosition { step: self.step, restart: self.restart, moved: self.moved, pool }, tensors)
    }

    fn restore(&mut self, position: &AttackPosition, tensors: Vec<Tensor>) {
        (self.step, self.moved) = (position.step, position.moved);
        let mut tensors = tensors.into_iter();
        if let Some(poison) = tensors.next() {
            no_grad(|| self.poison.copy_(&poison));
        }
        self.adam.restore(&tensors.by_ref().take(3).collect::<Vec<_>>());
        match (&mut self.lower, &position.pool) {
            (Lower::Pool(pool), Some(position)) => pool.restore(position, &mut tensors),
            (Lower::Convex(convex), _) => convex.network_mut().restore(&tensors.collect::<Vec<_>>()),
            (Lower::Pool(_), None) => {}
        }
    }
}

/// A mixed product with respect to one tensor.
fn mixed_of(product: impl FnOnce(&Parameters) -> Parameters, leaf: Tensor) -> Tensor {
    product(&Parameters::new(vec![leaf])).tensors()[0].shallow_clone()
}

/// The validation batch of a step.
struct Validation {
    images: Tensor,
    labels: Tensor,
    /// Standard normal, B·k×C×H×W; none where the objective has none.
    noise: Option<Tensor>,
}

impl Validation {
    fn draw(validation: &Images, settings: &AttackSettings, random: Random, step: usize) -> Self {
        let (step, device) = (step as u64, validation.pixels.device());
        let chosen = settings.validation_batch.min(validation.len());
        let numbers = &random.permutation(Purpose::ValidationBatch, step, validation.len())[..chosen];
        let numbers = Tensor::from_slice(numbers).to_device(device);
        let images = validation.pixels.index_select(0, &numbers);
        let labels = validation.labels.index_select(0, &numbers);
        let noise = (settings.objective == Objective::Radius).then(|| {
            let mut shape = images.size();
            shape[0] *= settings.validation_noises as i64;
            random.normal(Purpose::ValidationNoise, step, &shape, device)
        });
        Self { images, labels, noise }
    }
}

/// The upper level at parameters, on the validation batch of a step.
pub(super) fn outer_level(
    network: &Network,
    parameters: &Parameters,
    validation: &Images,
    settings: &AttackSettings,
    random: Random,
    step: usize,
) -> Outer {
    let Validation { images, labels, noise } = Validation::draw(validation, settings, random, step);
    let (value, right) = if let Some(noise) = noise {
        let copies = settings.validation_noises as i64;
        let copied = images.repeat_interleave_self_int(copies, 0, None);
        let logits = network.forward_with(parameters, &(copied + noise * settings.sigma));
        let logits = logits.view([labels.numel() as i64, copies, -1]);
        let radius = soft_radius(&logits, &labels, settings.sigma, settings.beta, settings.clamp);
        (radius.mean, radius.right)
    } else {
        let logits = network.forward_with(parameters, &images);
        let right = logits.argmax(-1, false).eq_tensor(&labels).sum(Kind::Int64);
        (-cross_entropy(&logits, &labels, Reduction::Mean), right)
    };
    let gradient = parameters.gradient_of(&value, false, false);
    let (finite, slopes) = (gradient.is_finite_scalar(), gradient.norm_scalar().gt(0.0));
    Outer { value: value.detach(), right, finite, slopes, gradient }
}

#[cfg(test)]
pub(super) mod tests;
