use tch::{Kind, Reduction, Tensor};

use super::{
    AttackData, AttackSettings,
    lower_level::{Hypergradients, LowerLevel, mixed_of},
    state::{LevelState, PoolPosition},
    upper_level::upper_level,
};
use crate::{
    Error,
    bilevel::{GaussNewton, NewtonReport, NewtonSettings, minimise, mixed_product, solve},
    networks::Network,
    parameters::{Graph, Parameters},
    random::{Purpose, Random},
    training::Perturbation,
};

/// A convex lower level, solved before every step: a linear network trained to a tolerance on all images, each in k
/// noisy copies (`convex_noises`) whose noise never changes, with weight decay ρ/2·‖θ‖² where ρ is the damping.
///
/// The damped Hessian of the linear system is then exactly the Hessian of the loss that was minimised, and the implicit
/// gradient is exact up to the tolerance (Mei and Zhu, 2015; Pedregosa, 2016).
#[derive(Debug)]
pub(super) struct ConvexLevel<'a> {
    settings: &'a AttackSettings,
    data: AttackData<'a>,
    random: Random,
    network: Network,
    /// Noisy copies of the clean images, N·k×C×H×W.
    clean_inputs: Tensor,
    clean_labels: Tensor,
    /// The noise that is added to the copies of the poison images.
    poison_noise: Perturbation,
    poison_labels: Tensor,
}

impl LowerLevel for ConvexLevel<'_> {
    fn hypergradients(&mut self, step: usize, poison: &Tensor) -> Result<Hypergradients, Error> {
        self.solve(poison, step);
        let settings = self.settings;
        let parameters = self.network.parameters();
        let outer = upper_level(&self.network, parameters, self.data.validation, settings, self.random, step);
        let matrix = GaussNewton::new(self.logits(poison), parameters, settings.damping);
        let solution = solve(&matrix, &outer.gradient, &settings.solver_settings(step), None);
        let leaf = poison.copy().set_requires_grad(true);
        let loss = self.loss(parameters, &leaf);
        let gradient = mixed_of(|u| mixed_product(&loss, parameters, &solution.p, u), leaf);
        Ok(Hypergradients {
            gradient,
            numbers: self.all(),
            inner_loss: loss.detach(),
            outer,
            finite: solution.p.is_finite_scalar(),
            nonzero: solution.p.norm_scalar().gt(0.0),
            p: solution.p,
            relative_residual: solution.relative_residual,
            iterations: solution.iterations,
            negative_curvature: solution.negative_curvature,
        })
    }

    fn state(&self) -> LevelState<'_> {
        LevelState { pool: None, tensors: self.network.state().collect() }
    }

    fn restore(&mut self, _: Option<&PoolPosition>, tensors: Vec<Tensor>) {
        self.network.restore(&tensors);
    }
}

impl<'a> ConvexLevel<'a> {
    /// Makes the network, and draws the noise of all copies.
    ///
    /// # Errors
    /// [`Error::Network`] if the network can't take images of this shape.
    pub fn new(settings: &'a AttackSettings, data: AttackData<'a>, random: Random) -> Result<Self, Error> {
        let device = data.clean.pixels.device();
        let network = Network::new(settings.network, data.clean.shape(), data.classes, random, device)?;
        let copies = settings.convex_noises as i64;
        let repeat = |tensor: &Tensor| tensor.repeat_interleave_self_int(copies, 0, None);
        let perturb = |images: &Tensor, labels: &Tensor, purpose: Purpose| {
            let noise = |shape: &[i64]| random.normal(purpose, 0, shape, device);
            settings.defence().perturb(&network, images, labels, 1.0, noise)
        };
        let AttackData { clean, target, .. } = data;
        let (clean_images, clean_labels) = (repeat(&clean.pixels), repeat(&clean.labels));
        let clean_inputs = perturb(&clean_images, &clean_labels, Purpose::TrainingNoise).apply(&clean_images);
        let (target_images, poison_labels) = (repeat(&target.pixels), repeat(&target.labels));
        let poison_noise = perturb(&target_images, &poison_labels, Purpose::PoisonNoise);
        Ok(Self { settings, data, random, network, clean_inputs, clean_labels, poison_noise, poison_labels })
    }

    #[cfg(test)]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The mean loss over all noisy copies, without the weight decay. `poison` are all poison images, N×C×H×W; the
    /// result is differentiable in them and in `parameters`.
    pub fn loss(&self, parameters: &Parameters, poison: &Tensor) -> Tensor {
        let defence = self.settings.defence();
        let sum = |inputs: &Tensor, labels: &Tensor| {
            let logits = self.network.forward_with(parameters, inputs).unsqueeze(1);
            defence.loss(&logits, labels, Reduction::Sum)
        };
        let copies = self.clean_labels.numel() + self.poison_labels.numel();
        let clean = sum(&self.clean_inputs, &self.clean_labels);
        (clean + sum(&self.poison_inputs(poison), &self.poison_labels)) / copies as f64
    }

    /// Minimises the loss for these poison images, N×C×H×W, from the present parameters. The tolerance of step `step` is
    /// relative to the gradient at θ = 0.
    pub fn solve(&mut self, poison: &Tensor, step: usize) -> NewtonReport {
        let mut theta = self.network.parameters().copy();
        let damping = self.settings.damping;
        let loss = |theta: &Parameters| self.loss(theta, poison) + theta.dot(theta) * (0.5 * damping);
        let zero = theta.zeros_like().requires_grad();
        let fresh = zero.gradient_of(&loss(&zero), Graph::Free).norm();
        let settings = NewtonSettings { tolerance: 0.0, steps: 100, products: 200 };
        // Single precision does not reach a smaller gradient.
        let target = (self.settings.tolerance(step) * fresh).max(1e-6 * fresh);
        let report = minimise(&mut theta, &settings, Some(target), loss);
        self.network.parameters_mut().assign(&theta);
        report
    }

    /// Noisy copies of the poison images; differentiable.
    fn poison_inputs(&self, poison: &Tensor) -> Tensor {
        let copies = self.settings.convex_noises as i64;
        self.poison_noise.apply(&poison.repeat_interleave_self_int(copies, 0, None))
    }

    /// Logits of all copies with their graph, for the Gauss–Newton matrix, which for a linear network is the Hessian.
    fn logits(&self, poison: &Tensor) -> Tensor {
        let inputs = Tensor::cat(&[&self.clean_inputs, &self.poison_inputs(poison)], 0);
        self.network.forward(&inputs)
    }

    /// Indices of all poison images, `int64`.
    fn all(&self) -> Tensor {
        let target = &self.data.target.pixels;
        Tensor::arange(target.size()[0], (Kind::Int64, target.device()))
    }
}
