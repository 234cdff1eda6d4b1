//! Hypergradients against what comes from outside: closed forms, central differences of the re-solved
//! lower level. All in double precision.

#![allow(clippy::unwrap_used)]

use mithridate_attacker::{
    bilevel::{
        BilevelProblem, Hessian, HypergradientMethod, NewtonSettings, Solver, SolverSettings, Unrolling,
        hypergradient, minimise, mixed_product,
    },
    parameters::{Graph, Parameters},
    random::{Domain, Purpose, Random},
};
use tch::{Device, Kind, Tensor};

fn random(shape: &[i64], key: u64) -> Tensor {
    Random::new(Domain::Data, 17).normal(Purpose::Directions, key, shape, Device::Cpu).to_kind(Kind::Double)
}

fn one(tensor: Tensor) -> Parameters {
    Parameters::new(vec![tensor])
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).norm().double_value(&[])
}

fn settings(solver: Solver, iterations: usize) -> SolverSettings {
    SolverSettings { solver, iterations, tolerance: 1e-12, rate: 0.02 }
}

/// A small network with two layers of parameters; returns the loss.
fn network_loss(theta: &Parameters, x: &Tensor, labels: &Tensor) -> Tensor {
    let [weight, bias, out] = theta.tensors() else { panic!("three tensors") };
    let hidden = (x.matmul(weight) + bias).tanh();
    hidden.matmul(out).log_softmax(-1, Kind::Double).nll_loss(labels)
}

#[test]
fn mixed_products_of_a_network_are_central_differences() {
    let theta =
        Parameters::new(vec![random(&[4, 5], 1), random(&[5], 2), random(&[5, 3], 3)]).requires_grad();
    let (x, labels) = (random(&[3, 4], 4), Tensor::from_slice(&[0_i64, 1, 2]));
    let p = Parameters::new(vec![random(&[4, 5], 5), random(&[5], 6), random(&[5, 3], 7)]);
    let leaf = one(x.copy()).requires_grad();
    let exact = mixed_product(&network_loss(&theta, &leaf.tensors()[0], &labels), &theta, &p, &leaf);
    // −(∂²L/∂u∂θ)ᵀ p is the change of the gradient along p, so difference pᵀ∂L/∂θ with respect to u.
    let inner = |x: &Tensor| theta.gradient_of(&network_loss(&theta, x, &labels), Graph::Free).dot_value(&p);
    for position in 0..12 {
        let mut unit = vec![0.0; 12];
        unit[position] = 1e-5;
        let step = Tensor::from_slice(&unit).view([3, 4]);
        let numeric = -(inner(&(&x + &step)) - inner(&(&x - &step))) / 2e-5;
        let found = exact.tensors()[0].view([-1]).double_value(&[position as i64]);
        assert!((found - numeric).abs() < 1e-8, "{position}: {found} {numeric}");
    }
}

#[test]
fn ridge_mixed_products_have_their_closed_form() {
    // L = ½ Σ (w·xᵢ − yᵢ)² + λ/2 ‖w‖²; with Hp given: −(rᵢ p + (p·xᵢ) w).
    let (x, y, w, p) = (random(&[7, 3], 1), random(&[7], 2), random(&[3], 3), random(&[3], 4));
    let theta = one(w.copy()).requires_grad();
    let leaf = one(x.copy()).requires_grad();
    let residual = leaf.tensors()[0].mv(&theta.tensors()[0]) - &y;
    let loss =
        residual.square().sum(Kind::Double) * 0.5 + theta.tensors()[0].square().sum(Kind::Double) * 0.05;
    let found = mixed_product(&loss, &theta, &one(p.copy()), &leaf);
    let r = (x.mv(&w) - y).unsqueeze(1);
    let expected = -(r * &p + x.mv(&p).unsqueeze(1) * &w);
    assert!(distance(&found.tensors()[0], &expected) < 1e-12);
}

#[test]
fn logistic_mixed_products_have_their_closed_form() {
    // L = Σ log(1 + exp(−yᵢ w·xᵢ)), sᵢ = sigmoid(−yᵢ w·xᵢ): yᵢ sᵢ p − sᵢ(1−sᵢ)(p·xᵢ) w.
    let (x, w, p) = (random(&[7, 3], 1), random(&[3], 3), random(&[3], 4));
    let y = Tensor::from_slice(&[1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0]);
    let theta = one(w.copy()).requires_grad();
    let leaf = one(x.copy()).requires_grad();
    let loss = (-(leaf.tensors()[0].mv(&theta.tensors()[0]) * &y)).softplus().sum(Kind::Double);
    let found = mixed_product(&loss, &theta, &one(p.copy()), &leaf);
    let s = (-(x.mv(&w) * &y)).sigmoid();
    let expected = (&y * &s).unsqueeze(1) * &p - (&s - s.square()).unsqueeze(1) * x.mv(&p).unsqueeze(1) * &w;
    assert!(distance(&found.tensors()[0], &expected) < 1e-12);
}

#[test]
fn softmax_mixed_products_have_their_closed_form() {
    // Mean cross-entropy over n, W classes × features: −[pᵀ(πᵢ − yᵢ) + Wᵀ(diag πᵢ − πᵢπᵢᵀ)(p xᵢ)] / n.
    let (n, classes) = (6, 3);
    let (x, w, p) = (random(&[n, 4], 1), random(&[classes, 4], 3), random(&[classes, 4], 4));
    let labels = Tensor::from_slice(&[0_i64, 2, 1, 1, 0, 2]);
    let theta = one(w.copy()).requires_grad();
    let leaf = one(x.copy()).requires_grad();
    let logits = leaf.tensors()[0].matmul(&theta.tensors()[0].transpose(0, 1));
    let found =
        mixed_product(&logits.log_softmax(-1, Kind::Double).nll_loss(&labels), &theta, &one(p.copy()), &leaf);
    let pi = x.matmul(&w.transpose(0, 1)).softmax(-1, Kind::Double);
    for i in 0..n {
        let (xi, pi_i) = (x.get(i), pi.get(i));
        let error = &pi_i - labels.get(i).onehot(classes).to_kind(Kind::Double);
        let px = p.mv(&xi);
        let jacobian = &pi_i * &px - &pi_i * pi_i.dot(&px);
        let expected = -(p.transpose(0, 1).mv(&error) + w.transpose(0, 1).mv(&jacobian)) / n as f64;
        assert!(distance(&found.tensors()[0].get(i), &expected) < 1e-12, "point {i}");
    }
}

/// Softmax regression with weight decay on movable points, judged on others.
struct Regression {
    labels: Tensor,
    validation: Tensor,
    wanted: Tensor,
}

impl BilevelProblem for Regression {
    fn outer_loss(&self, theta: &Parameters, _: &Parameters) -> Tensor {
        let logits = self.validation.matmul(&theta.tensors()[0].transpose(0, 1));
        logits.log_softmax(-1, Kind::Double).nll_loss(&self.wanted)
    }

    fn inner_loss(&self, theta: &Parameters, x: &Parameters) -> Tensor {
        let w = &theta.tensors()[0];
        let logits = x.tensors()[0].matmul(&w.transpose(0, 1));
        logits.log_softmax(-1, Kind::Double).nll_loss(&self.labels) + w.square().sum(Kind::Double) * 0.05
    }
}

fn regression() -> (Regression, Parameters) {
    let problem = Regression {
        labels: Tensor::from_slice(&[0_i64, 1, 2, 0, 1, 2, 0, 1, 2]),
        validation: random(&[5, 4], 2),
        wanted: Tensor::from_slice(&[2_i64, 1, 0, 0, 1]),
    };
    (problem, one(random(&[9, 4], 1)))
}

/// The lower level, solved to the last digit.
fn fit(problem: &Regression, x: &Parameters) -> Parameters {
    let mut theta = one(Tensor::zeros([3, 4], (Kind::Double, Device::Cpu)));
    let settings = NewtonSettings { tolerance: 0.0, steps: 60, products: 100 };
    minimise(&mut theta, &settings, Some(1e-14), |theta| problem.inner_loss(theta, x));
    theta
}

#[test]
fn hypergradients_are_central_differences_of_the_solved_lower_level() {
    let (problem, x) = regression();
    let theta = fit(&problem, &x);
    let numeric: Vec<f64> = (0..36)
        .map(|position| {
            let mut unit = vec![0.0; 36];
            unit[position] = 1e-5;
            let step = Tensor::from_slice(&unit).view([9, 4]);
            let at = |x: Tensor| {
                problem.outer_loss(&fit(&problem, &one(x)), &one(random(&[1], 1))).double_value(&[])
            };
            (at(&x.tensors()[0] + &step) - at(&x.tensors()[0] - &step)) / 2e-5
        })
        .collect();
    let numeric = Tensor::from_slice(&numeric).view([9, 4]);
    for (solver, iterations, error) in [
        (Solver::Cg, 40, 1e-7),
        (Solver::NormalCg, 60, 1e-7),
        (Solver::Minres, 40, 1e-7),
        (Solver::Neumann, 2000, 1e-7),
        (Solver::LeastSquaresAdam, 4000, 1e-3),
    ] {
        let method = HypergradientMethod::Implicit { solver: settings(solver, iterations), damping: 0.0 };
        let found = hypergradient(&problem, &theta, &x, &method, None).gradient;
        let error_found = distance(&found.tensors()[0], &numeric) / numeric.norm().double_value(&[]);
        assert!(error_found < error, "{solver}: relative error {error_found}");
    }
    let method = HypergradientMethod::Unrolled(Unrolling { steps: 2000, rate: 0.3 });
    let found = hypergradient(&problem, &theta, &x, &method, None);
    let error_found = distance(&found.gradient.tensors()[0], &numeric) / numeric.norm().double_value(&[]);
    assert!(error_found < 1e-6, "unrolled: relative error {error_found}");
}

/// At the minimum, K unrolled steps are K terms of the Neumann series.
#[test]
fn unrolled_steps_at_the_minimum_are_a_truncated_neumann_series() {
    let (problem, x) = regression();
    let theta = fit(&problem, &x).requires_grad();
    let rate = 0.2;
    let b = theta.gradient_of(&problem.outer_loss(&theta, &x), Graph::Free);
    let leaf = x.copy().requires_grad();
    for steps in [0, 1, 3, 10] {
        let (mut p, mut term) = (b.zeros_like(), b.scaled(rate));
        for _ in 0..steps {
            p.add_scaled(1.0, &term);
            let product = mithridate_attacker::bilevel::LinearOperator::apply(
                &Hessian::new(&problem.inner_loss(&theta, &x), &theta, 0.0),
                &term,
            );
            term.add_scaled(-rate, &product);
        }
        let expected = mixed_product(&problem.inner_loss(&theta, &leaf), &theta, &p, &leaf);
        let method = HypergradientMethod::Unrolled(Unrolling { steps, rate });
        let found = hypergradient(&problem, &theta, &x, &method, None);
        assert!(found.gradient.plus(-1.0, &expected).norm() < 1e-12, "{steps} steps");
        // What is left of ∂F/∂θ is (I − ηH)ᴷ of it, which is what the next term is, over η.
        let left = term.norm() / rate / b.norm();
        assert!((found.relative_residual - left).abs() < 1e-12, "{steps} steps");
    }
}

/// Unrolled steps away from a minimum, against central differences of the steps themselves.
#[test]
fn unrolled_steps_are_central_differences_of_the_steps() {
    let (problem, x) = regression();
    let start = one(random(&[3, 4], 9));
    let unrolling = Unrolling { steps: 5, rate: 0.4 };
    let after = |x: &Parameters| {
        let mut theta = start.copy();
        for _ in 0..unrolling.steps {
            let leaf = theta.copy().requires_grad();
            let gradient = leaf.gradient_of(&problem.inner_loss(&leaf, x), Graph::Free);
            theta.add_scaled(-unrolling.rate, &gradient);
        }
        problem.outer_loss(&theta, x).double_value(&[])
    };
    let method = HypergradientMethod::Unrolled(unrolling);
    let exact = hypergradient(&problem, &start, &x, &method, None).gradient;
    for key in 0..4 {
        let direction = one(random(&[9, 4], 20 + key));
        let numeric = (after(&x.plus(1e-5, &direction)) - after(&x.plus(-1e-5, &direction))) / 2e-5;
        assert!((exact.dot_value(&direction) - numeric).abs() < 1e-9, "{key}");
    }
}
