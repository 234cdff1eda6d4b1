use serde::Serialize;
use tch::{Kind, Reduction, Tensor};

use super::{
    AttackData, AttackSettings, Curvature,
    pool::{Drawn, NetworkPool},
    upper_level::{Outer, outer_level},
};
use crate::{
    Error,
    bilevel::{
        GaussNewton, Hessian, LinearOperator, NewtonSettings, Solution, Solver, SolverSettings, minimise,
        mixed_product, mixed_product_of, solve,
    },
    data::Images,
    networks::Network,
    parameters::{Graph, Parameters},
    random::{Domain, Purpose, Random},
};

/// Step h of the central differences.
const STEP: f64 = 1e-5;
/// Directions that derivatives are compared along.
const DIRECTIONS: u64 = 2;
/// Relative residual at which the reference solution counts as exact.
const EXACT: f64 = 1e-8;
/// Most Newton steps to solve the lower level again after the poison was moved.
const NEWTON_STEPS: usize = 12;

/// Errors of the hypergradients of one configuration of the attack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// Images in the batch of the lower level.
    pub images: usize,
    /// Poison images among them.
    pub poison: usize,
    /// Parameters of the network.
    pub parameters: usize,
    /// Norm of the upper level's gradient.
    pub outer_gradient: f64,
    /// Relative error of products with the curvature matrix, against central differences of the gradient (for
    /// Gauss–Newton: of the logits).
    pub curvature_error: f64,
    /// Relative error of mixed products, against central differences of the gradient.
    pub mixed_error: f64,
    /// Relative error of the whole hypergradient, against central differences of the upper level for which the lower
    /// level is solved again.
    pub chain_error: f64,
    /// Damping ρ at which `chain_error` was measured.
    pub chain_damping: f64,
    /// Estimate of the Hessian's largest absolute eigenvalue.
    pub largest_eigenvalue: f64,
    /// The linear solve as configured.
    pub solve: SolveCheck,
}

/// A linear solve compared with the exact solution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SolveCheck {
    /// Relative residual ‖A p − b‖ / ‖b‖.
    pub relative_residual: f64,
    /// Iterations made.
    pub iterations: usize,
    /// Whether negative curvature ended it.
    pub negative_curvature: bool,
    /// Relative residuals of the reference solutions: of the same system, and of the system with the Hessian.
    pub reference_residuals: [f64; 2],
    /// The hypergradient of the solve, compared with that of the exact solution of the same system.
    pub same_system: Agreement,
    /// The same compared with the exact solution of the system with the Hessian; absent if that is the same system.
    pub hessian: Option<Agreement>,
}

/// Agreement of a hypergradient with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Norm of the difference over the norm of the reference.
    pub relative_error: f64,
    /// Cosine of the angle between the two.
    pub cosine: f64,
    /// Share of pixels where both have the same sign; a sign step depends on nothing else.
    pub signs: f64,
}

impl Agreement {
    fn between(found: &Parameters, reference: &Parameters) -> Self {
        let norm = reference.norm();
        let same = found.tensors()[0].sign().eq_tensor(&reference.tensors()[0].sign());
        Self {
            relative_error: found.plus(-1.0, reference).norm() / norm,
            cosine: found.dot_value(reference) / (norm * found.norm()),
            signs: same.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]),
        }
    }
}

impl CheckReport {
    /// Whether all three errors of derivatives are below 10⁻³. Finite differences across the kinks of a ReLU network are
    /// no more exact than that.
    pub fn derivatives_hold(&self) -> bool {
        [self.curvature_error, self.mixed_error, self.chain_error].iter().all(|&error| error < 1e-3)
    }
}

/// The losses of one step of the attack in double precision. Noise and the choice of images are drawn once.
struct Step<'a> {
    settings: &'a AttackSettings,
    network: Network,
    drawn: Drawn,
    /// Clean images of the batch; the poison images follow them.
    clean: Tensor,
    validation: Images,
    random: Random,
}

impl Step<'_> {
    fn logits(&self, theta: &Parameters, u: &Parameters) -> Tensor {
        let inputs = self.drawn.inputs(&Tensor::cat(&[&self.clean, &u.tensors()[0]], 0));
        self.network.forward_with(theta, &inputs)
    }

    fn inner(&self, theta: &Parameters, u: &Parameters) -> Tensor {
        let logits = self.drawn.perturbation.by_image(&self.logits(theta, u));
        self.settings.defence().loss(&logits, &self.drawn.labels, Reduction::Mean)
    }

    /// ∂L/∂θ, without graph.
    fn inner_gradient(&self, theta: &Parameters, u: &Parameters) -> Parameters {
        let theta = theta.copy().requires_grad();
        theta.gradient_of(&self.inner(&theta, u), Graph::Free)
    }

    /// The upper level and its gradient.
    fn outer(&self, theta: &Parameters) -> Outer {
        let theta = theta.copy().requires_grad();
        outer_level(&self.network, &theta, &self.validation, self.settings, self.random, 0)
    }

    /// Solves ∂L/∂θ(θ, u) + ρ(θ − θ₀) = ∂L/∂θ(θ₀, u₀) for θ by Newton's method; `at_0` is the right-hand side.
    ///
    /// A network in training is not at a minimum of L. Subtracting the gradient at (θ₀, u₀) makes θ₀ the solution for
    /// u₀, and the damping ρ makes it unique; dθ/du there is that of the damped implicit function theorem.
    fn solve_again(
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

/// Checks the hypergradients of a configuration on one batch, in double precision.
///
/// It compares the derivatives with central differences, among them the whole hypergradient with the lower level solved
/// again, and the linear solve as configured with an exact solution, for which MINRES may make `products` iterations.
/// The batch has `images` images, whatever `settings.batch` says. The network is warmed up as configured; where the lower
/// level is convex it is solved on that batch.
///
/// # Errors
/// [`Error::Setting`] for settings out of range, or if the network gets no validation image right, so that there is no
/// hypergradient; [`Error::Network`].
pub fn check(
    data: AttackData<'_>,
    settings: &AttackSettings,
    images: usize,
    products: usize,
    seed: u64,
) -> Result<CheckReport, Error> {
    let settings = &AttackSettings { batch: images, ..settings.clone() };
    settings.check(data.classes)?;
    let random = Random::new(Domain::Attack, seed);
    let step = prepare(data, settings, random)?;
    let theta = step.network.parameters().copy().requires_grad();
    let device = theta.device();
    let u = Parameters::new(vec![step.drawn.images.narrow(0, step.clean.size()[0], poisoned(&step))])
        .requires_grad();
    let b = step.outer(&theta).gradient;
    if b.norm() == 0.0 {
        let expected = "large enough for the network to get a validation image right";
        return Err(Error::setting("warm_up", expected, &settings.warm_up));
    }
    let direction = |key: u64, like: &Parameters| {
        let parts = like.tensors().iter().zip(0..).map(|(tensor, part)| {
            random.normal(Purpose::Directions, key << 32 | part, &tensor.size(), device).to_kind(Kind::Double)
        });
        let raw = Parameters::new(parts.collect());
        raw.scaled(1.0 / raw.norm())
    };
    let undamped = Hessian::new(&step.inner(&theta, &u), &theta, 0.0);
    let largest = largest_eigenvalue(&undamped, &direction(0, &theta));

    let mut curvature_error = 0.0_f64;
    let mut mixed_error = 0.0_f64;
    for key in 1..=DIRECTIONS {
        let v = direction(key, &theta);
        curvature_error = curvature_error.max(match settings.curvature {
            Curvature::Hessian => {
                let ahead = step.inner_gradient(&theta.plus(STEP, &v), &u);
                let behind = step.inner_gradient(&theta.plus(-STEP, &v), &u);
                relative(&undamped.apply(&v), &ahead.plus(-1.0, &behind).scaled(0.5 / STEP))
            }
            Curvature::GaussNewton => gauss_newton_error(&step, &theta, &u, &v),
        });
        let (p, w) = (direction(DIRECTIONS + key, &theta), direction(2 * DIRECTIONS + key, &u));
        let exact = mixed_product_of(undamped.gradient(), &p, &u, Graph::Keep).dot_value(&w);
        let along = |sign: f64| step.inner_gradient(&theta, &u.plus(sign * STEP, &w)).dot_value(&p);
        let numeric = -(along(1.0) - along(-1.0)) / (2.0 * STEP);
        mixed_error = mixed_error.max((exact - numeric).abs() / numeric.abs().max(1e-300));
    }

    // The whole hypergradient, at a damping that makes the matrix positive definite.
    let chain_damping =
        if settings.is_convex() { settings.damping } else { settings.damping.max(1.5 * largest) };
    let at_0 = undamped.gradient().copy();
    let steep = SolverSettings { solver: Solver::Minres, iterations: products, tolerance: 1e-12, rate: 0.0 };
    let damped = Hessian::new(&step.inner(&theta, &u), &theta, chain_damping);
    let p = solve(&damped, &b, &steep, None).p;
    let hypergradient = mixed_product_of(damped.gradient(), &p, &u, Graph::Keep);
    let mut chain_error = 0.0_f64;
    for key in 1..=DIRECTIONS {
        // Along the hypergradient itself first: a random direction is nearly perpendicular to it.
        let w = if key == 1 {
            hypergradient.scaled(1.0 / hypergradient.norm())
        } else {
            direction(3 * DIRECTIONS + key, &u)
        };
        let along = |sign: f64| {
            let moved = step.solve_again(&theta, &at_0, &u.plus(sign * STEP, &w), chain_damping);
            step.outer(&moved).value.double_value(&[])
        };
        let numeric = (along(1.0) - along(-1.0)) / (2.0 * STEP);
        chain_error = chain_error.max((hypergradient.dot_value(&w) - numeric).abs() / hypergradient.norm());
    }

    let solve = check_solve(&step, &theta, &u, &b, products);
    Ok(CheckReport {
        images,
        poison: poisoned(&step) as usize,
        parameters: theta.len(),
        outer_gradient: b.norm(),
        curvature_error,
        mixed_error,
        chain_error,
        chain_damping,
        largest_eigenvalue: largest,
        solve,
    })
}

fn poisoned(step: &Step<'_>) -> i64 {
    step.drawn.images.size()[0] - step.clean.size()[0]
}

/// A network warmed up as configured, and a batch, in double precision.
fn prepare<'a>(
    data: AttackData<'_>,
    settings: &'a AttackSettings,
    random: Random,
) -> Result<Step<'a>, Error> {
    let poison = data.target.pixels.copy();
    let mut pool = NetworkPool::new(settings, data, &poison, random)?;
    pool.train(0, settings.inner_steps, &poison, None);
    let batch = pool.batch(&poison);
    let single = pool.drawn(0, &batch, &poison);
    let drawn = Drawn {
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
    let mut step = Step { settings, network, drawn, clean, validation, random };
    if settings.is_convex() {
        let u = Parameters::new(vec![step.drawn.images.narrow(0, step.clean.size()[0], poisoned(&step))]);
        let mut theta = step.network.parameters().copy();
        let newton = NewtonSettings { tolerance: 1e-10, steps: 100, products: 500 };
        let damping = 0.5 * settings.damping;
        minimise(&mut theta, &newton, None, |theta| step.inner(theta, &u) + theta.dot(theta) * damping);
        step.network.parameters_mut().assign(&theta);
    }
    Ok(step)
}

fn relative(found: &Parameters, expected: &Parameters) -> f64 {
    found.plus(-1.0, expected).norm() / expected.norm().max(1e-300)
}

/// ‖H‖ by power iteration.
fn largest_eigenvalue(hessian: &Hessian<'_>, start: &Parameters) -> f64 {
    let mut vector = start.copy();
    let mut size = 0.0;
    for _ in 0..30 {
        let product = hessian.apply(&vector);
        size = product.norm();
        if size == 0.0 {
            break;
        }
        vector = product.scaled(1.0 / size);
    }
    size
}

/// Relative error of vᵀ (Jᵀ S J) v, against (J v)ᵀ S (J v) with J v by central differences of the logits and S written
/// out.
fn gauss_newton_error(step: &Step<'_>, theta: &Parameters, u: &Parameters, v: &Parameters) -> f64 {
    let matrix = GaussNewton::new(step.logits(theta, u), theta, 0.0);
    let found = matrix.apply(v).dot_value(v);
    let at = |sign: f64| step.logits(&theta.plus(sign * STEP, v), u).detach();
    let pushed = (at(1.0) - at(-1.0)) / (2.0 * STEP);
    let pi = step.logits(theta, u).detach().softmax(-1, Kind::Double);
    let mean = (&pi * &pushed).sum_dim_intlist([1_i64].as_slice(), true, None::<Kind>);
    let squared = (&pi * (&pushed - mean).square()).sum(Kind::Double).double_value(&[]);
    let expected = squared / pi.size()[0] as f64;
    (found - expected).abs() / expected.abs().max(1e-300)
}

/// Compares the configured solve with the reference solutions.
fn check_solve(
    step: &Step<'_>,
    theta: &Parameters,
    u: &Parameters,
    b: &Parameters,
    products: usize,
) -> SolveCheck {
    let settings = step.settings;
    let as_configured = settings.solver_settings(0);
    let reference =
        SolverSettings { solver: Solver::Minres, iterations: products, tolerance: EXACT, rate: 0.0 };
    let loss = step.inner(theta, u);
    let hessian = Hessian::new(&loss, theta, settings.damping);
    let of = |solution: &Solution| mixed_product(&step.inner(theta, u), theta, &solution.p, u);
    let with_hessian = solve(&hessian, b, &reference, None);
    let (found, same) = match settings.curvature {
        Curvature::Hessian => (solve(&hessian, b, &as_configured, None), None),
        Curvature::GaussNewton => {
            let matrix = GaussNewton::new(step.logits(theta, u), theta, settings.damping);
            (solve(&matrix, b, &as_configured, None), Some(solve(&matrix, b, &reference, None)))
        }
    };
    let hypergradient = of(&found);
    let exact = Agreement::between(&hypergradient, &of(&with_hessian));
    SolveCheck {
        relative_residual: found.residual_value(),
        iterations: found.iterations_value(),
        negative_curvature: found.met_negative_curvature(),
        reference_residuals: [
            same.as_ref().unwrap_or(&with_hessian).residual_value(),
            with_hessian.residual_value(),
        ],
        same_system: same.as_ref().map_or(exact, |same| Agreement::between(&hypergradient, &of(same))),
        hessian: same.is_some().then_some(exact),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        attack::optimise::tests::{data, images, variants},
        attack::{Differentiation, PoisonStep},
    };

    #[test]
    fn the_derivatives_of_every_variant_hold() {
        let data = data();
        // The others differ in what follows the derivatives.
        let names = ["gaussian", "erm", "smoothadv", "macer", "official", "augmented", "convex"];
        for (name, settings) in variants().into_iter().filter(|(name, _)| names.contains(name)) {
            let settings = AttackSettings { warm_up: 200, networks: 1, ..settings };
            let report = check(images(&data), &settings, 30, 40, 3);
            let report = report.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(report.derivatives_hold(), "{name}: {report:?}");
            assert!(report.curvature_error < 1e-6 && report.mixed_error < 1e-5, "{name}: {report:?}");
        }
    }

    #[test]
    fn a_longer_solve_comes_nearer() {
        let data = data();
        let of = |solver_steps| {
            let settings = AttackSettings {
                solver_steps,
                solver_tolerance: 0.0,
                differentiation: Differentiation::Implicit,
                step: PoisonStep::Adam,
                ..variants().remove(0).1
            };
            check(images(&data), &settings, 40, 600, 3).unwrap().solve
        };
        let (short, long) = (of(2), of(400));
        assert!(short.iterations == 2 && short.same_system.relative_error > 1e-3, "{short:?}");
        assert!(long.same_system.relative_error < 1e-4 && long.same_system.cosine > 0.999_999, "{long:?}");
        assert!(long.same_system.signs > 0.99 && long.relative_residual < 1e-6, "{long:?}");
    }
}
