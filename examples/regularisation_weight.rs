//! A bilevel problem that is not poisoning: the weight decay of a logistic regression, chosen by gradient descent on the
//! validation loss instead of by a grid (Pedregosa, *Hyperparameter optimization with approximate gradient*, 2016).
//!
//! ```sh
//! cargo run --release -p mithridate-attacker --example regularisation-weight
//! ```

use mithridate_attacker::{
    bilevel::{
        BilevelProblem, DescentSettings, HypergradientMethod, NewtonSettings, Solver, SolverSettings,
        descend, minimise,
    },
    parameters::Parameters,
    random::{Domain, Purpose, Random},
};
use tch::{Device, Kind, Tensor};

/// Points N×D with labels ±1, and the logistic loss of a linear classifier on them.
struct Data {
    points: Tensor,
    labels: Tensor,
}

impl Data {
    /// Few points in many dimensions, of which only the first three matter, with a tenth of the labels wrong: without
    /// regularisation a classifier fits the noise.
    fn new(random: Random, key: u64, count: i64) -> Self {
        let points = random.normal(Purpose::Points, key, &[count, 40], Device::Cpu).to_kind(Kind::Double);
        let truth = points.narrow(1, 0, 3).sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>).sign();
        let wrong = random.uniform(Purpose::Points, key + 1, &[count], 1.0).lt(-0.8).to_kind(Kind::Double);
        Self { points, labels: truth * (1.0 - wrong * 2.0) }
    }

    fn loss(&self, weights: &Tensor) -> Tensor {
        (-(self.points.mv(weights) * &self.labels)).softplus().mean(Kind::Double)
    }
}

/// Upper level: the loss on validation points. Lower level: that on training points plus e^u/2·‖w‖².
struct WeightDecay {
    training: Data,
    validation: Data,
}

impl BilevelProblem for WeightDecay {
    fn outer_loss(&self, w: &Parameters, _: &Parameters) -> Tensor {
        self.validation.loss(&w.tensors()[0])
    }

    fn inner_loss(&self, w: &Parameters, u: &Parameters) -> Tensor {
        let w = &w.tensors()[0];
        self.training.loss(w) + u.tensors()[0].exp() * w.dot(w) * 0.5
    }
}

fn main() -> Result<(), mithridate_attacker::Error> {
    let random = Random::new(Domain::Data, 1);
    let problem = WeightDecay { training: Data::new(random, 0, 80), validation: Data::new(random, 10, 80) };
    let start = || Parameters::new(vec![Tensor::zeros([40], (Kind::Double, Device::Cpu))]);
    let newton = NewtonSettings { tolerance: 1e-9, steps: 100, products: 40 };

    let mut weights = start();
    let mut u = Parameters::new(vec![Tensor::from(-6.0)]);
    let solver = SolverSettings { solver: Solver::Cg, iterations: 40, tolerance: 0.0, rate: 0.0 };
    let settings = DescentSettings {
        steps: 60,
        rate: 10.0,
        method: HypergradientMethod::Implicit { solver, damping: 0.0 },
        newton,
        tolerance: 1e-3,
        tolerance_factor: 0.9,
    };
    let steps = descend(&problem, &mut weights, &mut u, &settings, |u| {
        let _ = u.tensors_mut()[0].clamp_(-12.0, 6.0);
    })?;
    for (number, step) in steps.iter().enumerate().step_by(10) {
        println!(
            "step {number:>2}: validation loss {:.6}, its gradient {:.2e}",
            step.outer_loss, step.gradient_norm
        );
    }
    let found = u.tensors()[0].double_value(&[]);
    println!("weight decay found by descent: e^{found:.2} = {:.4}", found.exp());

    // The same by brute force, to see that it is true.
    let best = (-60..=20)
        .map(|tenth| {
            let (mut w, exponent) = (start(), 0.1 * f64::from(tenth));
            let u = Parameters::new(vec![Tensor::from(exponent)]);
            minimise(&mut w, &newton, None, |w| problem.inner_loss(w, &u));
            (problem.outer_loss(&w, &u).double_value(&[]), exponent)
        })
        .min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((loss, exponent)) = best {
        println!(
            "best of a grid of 81:          e^{exponent:.2} = {:.4}, validation loss {loss:.6}",
            exponent.exp()
        );
        assert!((found - exponent).abs() < 0.1, "descent and grid agree");
    }
    Ok(())
}
