//! Bilevel problems with known solutions, descended from start to end. All in double precision.

#![allow(clippy::unwrap_used)]

use mithridate_attacker::{
    bilevel::{
        BilevelProblem, DescentSettings, HypergradientMethod, NewtonSettings, Solver, SolverSettings,
        Unrolling, descend,
    },
    parameters::Parameters,
};
use tch::Tensor;

fn number(value: f64) -> Parameters {
    Parameters::new(vec![Tensor::from(value)])
}

fn value(parameters: &Parameters) -> f64 {
    parameters.tensors()[0].double_value(&[])
}

/// min over u of f(u, v), v = argmin of g(u, v), for single numbers.
struct Numbers {
    f: fn(&Tensor, &Tensor) -> Tensor,
    g: fn(&Tensor, &Tensor) -> Tensor,
}

impl BilevelProblem for Numbers {
    fn outer_loss(&self, v: &Parameters, u: &Parameters) -> Tensor {
        (self.f)(&u.tensors()[0], &v.tensors()[0])
    }

    fn inner_loss(&self, v: &Parameters, u: &Parameters) -> Tensor {
        (self.g)(&u.tensors()[0], &v.tensors()[0])
    }
}

fn methods() -> Vec<(String, HypergradientMethod)> {
    let mut methods: Vec<(String, HypergradientMethod)> = Solver::ALL
        .iter()
        .map(|&solver| {
            let iterations = if solver == Solver::LeastSquaresAdam { 3000 } else { 200 };
            let solver_settings = SolverSettings { solver, iterations, tolerance: 0.0, rate: 0.05 };
            (solver.to_string(), HypergradientMethod::Implicit { solver: solver_settings, damping: 0.0 })
        })
        .collect();
    methods.push(("unrolled".into(), HypergradientMethod::Unrolled(Unrolling { steps: 60, rate: 0.2 })));
    methods
}

fn solved(problem: &Numbers, method: HypergradientMethod) -> (f64, f64) {
    let (mut v, mut u) = (number(-1.5), number(2.0));
    let settings = DescentSettings {
        steps: 120,
        rate: 0.1,
        method,
        newton: NewtonSettings { tolerance: 0.0, steps: 20, products: 5 },
        tolerance: 1e-3,
        tolerance_factor: 0.9,
    };
    descend(problem, &mut v, &mut u, &settings, |_| ()).unwrap();
    (value(&u), value(&v))
}

#[test]
fn the_sum_of_squares_over_a_line_ends_in_the_middle() {
    // f = u² + v² − 1 over g = (1 − u − v)²: v = 1 − u, so the minimum is at (½, ½).
    let problem = Numbers { f: |u, v| u.square() + v.square() - 1.0, g: |u, v| (1.0_f64 - u - v).square() };
    for (name, method) in methods() {
        let (u, v) = solved(&problem, method);
        assert!((u - 0.5).abs() < 1e-4 && (v - 0.5).abs() < 1e-4, "{name}: ({u}, {v})");
    }
}

#[test]
fn a_saddle_over_a_diagonal_ends_in_the_origin() {
    // f = v² − (u − v)² over g = (u − v)²: v = u, so f = u² there and the minimum is at (0, 0).
    let problem = Numbers { f: |u, v| v.square() - (u - v).square(), g: |u, v| (u - v).square() };
    for (name, method) in methods() {
        let (u, v) = solved(&problem, method);
        assert!(u.abs() < 1e-4 && v.abs() < 1e-4, "{name}: ({u}, {v})");
    }
}

#[test]
fn a_lower_level_without_a_minimum_is_an_error() {
    let problem = Numbers { f: |u, v| u.square() + v, g: |_, v| -v.exp() };
    let (name, method) = methods().remove(0);
    let settings = DescentSettings {
        steps: 3,
        rate: 0.1,
        method,
        newton: NewtonSettings { tolerance: 0.0, steps: 10, products: 5 },
        tolerance: 1e-9,
        tolerance_factor: 0.9,
    };
    let error = descend(&problem, &mut number(0.0), &mut number(1.0), &settings, |_| ()).unwrap_err();
    assert!(
        error.to_string().starts_with("the lower level could not be solved in step 0"),
        "{name}: {error}"
    );
}
