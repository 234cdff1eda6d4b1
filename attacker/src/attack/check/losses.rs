use tch::{Kind, Reduction, Tensor};

use crate::{
    Error,
    attack::{
        AttackData, AttackSettings,
        pool::{DrawnBatch, NetworkPool},
        upper_level::{UpperLevel, upper_level},
    },
    bilevel::{Hessian, NewtonSettings, Solver, SolverSettings, minimise, solve},
    data::Images,
    networks::Network,
    parameters::{Graph, Parameters},
    random::Random,
};

/// Most Newton steps to solve the lower level again after the poison was moved.
const NEWTON_STEPS: usize = 12;

/// The losses of both levels on one batch, in double precision. The images and their noise are drawn once, so that the
/// losses are functions of the parameters θ (`theta`) and the poison images u (`u`) only.
pub(super) struct BatchLosses<'a> {
    pub settings: &'a AttackSettings,
    pub network: Network,
    pub drawn: DrawnBatch,
    /// Clean images of the batch; the poison images follow them.
    pub clean: Tensor,
    validation: Images,
    random: Random,
}

impl BatchLosses<'_> {
    /// Poison images in the batch.
    pub fn poisoned(&self) -> i64 {
        self.drawn.images.size()[0] - self.clean.size()[0]
    }

    /// Logits of the batch.
    pub fn logits(&self, theta: &Parameters, u: &Parameters) -> Tensor {
        let inputs = self.drawn.inputs(&Tensor::cat(&[&self.clean, &u.tensors()[0]], 0));
        self.network.forward_with(theta, &inputs)
    }

    /// The loss L of the lower level, a scalar with its graph.
    pub fn inner(&self, theta: &Parameters, u: &Parameters) -> Tensor {
        let logits = self.drawn.perturbation.by_image(&self.logits(theta, u));
        self.settings.defence().loss(&logits, &self.drawn.labels, Reduction::Mean)
    }

    /// ∂L/∂θ, without graph.
    pub fn inner_gradient(&self, theta: &Parameters, u: &Parameters) -> Parameters {
        let theta = theta.copy().requires_grad();
        theta.gradient_of(&self.inner(&theta, u), Graph::Free)
    }

    /// The upper level R and its gradient.
    pub fn outer(&self, theta: &Parameters) -> UpperLevel {
        let theta = theta.copy().requires_grad();
        upper_level(&self.network, &theta, &self.validation, self.settings, self.random, 0)
    }

    /// Solves ∂L/∂θ(θ, u) + ρ(θ − θ₀) = ∂L/∂θ(θ₀, u₀) for θ by Newton's method. `theta_0` is θ₀, `at_0` the right-hand side,
    /// and `damping` ρ.
    ///
    /// A network in training is not at a minimum of L. Subtracting the gradient at (θ₀, u₀) makes θ₀ the solution for
    /// u₀, and the damping ρ makes it unique; dθ/du there is that of the damped implicit function theorem.
    pub fn solve_again(
        &self,
        theta_0: &Parameters,
        at_0: &Parameters,
        u: &Parameters,
        damping: f64,
    ) -> Parameters {
        let mut theta = theta_0.copy();
        for _ in 0..NEWTON_STEPS {
            let leaf = theta.copy().requires_grad();
            let hessian = Hessian::new(&self.inner(&leaf, u), &leaf, damping);
            let residual =
                hessian.gradient().plus(-1.0, at_0).plus(damping, &theta.plus(-1.0, theta_0)).copy();
            if residual.norm() <= 1e-12 * (1.0 + at_0.norm()) {
                break;
            }
            let settings =
                SolverSettings { solver: Solver::Minres, iterations: 200, tolerance: 1e-10, rate: 0.0 };
            theta.add_scaled(-1.0, &solve(&hessian, &residual, &settings, None).p);
        }
        theta
    }
}

/// Warms up a network by `settings` and draws a batch, both in double precision. A convex lower level is solved on it.
pub(super) fn prepare<'a>(
    data: AttackData<'_>,
    settings: &'a AttackSettings,
    random: Random,
) -> Result<BatchLosses<'a>, Error> {
    let poison = data.target.pixels.copy();
    let mut pool = NetworkPool::new(settings, data, &poison, random)?;
    pool.train(0, settings.inner_steps, &poison, None);
    let batch = pool.batch(&poison);
    let single = pool.drawn(0, &batch, &poison);
    let drawn = DrawnBatch {
        images: single.images.to_kind(Kind::Double),
        labels: single.labels,
        crops: single.crops,
        perturbation: single.perturbation.to_double(),
    };
    let clean = drawn.images.narrow(0, 0, drawn.images.size()[0] - batch.poison.size()[0]);
    let validation = Images {
        pixels: data.validation.pixels.to_kind(Kind::Double),
        labels: data.validation.labels.shallow_clone(),
    };
    let network = pool.network(0).to_kind(Kind::Double);
    let mut losses = BatchLosses { settings, network, drawn, clean, validation, random };
    if settings.is_convex() {
        let u =
            Parameters::new(vec![losses.drawn.images.narrow(0, losses.clean.size()[0], losses.poisoned())]);
        let mut theta = losses.network.parameters().copy();
        let newton = NewtonSettings { tolerance: 1e-10, steps: 100, products: 500 };
        let damping = 0.5 * settings.damping;
        minimise(&mut theta, &newton, None, |theta| losses.inner(theta, &u) + theta.dot(theta) * damping);
        losses.network.parameters_mut().assign(&theta);
    }
    Ok(losses)
}
