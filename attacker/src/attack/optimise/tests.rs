use tch::{Device, Kind};

use super::*;
use crate::{
    attack::{Curvature, Differentiation, Objective, PoisonStep},
    data::Images,
    networks::Architecture,
    parameters::{Graph, Parameters},
    training::Method,
};

pub(in crate::attack) fn data() -> [Images; 3] {
    let random = Random::new(Domain::Data, 21);
    let make = |count: i64, brightness: f64, label: i64, key: u64| {
        let noise = random.normal(Purpose::Points, key, &[count, 1, 4, 4], Device::Cpu);
        Images {
            pixels: (noise * 0.2 + brightness).clamp(0.0, 1.0),
            labels: Tensor::full([count], label, (Kind::Int64, Device::Cpu)),
        }
    };
    [make(80, 0.3, 0, 0), make(20, 0.6, 1, 1), make(30, 0.6, 1, 2)]
}

pub(in crate::attack) fn images(data: &[Images; 3]) -> AttackData<'_> {
    let [clean, target, validation] = data;
    AttackData { clean, target, validation, classes: 3 }
}

fn settings() -> AttackSettings {
    let mut settings = AttackSettings {
        target_classes: vec![1],
        network: Architecture::Mlp,
        steps: 6,
        inner_steps: 3,
        batch: 40,
        batch_share: 0.2,
        validation_batch: 10,
        validation_noises: 4,
        warm_up: 40,
        networks: 2,
        renew_every: Some(2),
        ..AttackSettings::default()
    };
    settings.macer.noises = 2;
    settings.smoothadv.radius = 0.3;
    settings
}

/// Every way to run the attack that differs in what it computes.
pub(in crate::attack) fn variants() -> Vec<(&'static str, AttackSettings)> {
    let base = settings();
    let official = AttackSettings {
        same_batch: true,
        step: PoisonStep::SlotAdam,
        warm_start: true,
        curvature: Curvature::Hessian,
        solver: crate::bilevel::Solver::LeastSquaresAdam,
        epochs: Some(2),
        renew_every: None,
        renew_epochs: Some(1),
        networks: 1,
        decay: false,
        ..base.clone()
    };
    vec![
        ("gaussian", base.clone()),
        ("erm", AttackSettings { method: Method::Erm, objective: Objective::Accuracy, ..base.clone() }),
        ("smoothadv", AttackSettings { method: Method::SmoothAdv, ..base.clone() }),
        ("macer", AttackSettings { method: Method::Macer, warm_start: true, ..base.clone() }),
        ("official", official),
        ("same batch, Gauss-Newton", AttackSettings { same_batch: true, ..base.clone() }),
        ("sign", AttackSettings { step: PoisonStep::Sign, images_per_step: Some(7), ..base.clone() }),
        (
            "unrolled",
            AttackSettings { differentiation: Differentiation::Unrolled, solver_steps: 3, ..base.clone() },
        ),
        ("augmented", AttackSettings { crop: 1, flip: true, ..base.clone() }),
        ("convex", AttackSettings { network: Architecture::Linear, tolerance_factor: 0.9, ..base }),
    ]
}

fn run(settings: &AttackSettings, seed: u64) -> (Tensor, Vec<StepReport>) {
    let data = data();
    let mut attack = Attack::new(images(&data), settings, seed, 0).unwrap();
    let mut reports = Vec::new();
    attack
        .run(Work::ignored(), |_, report| {
            reports.push(StepReport { seconds: 0.0, ..report.clone() });
            Ok(())
        })
        .unwrap();
    (attack.poison().copy(), reports)
}

#[test]
fn poison_of_every_variant_moves_within_the_ball_and_repeats_to_the_bit() {
    let [_, target, _] = data();
    for (name, settings) in variants() {
        let (poison, reports) = run(&settings, 1);
        let change = (&poison - &target.pixels).abs().max().double_value(&[]);
        assert!(change > 0.01 && change <= 0.1 + 1e-6, "{name}: {change}");
        assert!(poison.min().double_value(&[]) >= 0.0 && poison.max().double_value(&[]) <= 1.0, "{name}");
        assert_eq!(reports.len(), settings.total_steps(20), "{name}");
        assert!(reports.iter().any(|report| report.skipped.is_none() && report.iterations > 0), "{name}");
        let (again, same) = run(&settings, 1);
        assert_eq!((poison.copy(), reports), (again, same), "{name}");
        assert_ne!(poison, run(&settings, 2).0, "{name}");
    }
}

#[test]
fn an_attack_taken_up_after_any_step_ends_the_same_to_the_bit() {
    let data = data();
    for (name, settings) in variants() {
        let mut saved = Vec::new();
        let mut attack = Attack::new(images(&data), &settings, 5, 0).unwrap();
        attack
            .run(Work::ignored(), |attack, _| {
                let AttackState { position, tensors } = attack.state();
                saved.push((position, tensors.into_iter().map(Tensor::copy).collect::<Vec<_>>()));
                Ok(())
            })
            .unwrap();
        let expected = attack.poison().copy();
        for (position, tensors) in saved {
            let mut again = Attack::resume(images(&data), &settings, 5, &position, tensors).unwrap();
            again.run(Work::ignored(), |_, _| Ok(())).unwrap();
            assert_eq!(*again.poison(), expected, "{name}, from step {}", position.step);
        }
    }
}

#[test]
fn restarts_differ() {
    let data = data();
    let settings = settings();
    let end = |restart| {
        let mut attack = Attack::new(images(&data), &settings, 5, restart).unwrap();
        attack.run(Work::ignored(), |_, _| Ok(())).unwrap();
        attack.poison().copy()
    };
    assert_ne!(end(0), end(1));
}

#[test]
fn the_lower_level_of_a_linear_network_is_solved_to_the_tolerance_of_the_step() {
    let data = data();
    let settings = AttackSettings {
        network: Architecture::Linear,
        solver_tolerance: 1e-3,
        tolerance_factor: 0.5,
        ..settings()
    };
    let random = Random::new(Domain::Attack, 3);
    let mut convex = ConvexLevel::new(&settings, images(&data), random).unwrap();
    let poison = &data[1].pixels;
    let gradient_at = |convex: &ConvexLevel<'_>, theta: &Parameters| {
        let loss = convex.loss(theta, poison) + theta.dot(theta) * (0.5 * settings.damping);
        theta.gradient_of(&loss, Graph::Free).norm()
    };
    let zero = convex.network().parameters().zeros_like().requires_grad();
    let fresh = gradient_at(&convex, &zero);
    for (step, tolerance) in [(0, 1e-3), (3, 1.25e-4)] {
        assert!(convex.solve(poison, step).converged);
        let left = gradient_at(&convex, convex.network().parameters());
        assert!(left <= tolerance * fresh * 1.01, "step {step}: {left} of {fresh}");
    }
}

#[test]
fn a_validation_batch_with_nothing_right_is_survived_and_said() {
    // Without training, on a class that a fresh network does not answer for most images.
    let untrained = AttackSettings {
        warm_up: 0,
        inner_steps: 1,
        inner_rate: 1e-12,
        renew_every: None,
        networks: 1,
        ..settings()
    };
    let data = data();
    let mut skipped = Vec::new();
    for seed in 0..8 {
        let mut moved = 0;
        let before = data[1].pixels.copy();
        let mut attack = Attack::new(images(&data), &untrained, seed, 0).unwrap();
        let result = attack.run(Work::ignored(), |attack, report| {
            moved += usize::from(report.skipped.is_none());
            if moved == 0 {
                assert_eq!(*attack.poison(), before, "what is skipped is not moved");
            }
            skipped.extend((report.right == 0).then(|| report.skipped.clone()));
            Ok(())
        });
        // A run in which every step was skipped is an error, not poison.
        assert_eq!(result.is_err(), moved == 0, "seed {seed}");
    }
    assert!(!skipped.is_empty());
    assert!(skipped.iter().all(|reason| reason.as_deref() == Some("no validation image was right")));
}

#[test]
fn numbers_that_are_not_finite_are_survived_and_said() {
    // A learning rate that throws the network out of all bounds.
    let wild = AttackSettings { inner_rate: 1e30, steps: 3, renew_every: None, networks: 1, ..settings() };
    let data = data();
    let mut attack = Attack::new(images(&data), &wild, 1, 0).unwrap();
    let result = attack.run(Work::ignored(), |_, report| {
        assert!(report.skipped.is_some(), "{report:?}");
        Ok(())
    });
    assert!(matches!(result, Err(Error::Ineffective)));
    assert_eq!(*attack.poison(), data[1].pixels);
}

#[test]
fn no_image_of_the_class_is_an_error() {
    let mut data = data();
    data[2].labels = data[2].labels.narrow(0, 0, 0);
    let error = Attack::new(images(&data), &settings(), 1, 0).unwrap_err().to_string();
    assert!(error.starts_with("the number of target-class validation images must be at least 1"), "{error}");
}

#[test]
fn a_step_moves_the_poison_unless_the_report_says_why_not() {
    let data = data();
    for (name, settings) in variants() {
        // Adam's solver overshoots at this rate: what it comes to is used all the same, as published.
        let settings = AttackSettings { solver_rate: 1.0, ..settings };
        let mut attack = Attack::new(images(&data), &settings, 2, 0).unwrap();
        let mut before = data[1].pixels.copy();
        attack
            .run(Work::ignored(), |attack, report| {
                let moved = before != *attack.poison();
                assert_eq!(moved, report.skipped.is_none(), "{name}: {report:?}");
                before = attack.poison().copy();
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_saturated_upper_level_is_survived_and_said() {
    // Every softmax is one-hot at such a temperature, so that nothing has a slope.
    let cold = AttackSettings { beta: 1e9, ..settings() };
    let data = data();
    let mut right = 0;
    let mut attack = Attack::new(images(&data), &cold, 1, 0).unwrap();
    let result = attack.run(Work::ignored(), |_, report| {
        right += report.right;
        let expected = if report.right == 0 { "no validation image was right" } else { "was 0" };
        assert!(report.skipped.as_ref().unwrap().contains(expected), "{report:?}");
        Ok(())
    });
    assert!(matches!(result, Err(Error::Ineffective)));
    assert!(right > 0);
}

#[test]
fn a_warm_start_that_is_good_enough_needs_no_iteration_to_move_the_poison() {
    let settings = AttackSettings {
        warm_start: true,
        solver_tolerance: 0.99,
        networks: 1,
        renew_every: None,
        steps: 12,
        ..settings()
    };
    let (_, reports) = run(&settings, 1);
    let free = reports.iter().filter(|report| report.iterations == 0 && report.right > 0);
    let free: Vec<_> = free.map(|report| report.skipped.clone()).collect();
    assert!(free.contains(&None), "{reports:?}");
}
