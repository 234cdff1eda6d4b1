//! Hypergradients against what comes from outside: dense solves, closed forms, central differences of the re-solved
//! lower level. All in double precision.

use mithridate_attacker::{
    bilevel::{GaussNewton, Hessian, LinearOperator, Solver, SolverSettings, mixed_product, solve},
    parameters::Parameters,
    random::{Purpose, Random},
};
use tch::{Device, Kind, Tensor};

fn random(shape: &[i64], key: u64) -> Tensor {
    Random::new(17).normal(Purpose::TrainingNoise, key, shape, Device::Cpu).to_kind(Kind::Double)
}

fn one(tensor: Tensor) -> Parameters {
    Parameters::new(vec![tensor])
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).norm().double_value(&[])
}

/// A matrix as a linear map on one tensor.
struct Matrix(Tensor);

impl LinearOperator for Matrix {
    fn apply(&self, vector: &Parameters) -> Parameters {
        one(self.0.mv(&vector.tensors()[0]))
    }
}

/// A symmetric matrix with the eigenvalues given, in random directions.
fn symmetric(eigenvalues: &[f64]) -> Matrix {
    let n = eigenvalues.len() as i64;
    let (q, _) = Tensor::linalg_qr(&random(&[n, n], 3), "reduced");
    let scaled = &q * Tensor::from_slice(eigenvalues);
    Matrix(scaled.matmul(&q.transpose(0, 1)))
}

fn settings(solver: Solver, iterations: usize) -> SolverSettings {
    SolverSettings { solver, iterations, tolerance: 1e-12, rate: 0.02 }
}

#[test]
fn every_solver_agrees_with_a_dense_solve_where_curvature_is_positive() {
    let a = symmetric(&[0.5, 0.8, 1.0, 1.5, 2.0, 3.0]);
    let b = random(&[6], 4);
    let exact = a.0.inverse().mv(&b);
    for (solver, iterations, error) in [
        (Solver::Cg, 6, 1e-10),
        (Solver::NormalCg, 6, 1e-9),
        (Solver::LeastSquaresAdam, 5000, 1e-3),
        (Solver::Neumann, 500, 1e-9),
    ] {
        let solution = solve(&a, &one(b.copy()), &settings(solver, iterations));
        let found = distance(&solution.p.tensors()[0], &exact);
        assert!(found < error, "{solver}: {found}");
        let residual = distance(&a.0.mv(&solution.p.tensors()[0]), &b) / b.norm().double_value(&[]);
        assert!((solution.relative_residual - residual).abs() < 1e-12, "{solver}: residual as stated");
        assert!(!solution.negative_curvature, "{solver}");
    }
}

#[test]
fn indefinite_systems_are_solved_or_said_to_be_indefinite() {
    let a = symmetric(&[-1.0, -0.5, 0.7, 1.0, 2.0, 3.0]);
    let b = random(&[6], 5);
    let exact = a.0.inverse().mv(&b);
    for (solver, iterations, error) in [(Solver::NormalCg, 12, 1e-8), (Solver::LeastSquaresAdam, 8000, 1e-3)]
    {
        let solution = solve(&a, &one(b.copy()), &settings(solver, iterations));
        let found = distance(&solution.p.tensors()[0], &exact);
        assert!(found < error, "{solver}: {found}");
    }
    let solution = solve(&a, &one(b), &settings(Solver::Cg, 50));
    assert!(solution.negative_curvature && solution.p.is_finite());
}

#[test]
fn a_zero_right_hand_side_has_the_solution_zero() {
    let a = symmetric(&[1.0, 2.0]);
    for &solver in Solver::ALL {
        let solution = solve(&a, &one(Tensor::zeros([2], (Kind::Double, Device::Cpu))), &settings(solver, 5));
        assert_eq!((solution.p.norm(), solution.relative_residual), (0.0, 0.0), "{solver}");
    }
}

/// A small network with two layers of parameters; returns the loss.
fn network_loss(theta: &Parameters, x: &Tensor, labels: &Tensor) -> Tensor {
    let [weight, bias, out] = theta.tensors() else { panic!("three tensors") };
    let hidden = (x.matmul(weight) + bias).tanh();
    hidden.matmul(out).log_softmax(-1, Kind::Double).nll_loss(labels)
}

#[test]
fn hessian_products_are_central_differences_of_the_gradient() {
    let theta =
        Parameters::new(vec![random(&[4, 5], 1), random(&[5], 2), random(&[5, 3], 3)]).requires_grad();
    let (x, labels) = (random(&[8, 4], 4), Tensor::from_slice(&[0_i64, 1, 2, 0, 1, 2, 0, 1]));
    let v = Parameters::new(vec![random(&[4, 5], 5), random(&[5], 6), random(&[5, 3], 7)]);
    let damping = 0.3;
    let product = Hessian::new(&network_loss(&theta, &x, &labels), &theta, damping).apply(&v);
    let gradient_at = |step: f64| {
        let moved = theta.plus(step, &v).requires_grad();
        moved.gradient_of(&network_loss(&moved, &x, &labels), false, false)
    };
    let h = 1e-5;
    let numeric = gradient_at(h).plus(-1.0, &gradient_at(-h)).scaled(0.5 / h).plus(damping, &v);
    let error = product.plus(-1.0, &numeric).norm() / product.norm();
    assert!(error < 1e-8, "{error}");
}

#[test]
fn gauss_newton_products_are_those_of_the_matrix_written_out() {
    let theta =
        Parameters::new(vec![random(&[4, 5], 1), random(&[5], 2), random(&[5, 3], 3)]).requires_grad();
    let x = random(&[6, 4], 4);
    let v = Parameters::new(vec![random(&[4, 5], 5), random(&[5], 6), random(&[5, 3], 7)]);
    let [weight, bias, out] = theta.tensors() else { panic!("three tensors") };
    let logits = (x.matmul(weight) + bias).tanh().matmul(out);
    let flat =
        |p: &Parameters| Tensor::cat(&p.tensors().iter().map(|t| t.flatten(0, -1)).collect::<Vec<_>>(), 0);
    let pi = logits.softmax(-1, Kind::Double).detach();
    let mut expected = flat(&v) * 0.3;
    for i in 0..6 {
        let rows: Vec<Tensor> =
            (0..3).map(|k| flat(&theta.gradient_of(&logits.get(i).get(k), true, false))).collect();
        let jacobian = Tensor::stack(&rows, 0);
        let s = Tensor::diag(&pi.get(i), 0) - pi.get(i).outer(&pi.get(i));
        expected += jacobian.transpose(0, 1).mv(&s.mv(&jacobian.mv(&flat(&v)))) / 6.0;
    }
    let product = GaussNewton::new(logits.shallow_clone(), &theta, 0.3).apply(&v);
    assert!(distance(&flat(&product), &expected) < 1e-12);
}

#[test]
fn for_a_linear_network_gauss_newton_is_the_hessian() {
    let theta = Parameters::new(vec![random(&[3, 4], 1)]).requires_grad();
    let (x, labels, v) =
        (random(&[6, 4], 2), Tensor::from_slice(&[0_i64, 2, 1, 1, 0, 2]), one(random(&[3, 4], 3)));
    let logits = x.matmul(&theta.tensors()[0].transpose(0, 1));
    let loss = logits.log_softmax(-1, Kind::Double).nll_loss(&labels);
    let hessian = Hessian::new(&loss, &theta, 0.1).apply(&v);
    let gauss_newton = GaussNewton::new(logits, &theta, 0.1).apply(&v);
    assert!(hessian.plus(-1.0, &gauss_newton).norm() < 1e-12);
}

#[test]
fn mixed_products_of_a_network_are_central_differences() {
    let theta =
        Parameters::new(vec![random(&[4, 5], 1), random(&[5], 2), random(&[5, 3], 3)]).requires_grad();
    let (x, labels) = (random(&[3, 4], 4), Tensor::from_slice(&[0_i64, 1, 2]));
    let p = Parameters::new(vec![random(&[4, 5], 5), random(&[5], 6), random(&[5, 3], 7)]);
    let leaf = x.copy().set_requires_grad(true);
    let exact = mixed_product(&network_loss(&theta, &leaf, &labels), &theta, &p, &leaf);
    // −(∂²L/∂u∂θ)ᵀ p is the change of the gradient along p, so difference pᵀ∂L/∂θ with respect to u.
    let inner = |x: &Tensor| theta.gradient_of(&network_loss(&theta, x, &labels), false, false).dot_value(&p);
    for position in 0..12 {
        let mut unit = vec![0.0; 12];
        unit[position] = 1e-5;
        let step = Tensor::from_slice(&unit).view([3, 4]);
        let numeric = -(inner(&(&x + &step)) - inner(&(&x - &step))) / 2e-5;
        let found = exact.view([-1]).double_value(&[position as i64]);
        assert!((found - numeric).abs() < 1e-8, "{position}: {found} {numeric}");
    }
}

#[test]
fn ridge_mixed_products_have_their_closed_form() {
    // L = ½ Σ (w·xᵢ − yᵢ)² + λ/2 ‖w‖²; with Hp given: −(rᵢ p + (p·xᵢ) w).
    let (x, y, w, p) = (random(&[7, 3], 1), random(&[7], 2), random(&[3], 3), random(&[3], 4));
    let theta = one(w.copy()).requires_grad();
    let leaf = x.copy().set_requires_grad(true);
    let residual = leaf.mv(&theta.tensors()[0]) - &y;
    let loss =
        residual.square().sum(Kind::Double) * 0.5 + theta.tensors()[0].square().sum(Kind::Double) * 0.05;
    let found = mixed_product(&loss, &theta, &one(p.copy()), &leaf);
    let r = (x.mv(&w) - y).unsqueeze(1);
    let expected = -(r * &p + x.mv(&p).unsqueeze(1) * &w);
    assert!(distance(&found, &expected) < 1e-12);
}

#[test]
fn logistic_mixed_products_have_their_closed_form() {
    // L = Σ log(1 + exp(−yᵢ w·xᵢ)), sᵢ = sigmoid(−yᵢ w·xᵢ): yᵢ sᵢ p − sᵢ(1−sᵢ)(p·xᵢ) w.
    let (x, w, p) = (random(&[7, 3], 1), random(&[3], 3), random(&[3], 4));
    let y = Tensor::from_slice(&[1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0]);
    let theta = one(w.copy()).requires_grad();
    let leaf = x.copy().set_requires_grad(true);
    let loss = (-(leaf.mv(&theta.tensors()[0]) * &y)).softplus().sum(Kind::Double);
    let found = mixed_product(&loss, &theta, &one(p.copy()), &leaf);
    let s = (-(x.mv(&w) * &y)).sigmoid();
    let expected = (&y * &s).unsqueeze(1) * &p - (&s - s.square()).unsqueeze(1) * x.mv(&p).unsqueeze(1) * &w;
    assert!(distance(&found, &expected) < 1e-12);
}

#[test]
fn softmax_mixed_products_have_their_closed_form() {
    // Mean cross-entropy over n, W classes × features: −[pᵀ(πᵢ − yᵢ) + Wᵀ(diag πᵢ − πᵢπᵢᵀ)(p xᵢ)] / n.
    let (n, classes) = (6, 3);
    let (x, w, p) = (random(&[n, 4], 1), random(&[classes, 4], 3), random(&[classes, 4], 4));
    let labels = Tensor::from_slice(&[0_i64, 2, 1, 1, 0, 2]);
    let theta = one(w.copy()).requires_grad();
    let leaf = x.copy().set_requires_grad(true);
    let logits = leaf.matmul(&theta.tensors()[0].transpose(0, 1));
    let found =
        mixed_product(&logits.log_softmax(-1, Kind::Double).nll_loss(&labels), &theta, &one(p.copy()), &leaf);
    let pi = x.matmul(&w.transpose(0, 1)).softmax(-1, Kind::Double);
    for i in 0..n {
        let (xi, pi_i) = (x.get(i), pi.get(i));
        let error = &pi_i - labels.get(i).onehot(classes).to_kind(Kind::Double);
        let px = p.mv(&xi);
        let jacobian = &pi_i * &px - &pi_i * pi_i.dot(&px);
        let expected = -(p.transpose(0, 1).mv(&error) + w.transpose(0, 1).mv(&jacobian)) / n as f64;
        assert!(distance(&found.get(i), &expected) < 1e-12, "point {i}");
    }
}

/// Softmax regression with weight decay, solved to the last digit by Newton's method.
fn fit(x: &Tensor, labels: &Tensor) -> Parameters {
    let mut theta = one(Tensor::zeros([3, 4], (Kind::Double, Device::Cpu))).requires_grad();
    for _ in 0..50 {
        let loss = inner_loss(&theta, x, labels);
        let gradient = theta.gradient_of(&loss, true, false);
        if gradient.norm() < 1e-14 {
            break;
        }
        let step = solve(&Hessian::new(&loss, &theta, 0.0), &gradient, &settings(Solver::Cg, 100));
        theta = theta.plus(-1.0, &step.p).requires_grad();
    }
    theta
}

fn inner_loss(theta: &Parameters, x: &Tensor, labels: &Tensor) -> Tensor {
    let w = &theta.tensors()[0];
    x.matmul(&w.transpose(0, 1)).log_softmax(-1, Kind::Double).nll_loss(labels)
        + w.square().sum(Kind::Double) * 0.05
}

#[test]
fn hypergradients_are_central_differences_of_the_solved_lower_level() {
    let (x, labels) = (random(&[9, 4], 1), Tensor::from_slice(&[0_i64, 1, 2, 0, 1, 2, 0, 1, 2]));
    let (validation, wanted) = (random(&[5, 4], 2), Tensor::from_slice(&[2_i64, 1, 0, 0, 1]));
    let outer = |theta: &Parameters| {
        validation.matmul(&theta.tensors()[0].transpose(0, 1)).log_softmax(-1, Kind::Double).nll_loss(&wanted)
    };
    let theta = fit(&x, &labels);
    let gradient = theta.gradient_of(&outer(&theta), false, false);
    let leaf = x.copy().set_requires_grad(true);
    let numeric: Vec<f64> = (0..36)
        .map(|position| {
            let mut unit = vec![0.0; 36];
            unit[position] = 1e-5;
            let step = Tensor::from_slice(&unit).view([9, 4]);
            let at = |x: Tensor| outer(&fit(&x, &labels)).double_value(&[]);
            (at(&x + &step) - at(&x - &step)) / 2e-5
        })
        .collect();
    let numeric = Tensor::from_slice(&numeric).view([9, 4]);
    for (solver, iterations, error) in [
        (Solver::Cg, 40, 1e-7),
        (Solver::NormalCg, 60, 1e-7),
        (Solver::Neumann, 2000, 1e-7),
        (Solver::LeastSquaresAdam, 4000, 1e-3),
    ] {
        let hessian = Hessian::new(&inner_loss(&theta, &x, &labels), &theta, 0.0);
        let p = solve(&hessian, &gradient, &settings(solver, iterations)).p;
        let exact = mixed_product(&inner_loss(&theta, &leaf, &labels), &theta, &p, &leaf);
        let found = distance(&exact, &numeric) / numeric.norm().double_value(&[]);
        assert!(found < error, "{solver}: relative error {found}");
    }
}
