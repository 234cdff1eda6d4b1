use tch::Kind;

use super::{AttackData, AttackSettings, Curvature};
use crate::{
    Error,
    bilevel::{
        GaussNewton, Hessian, LinearOperator, Solution, Solver, SolverSettings, mixed_product,
        mixed_product_of, solve,
    },
    parameters::{Graph, Parameters},
    random::{Domain, Purpose, Random},
};

mod losses;
mod report;

use losses::{BatchLosses, prepare};
pub use report::{Agreement, CheckReport, SolveCheck};

/// Step h of the central differences.
const STEP: f64 = 1e-5;
/// Number of directions along which derivatives are compared.
const DIRECTIONS: u64 = 2;
/// Relative residual at which the reference solution counts as exact.
const EXACT: f64 = 1e-8;

/// Checks the hypergradients that `settings` give on one batch, in double precision.
///
/// Derivatives are compared with central differences: products with the curvature, mixed products, and the whole
/// hypergradient, for which the lower level is solved again. The linear solve of `settings` is compared with an exact
/// solution, for which MINRES may make `products` iterations.
///
/// The batch has `images` images; `settings.batch` is not used. The network is warmed up by `settings`; a convex lower
/// level is solved on that batch. `seed` is the seed of all random numbers.
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
    let losses = prepare(data, settings, random)?;
    let theta = losses.network.parameters().copy().requires_grad();
    let device = theta.device();
    let u = Parameters::new(vec![losses.drawn.images.narrow(0, losses.clean.size()[0], losses.poisoned())])
        .requires_grad();
    let b = losses.outer(&theta).gradient;
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
    let undamped = Hessian::new(&losses.inner(&theta, &u), &theta, 0.0);
    let largest = largest_eigenvalue(&undamped, &direction(0, &theta));

    let mut curvature_error = 0.0_f64;
    let mut mixed_error = 0.0_f64;
    for key in 1..=DIRECTIONS {
        let v = direction(key, &theta);
        curvature_error = curvature_error.max(match settings.curvature {
            Curvature::Hessian => {
                let ahead = losses.inner_gradient(&theta.plus(STEP, &v), &u);
                let behind = losses.inner_gradient(&theta.plus(-STEP, &v), &u);
                relative(&undamped.apply(&v), &ahead.plus(-1.0, &behind).scaled(0.5 / STEP))
            }
            Curvature::GaussNewton => gauss_newton_error(&losses, &theta, &u, &v),
        });
        let (p, w) = (direction(DIRECTIONS + key, &theta), direction(2 * DIRECTIONS + key, &u));
        let exact = mixed_product_of(undamped.gradient(), &p, &u, Graph::Keep).dot_value(&w);
        let along = |sign: f64| losses.inner_gradient(&theta, &u.plus(sign * STEP, &w)).dot_value(&p);
        let numeric = -(along(1.0) - along(-1.0)) / (2.0 * STEP);
        mixed_error = mixed_error.max((exact - numeric).abs() / numeric.abs().max(1e-300));
    }

    // The whole hypergradient, at a damping that makes the matrix positive definite.
    let chain_damping =
        if settings.is_convex() { settings.damping } else { settings.damping.max(1.5 * largest) };
    let at_0 = undamped.gradient().copy();
    let steep = SolverSettings { solver: Solver::Minres, iterations: products, tolerance: 1e-12, rate: 0.0 };
    let damped = Hessian::new(&losses.inner(&theta, &u), &theta, chain_damping);
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
            let moved = losses.solve_again(&theta, &at_0, &u.plus(sign * STEP, &w), chain_damping);
            losses.outer(&moved).value.double_value(&[])
        };
        let numeric = (along(1.0) - along(-1.0)) / (2.0 * STEP);
        chain_error = chain_error.max((hypergradient.dot_value(&w) - numeric).abs() / hypergradient.norm());
    }

    let solve = check_solve(&losses, &theta, &u, &b, products);
    Ok(CheckReport {
        images,
        poison: losses.poisoned() as usize,
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
fn gauss_newton_error(losses: &BatchLosses<'_>, theta: &Parameters, u: &Parameters, v: &Parameters) -> f64 {
    let matrix = GaussNewton::new(losses.logits(theta, u), theta, 0.0);
    let found = matrix.apply(v).dot_value(v);
    let at = |sign: f64| losses.logits(&theta.plus(sign * STEP, v), u).detach();
    let pushed = (at(1.0) - at(-1.0)) / (2.0 * STEP);
    let pi = losses.logits(theta, u).detach().softmax(-1, Kind::Double);
    let mean = (&pi * &pushed).sum_dim_intlist([1_i64].as_slice(), true, None::<Kind>);
    let squared = (&pi * (&pushed - mean).square()).sum(Kind::Double).double_value(&[]);
    let expected = squared / pi.size()[0] as f64;
    (found - expected).abs() / expected.abs().max(1e-300)
}

/// Compares the linear solve of the settings with the reference solutions, at the right-hand side `b`.
fn check_solve(
    losses: &BatchLosses<'_>,
    theta: &Parameters,
    u: &Parameters,
    b: &Parameters,
    products: usize,
) -> SolveCheck {
    let settings = losses.settings;
    let as_configured = settings.solver_settings(0);
    let reference =
        SolverSettings { solver: Solver::Minres, iterations: products, tolerance: EXACT, rate: 0.0 };
    let loss = losses.inner(theta, u);
    let hessian = Hessian::new(&loss, theta, settings.damping);
    let of = |solution: &Solution| mixed_product(&losses.inner(theta, u), theta, &solution.p, u);
    let with_hessian = solve(&hessian, b, &reference, None);
    let (found, same) = match settings.curvature {
        Curvature::Hessian => (solve(&hessian, b, &as_configured, None), None),
        Curvature::GaussNewton => {
            let matrix = GaussNewton::new(losses.logits(theta, u), theta, settings.damping);
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
