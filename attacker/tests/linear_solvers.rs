//! Linear solvers and products with the curvature, against dense algebra. All in double precision.

#![allow(clippy::unwrap_used)]

use mithridate_attacker::{
    bilevel::{GaussNewton, Hessian, LinearOperator, Solver, SolverSettings, WarmStart, solve},
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
        (Solver::Minres, 6, 1e-10),
        (Solver::LeastSquaresAdam, 5000, 1e-3),
        (Solver::Neumann, 500, 1e-9),
    ] {
        let solution = solve(&a, &one(b.copy()), &settings(solver, iterations), None);
        let found = distance(&solution.p.tensors()[0], &exact);
        assert!(found < error, "{solver}: {found}");
        let residual = distance(&a.0.mv(&solution.p.tensors()[0]), &b) / b.norm().double_value(&[]);
        assert!((solution.residual_value() - residual).abs() < 1e-12, "{solver}: residual as stated");
        assert!(!solution.met_negative_curvature(), "{solver}");
        let made = solution.iterations_value();
        assert!(made > 0 && made <= iterations, "{solver}: {made} iterations");
    }
}

#[test]
fn indefinite_systems_are_solved_or_said_to_be_indefinite() {
    let a = symmetric(&[-1.0, -0.5, 0.7, 1.0, 2.0, 3.0]);
    let b = random(&[6], 5);
    let exact = a.0.inverse().mv(&b);
    for (solver, iterations, error) in
        [(Solver::NormalCg, 12, 1e-8), (Solver::Minres, 6, 1e-9), (Solver::LeastSquaresAdam, 8000, 1e-3)]
    {
        let solution = solve(&a, &one(b.copy()), &settings(solver, iterations), None);
        let found = distance(&solution.p.tensors()[0], &exact);
        assert!(found < error, "{solver}: {found}");
    }
    let solution = solve(&a, &one(b), &settings(Solver::Cg, 50), None);
    assert!(solution.met_negative_curvature() && solution.p.is_finite());
}

/// The k-th iterate of MINRES is the best in the k-dimensional Krylov space, here found by dense least squares.
#[test]
fn minres_has_the_smallest_residual_in_the_krylov_space() {
    let a = symmetric(&[-2.0, -0.3, 0.1, 0.9, 2.0, 5.0, 7.0]);
    let b = random(&[7], 6);
    let size = b.norm().double_value(&[]);
    let mut basis = vec![b.copy()];
    for k in 1..=5 {
        let products: Vec<Tensor> = basis.iter().map(|v| a.0.mv(v)).collect();
        let columns = Tensor::stack(&products, 1);
        let (coefficients, ..) = columns.linalg_lstsq(&b.unsqueeze(1), None, "gelsd");
        let best = distance(&columns.matmul(&coefficients).squeeze_dim(1), &b) / size;
        let found = solve(&a, &one(b.copy()), &settings(Solver::Minres, k), None).residual_value();
        assert!((found - best).abs() < 1e-9, "{k}: {found} {best}");
        basis.push(a.0.mv(basis.last().unwrap()));
    }
}

#[test]
fn a_singular_system_is_survived() {
    let a = symmetric(&[0.0, 0.0, 1.0]);
    let b = random(&[3], 8);
    for &solver in Solver::ALL {
        let solution = solve(&a, &one(b.copy()), &settings(solver, 20), None);
        assert!(solution.p.is_finite(), "{solver}");
        // Only conjugate gradients and Neumann's series don't look at the residual.
        let watched = !matches!(solver, Solver::Cg | Solver::Neumann);
        assert!(
            solution.p.norm() < 100.0 && (!watched || solution.residual_value() <= 1.0 + 1e-9),
            "{solver}"
        );
    }
}

#[test]
fn a_zero_right_hand_side_has_the_solution_zero() {
    let a = symmetric(&[1.0, 2.0]);
    for &solver in Solver::ALL {
        let zero = one(Tensor::zeros([2], (Kind::Double, Device::Cpu)));
        let solution = solve(&a, &zero, &settings(solver, 5), None);
        assert_eq!((solution.p.norm(), solution.residual_value()), (0.0, 0.0), "{solver}");
    }
}

#[test]
fn what_is_not_a_number_is_found_in_the_solution_and_not_hidden() {
    let a = Matrix(Tensor::from_slice(&[f64::NAN, 0.0, 0.0, 1.0]).view([2, 2]));
    for &solver in Solver::ALL {
        let solution = solve(&a, &one(random(&[2], 1)), &settings(solver, 5), None);
        let useful = solution.p.is_finite() && solution.residual_value() < 1.0;
        assert!(!useful, "{solver}");
    }
}

#[test]
fn a_warm_start_leads_to_the_same_solution_in_fewer_iterations() {
    let a = symmetric(&(1..=40).map(|i| 0.1 * f64::from(i)).collect::<Vec<_>>());
    let b = random(&[40], 4);
    let exact = a.0.inverse().mv(&b);
    for (solver, tolerance) in
        [(Solver::Cg, 1e-6), (Solver::NormalCg, 1e-6), (Solver::Minres, 1e-6), (Solver::Neumann, 1e-6)]
    {
        let settings = SolverSettings { tolerance, ..settings(solver, 5000) };
        let cold = solve(&a, &one(b.copy()), &settings, None);
        let near = &exact + random(&[40], 9) * 1e-4;
        let warm = solve(&a, &one(b.copy()), &settings, Some(WarmStart { p: one(near), adam: None }));
        assert!(warm.iterations_value() < cold.iterations_value(), "{solver}");
        // Neumann looks at its terms, not at the residual.
        assert!(warm.residual_value() < 1e-4, "{solver}: {}", warm.residual_value());
    }
    // Adam goes on where it was: twice 500 steps end lower than the first 500.
    let settings = settings(Solver::LeastSquaresAdam, 500);
    let first = solve(&a, &one(b.copy()), &settings, None);
    let before = first.residual_value();
    let start = WarmStart { p: first.p, adam: first.adam };
    let second = solve(&a, &one(b), &settings, Some(start));
    assert!(second.residual_value() < before, "{} {before}", second.residual_value());
    assert_eq!(second.adam.unwrap().steps(), 1000);
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
        moved.gradient_of(&network_loss(&moved, &x, &labels), Graph::Free)
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
            (0..3).map(|k| flat(&theta.gradient_of(&logits.get(i).get(k), Graph::Keep))).collect();
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
