use std::time::Instant;

use mithridate_runtime::terminal::Progress;
use serde::Serialize;
use tch::{Kind, Reduction, Tensor, no_grad};

use super::{AttackSettings, Curvature, pool::Pool, soft_radius};
use crate::{
    Error,
    bilevel::{GaussNewton, Hessian, Solution, mixed_product, solve},
    data::Images,
    networks::Network,
    parameters::Parameters,
    random::{Purpose, Random},
    training::{ImageAdam, cross_entropy},
};

/// Poison images in one double-backward pass; bounds memory.
const IMAGES_A_PASS: i64 = 250;

/// What happened in one step of the attack: a line of the run log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StepReport {
    /// Number of the step, from 0.
    pub step: usize,
    /// Soft average certified radius of the validation batch.
    pub soft_radius: f64,
    /// Validation images that the soft smoothed classifier got right.
    pub right: u64,
    /// Relative residual of the linear solve.
    pub relative_residual: f64,
    /// Iterations of the solve.
    pub iterations: usize,
    /// Whether negative curvature ended the solve.
    pub negative_curvature: bool,
    /// Why the poison was not moved in this step, if it wasn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<&'static str>,
    /// Time of the step, in seconds.
    pub seconds: f64,
}

/// The images an attack works on.
#[derive(Clone, Copy)]
pub struct AttackData<'a> {
    /// Training images of the other classes.
    pub clean: &'a Images,
    /// Training images of the target class, unchanged: N×C×H×W.
    pub target: &'a Tensor,
    /// Validation images of the target class.
    pub validation: &'a Tensor,
    /// Number of classes.
    pub classes: usize,
}

/// Optimises poison against training (Mehra et al., 2021, with ApproxGrad): repeats T1 training steps on a network,
/// a linear solve for p of at most T2 iterations, and a step on poison images along their hypergradients, which all
/// follow from the same p. Returns the poison N×C×H×W, within ε of the clean images and \[0, 1\].
///
/// `on_step` gets a report of each step. A step whose validation batch has nothing right, or whose numbers are not
/// finite, leaves the poison as it is and says so.
///
/// # Errors
/// [`Error::Setting`], [`Error::Network`], or whatever `on_step` fails with.
pub fn optimise(
    data: AttackData<'_>,
    settings: &AttackSettings,
    seed: u64,
    mut on_step: impl FnMut(&StepReport) -> Result<(), Error>,
) -> Result<Tensor, Error> {
    settings.check(data.classes)?;
    for (name, count) in [
        ("the number of target-class training images", data.target.size()[0]),
        ("the number of other training images", data.clean.len() as i64),
        ("the number of target-class validation images", data.validation.size()[0]),
    ] {
        if count == 0 {
            return Err(Error::setting(name, "at least 1; use more images or another split", &count));
        }
    }
    let random = Random::new(seed);
    let mut poison = data.target.copy();
    let mut adam = ImageAdam::new(&poison);
    let mut progress = Progress::new("making poison", settings.steps as u64, "steps");
    let mut pool = Pool::new(settings, data.clean, &poison, data.classes, random)?;
    let mut moved = 0;
    for step in 0..settings.steps {
        let started = Instant::now();
        pool.renew(step, &poison)?;
        let position = pool.position(step);
        pool.train(position, settings.inner_steps, &poison);
        let mut report = StepReport { step, ..StepReport::default() };
        let outer = outer_gradient(pool.network(position), data.validation, settings, random, &mut report);
        if report.right == 0 {
            report.skipped = Some("no validation image was right");
        } else if !outer.is_finite() {
            report.skipped = Some("the gradient of the soft radius was not finite");
        } else {
            let (logits, labels) = pool.batch_logits(position, &poison);
            let network = pool.network(position);
            let solution = solve_for_p(logits, &labels, network.parameters(), &outer, settings);
            report.relative_residual = solution.relative_residual;
            report.iterations = solution.iterations;
            report.negative_curvature = solution.negative_curvature;
            if solution.iterations == 0 {
                report.skipped = Some("the first direction of the linear solve had negative curvature");
            } else if solution.p.is_finite() {
                let falling = if settings.decay { 1.0 - step as f64 / settings.steps as f64 } else { 1.0 };
                let rate = settings.poison_rate * falling;
                move_poison(
                    &mut poison,
                    data.target,
                    network,
                    &solution.p,
                    &mut adam,
                    settings,
                    random,
                    step,
                    rate,
                );
            } else {
                report.skipped = Some("the linear solve was not finite");
            }
        }
        moved += usize::from(report.skipped.is_none());
        report.seconds = (started.elapsed().as_secs_f64() * 1e4).round() / 1e4;
        on_step(&report)?;
        progress.advance(1);
    }
    let kept = settings.steps - moved;
    if kept > 0 {
        progress.note(&format!(
            "the poison was not moved in {kept} of {} steps; the run log says why",
            settings.steps
        ));
    }
    progress.finish();
    if moved == 0 {
        return Err(Error::Ineffective);
    }
    Ok(poison)
}

/// Solves (H + ρI) p = ∂R/∂θ with the curvature that the settings name.
fn solve_for_p(
    logits: Tensor,
    labels: &Tensor,
    parameters: &Parameters,
    outer: &Parameters,
    settings: &AttackSettings,
) -> Solution {
    let solver = settings.solver_settings();
    match settings.curvature {
        Curvature::GaussNewton => {
            solve(&GaussNewton::new(logits, parameters, settings.damping), outer, &solver)
        }
        Curvature::Hessian => {
            let loss = cross_entropy(&logits, labels, Reduction::Mean);
            solve(&Hessian::new(&loss, parameters, settings.damping), outer, &solver)
        }
    }
}

/// Gradient of the soft radius of a validation batch with respect to the network.
fn outer_gradient(
    network: &Network,
    validation: &Tensor,
    settings: &AttackSettings,
    random: Random,
    report: &mut StepReport,
) -> Parameters {
    let (step, copies) = (report.step as u64, settings.validation_noises as i64);
    let available = validation.size()[0] as usize;
    let chosen = settings.validation_batch.min(available);
    let numbers = &random.permutation(Purpose::ValidationBatch, step, available)[..chosen];
    let images = validation.index_select(0, &Tensor::from_slice(numbers).to_device(validation.device()));
    let copied = images.repeat_interleave_self_int(copies, 0, None);
    let noise = random.normal(Purpose::ValidationNoise, step, &copied.size(), copied.device());
    let logits = network.forward(&(copied + noise * settings.sigma));
    let logits = logits.view([chosen as i64, copies, -1]);
    let radius = soft_radius(&logits, settings.target_class, settings.sigma, settings.beta, settings.clamp);
    report.soft_radius = radius.mean.double_value(&[]);
    report.right = radius.right;
    network.parameters().gradient_of(&radius.mean, false, false)
}

/// Moves poison images against their hypergradients and back into the ε-ball and \[0, 1\].
#[allow(clippy::too_many_arguments)]
fn move_poison(
    poison: &mut Tensor,
    clean: &Tensor,
    network: &Network,
    p: &Parameters,
    adam: &mut ImageAdam,
    settings: &AttackSettings,
    random: Random,
    step: usize,
    rate: f64,
) {
    let device = poison.device();
    let total = poison.size()[0] as usize;
    let order = random.permutation(Purpose::PoisonChoice, step as u64, total);
    let chosen = &order[..settings.images_per_step.unwrap_or(total).min(total)];
    for (pass, numbers) in chosen.chunks(IMAGES_A_PASS as usize).enumerate() {
        let numbers = Tensor::from_slice(numbers).to_device(device);
        let images = poison.index_select(0, &numbers).set_requires_grad(true);
        let labels =
            Tensor::full([numbers.numel() as i64], settings.target_class as i64, (Kind::Int64, device));
        // The sum over images, not the mean: each image's hypergradient is its own, up to the constant weight of one
        // image in the training loss, which Adam's step does not depend on.
        let key = ((step as u64) << 32) | pass as u64;
        let loss = settings.method.loss(network, &images, &labels, settings.sigma, Reduction::Sum, |shape| {
            random.normal(Purpose::PoisonNoise, key, shape, device)
        });
        let gradient = mixed_product(&loss, network.parameters(), p, &images);
        no_grad(|| {
            let finite = gradient.nan_to_num(0.0, 0.0, 0.0);
            let moved = images.detach() - adam.direction(&numbers, &finite) * rate;
            let original = clean.index_select(0, &numbers);
            let change = (moved - &original).clamp(-settings.epsilon, settings.epsilon);
            let _ = poison.index_copy_(0, &numbers, &(original + change).clamp(0.0, 1.0));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{networks::Architecture, training::Method};

    fn data() -> (Images, Tensor, Tensor) {
        let random = Random::new(21);
        let make = |count: i64, brightness: f64, key: u64| {
            let noise = random.normal(Purpose::TrainingNoise, key, &[count, 1, 4, 4], tch::Device::Cpu);
            (noise * 0.2 + brightness).clamp(0.0, 1.0)
        };
        let labels = Tensor::zeros([80], (Kind::Int64, tch::Device::Cpu));
        (Images { pixels: make(80, 0.3, 0), labels }, make(20, 0.6, 1), make(30, 0.6, 2))
    }

    fn settings() -> AttackSettings {
        AttackSettings {
            target_class: 1,
            method: Method::Gaussian,
            network: Architecture::Mlp,
            steps: 6,
            inner_steps: 3,
            batch: 40,
            poison_share: 0.2,
            validation_batch: 10,
            validation_noises: 4,
            warm_up: 40,
            networks: 2,
            renew_every: Some(2),
            ..AttackSettings::default()
        }
    }

    fn run(settings: &AttackSettings, seed: u64) -> (Tensor, Vec<StepReport>) {
        let (clean, target, validation) = data();
        let images = AttackData { clean: &clean, target: &target, validation: &validation, classes: 2 };
        let mut reports = Vec::new();
        let poison = optimise(images, settings, seed, |report| {
            reports.push(StepReport { seconds: 0.0, ..report.clone() });
            Ok(())
        });
        (poison.unwrap(), reports)
    }

    #[test]
    fn poison_moves_within_the_ball_and_repeats_to_the_bit() {
        let (_, target, _) = data();
        let (poison, reports) = run(&settings(), 1);
        let change = (&poison - &target).abs().max().double_value(&[]);
        assert!(change > 0.01 && change <= 0.1 + 1e-6, "{change}");
        assert!(poison.min().double_value(&[]) >= 0.0 && poison.max().double_value(&[]) <= 1.0);
        assert_eq!(reports.len(), 6);
        assert!(reports.iter().any(|report| report.skipped.is_none() && report.iterations > 0));
        let (again, same) = run(&settings(), 1);
        assert_eq!((poison.copy(), reports), (again, same));
        assert_ne!(poison, run(&settings(), 2).0);
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
        let (clean, target, validation) = data();
        let images = AttackData { clean: &clean, target: &target, validation: &validation, classes: 2 };
        let mut skipped = Vec::new();
        for seed in 0..8 {
            let mut moved = 0;
            let result = optimise(images, &untrained, seed, |report| {
                moved += usize::from(report.skipped.is_none());
                skipped.extend((report.right == 0).then_some(report.skipped));
                Ok(())
            });
            // A run in which every step was skipped is an error, not poison.
            assert_eq!(result.is_err(), moved == 0, "seed {seed}");
        }
        assert!(!skipped.is_empty());
        assert!(skipped.iter().all(|reason| *reason == Some("no validation image was right")));
    }

    #[test]
    fn no_image_of_the_class_is_an_error() {
        let (clean, target, _) = data();
        let none = target.narrow(0, 0, 0);
        let images = AttackData { clean: &clean, target: &target, validation: &none, classes: 2 };
        let error = optimise(images, &settings(), 1, |_| Ok(())).unwrap_err().to_string();
        assert!(
            error.starts_with("the number of target-class validation images must be at least 1"),
            "{error}"
        );
    }
}
