//! The speed of training steps and hypergradients, part by part, on made-up images.
//!
//! It measures the attack itself ([`crate::attack::Attack`]), not a copy of its parts.

mod made_up;
mod reference;

use std::path::Path;

use serde::Serialize;
use tch::Device;

use crate::{
    Error,
    attack::{AttackData, AttackSettings, MeasuredAttack, MeasuredHypergradient, Part, now, solved_network},
};
use made_up::{CLASSES, MadeUp};

/// Number of clean images, so large that they do not fit into the cache, as in real runs.
const CLEAN_IMAGES: usize = 2000;
/// Training steps after which a network tells the made-up classes apart.
const WARM_UP: usize = 60;
/// Seed of weights, noise and choices.
const SEED: u64 = 0;

/// Settings of a measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchSettings {
    /// The attack.
    pub attack: AttackSettings,
    /// Poison images moved in a step.
    pub images: usize,
    /// Number of measurements of each part.
    pub repeats: usize,
}

/// Median times in milliseconds; absent for parts that the attack does not have.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Milliseconds {
    /// A training step on one batch: gathering, noise, forward, backward, Adam.
    pub training_step: f64,
    /// A whole hypergradient of all images moved, measured without its parts.
    pub hypergradient: f64,
    /// Part of the hypergradient: the gradient of the upper level, noise included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outer_gradient: Option<f64>,
    /// Part of the hypergradient: the graph of the inner gradient, built once, forward pass included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_graph: Option<f64>,
    /// Part of the hypergradient: one product with the curvature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<f64>,
    /// Part of the hypergradient: the whole linear solve, with the product that computes its residual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solve: Option<f64>,
    /// Part of the hypergradient: the mixed product of all images moved, noise included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixed_product: Option<f64>,
    /// A step of the attack: `inner_steps` training steps, a hypergradient, the poison moved.
    pub attack_step: f64,
    /// Drawing as much noise as a hypergradient needs.
    pub noise: f64,
}

/// The speed of an attack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchReport {
    /// Median times.
    pub milliseconds: Milliseconds,
    /// Training images a second.
    pub training_images_per_second: f64,
    /// Hypergradients of poison images a second.
    pub hypergradient_images_per_second: f64,
    /// Number of parameters of the network.
    pub parameters: usize,
    /// Channels, height, width of an image.
    pub image_shape: [i64; 3],
    /// Poison images moved in a step.
    pub images: usize,
    /// Iterations that the linear solve made.
    pub iterations: usize,
    /// Products with the curvature matrix in the linear solve.
    pub products: usize,
    /// Relative residual that it reached.
    pub relative_residual: f64,
    /// Images of the validation batch that the network got right.
    pub right: u64,
}

/// Measures an attack on made-up images, 1×28×28 or, for residual networks, 3×32×32. Everything runs once before it is
/// measured.
///
/// With a path in `reference` it also writes one hypergradient, and everything that it was computed from, to a
/// safetensors file, so that other implementations can be compared.
///
/// # Errors
/// [`Error::Setting`] for settings out of range or a convex lower level; [`Error::Measurement`] if there is no
/// hypergradient, or if a reference file can't hold everything that the hypergradient depends on; [`Error::Write`].
///
/// # Example
/// ```
/// use mithridate_attacker::{attack::AttackSettings, bench::{BenchSettings, measure}, networks::Architecture};
///
/// let attack = AttackSettings {
///     network: Architecture::Mlp,
///     batch: 20,
///     validation_batch: 4,
///     validation_noises: 2,
///     solver_tolerance: 0.0,
///     ..AttackSettings::default()
/// };
/// let report = measure(&BenchSettings { attack, images: 10, repeats: 1 }, tch::Device::Cpu, None)?;
/// assert_eq!(report.parameters, 784 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10);
/// assert!(report.milliseconds.hypergradient > 0.0);
/// # Ok::<(), mithridate_attacker::Error>(())
/// ```
pub fn measure(
    settings: &BenchSettings,
    device: Device,
    reference: Option<&Path>,
) -> Result<BenchReport, Error> {
    let BenchSettings { ref attack, images, repeats } = *settings;
    if attack.is_convex() {
        return Err(solved_network(attack));
    }
    let attack = AttackSettings {
        images_per_step: Some(images),
        epochs: None,
        steps: repeats + 1,
        networks: 1,
        warm_up: attack.warm_up.max(WARM_UP),
        renew_every: None,
        renew_epochs: None,
        ..attack.clone()
    };
    attack.check(CLASSES)?;
    if let Some(path) = reference {
        reference::check(&attack, path)?;
    }
    let made_up = MadeUp::for_network(attack.network);
    let class = attack.target_classes[0];
    let clean = made_up.of_others(class, CLEAN_IMAGES, 0, device);
    let images = if attack.same_batch { attack.poison_in_batch() } else { images };
    let target = made_up.of_class(class, images, 1, device);
    let validation = made_up.of_class(class, attack.validation_batch, 2, device);
    let data = AttackData { clean: &clean, target: &target, validation: &validation, classes: CLASSES };
    let mut bench = MeasuredAttack::new(data, &attack, SEED)?;

    let found = bench.hypergradient(false);
    let size = found.outer_gradient.norm();
    if size == 0.0 || !size.is_finite() {
        return Err(Error::Measurement(format!(
            "there is no hypergradient to measure: the gradient of the upper level is {size}, with {} of {} made-up validation \
             images right; use another warm_up or sigma, or a larger validation batch",
            found.right, attack.validation_batch
        )));
    }
    if let Some(path) = reference {
        reference::write(path, &bench, &found, &attack)?;
    }
    let parameters = bench.network().parameters().len();
    let times = Times::measure(&mut bench, repeats, device);
    bench.train();
    let training_step = median((0..repeats).map(|_| milliseconds(device, || bench.train()).1));
    bench.step()?;
    let mut steps = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let (done, time) = milliseconds(device, || bench.step());
        done?;
        steps.push(time);
    }

    let milliseconds = Milliseconds {
        training_step,
        attack_step: median(steps.into_iter()),
        hypergradient: median(times.whole.into_iter()),
        outer_gradient: of_part(&times.parts, Part::OuterGradient),
        inner_graph: of_part(&times.parts, Part::InnerGraph),
        product: of_part(&times.parts, Part::Product),
        solve: of_part(&times.parts, Part::Solve),
        mixed_product: of_part(&times.parts, Part::MixedProduct),
        noise: median(times.noise.into_iter()),
    };
    let MeasuredHypergradient { iterations, relative_residual, right, .. } = found;
    Ok(BenchReport {
        training_images_per_second: 1e3 * attack.batch as f64 / milliseconds.training_step,
        hypergradient_images_per_second: 1e3 * images as f64 / milliseconds.hypergradient,
        milliseconds,
        parameters,
        image_shape: made_up.shape(),
        images,
        iterations,
        products: times.parts.iter().filter(|(part, _)| *part == Part::Product).count() / repeats,
        relative_residual,
        right,
    })
}

/// Times of hypergradients, in milliseconds.
#[derive(Default)]
struct Times {
    /// Times of whole hypergradients.
    whole: Vec<f64>,
    /// Times of their parts.
    parts: Vec<(Part, f64)>,
    /// Times of drawing as much noise as a hypergradient needs.
    noise: Vec<f64>,
}

impl Times {
    /// Measures whole hypergradients and their parts alternately, so that changes of the machine's speed affect both.
    fn measure(bench: &mut MeasuredAttack<'_>, repeats: usize, device: Device) -> Self {
        let mut times = Self::default();
        for repeat in 0..repeats as u64 {
            times.whole.push(milliseconds(device, || bench.hypergradient(false)).1);
            let measured = bench.hypergradient(true).times;
            times.parts.extend(measured.into_iter().map(|(part, seconds)| (part, 1e3 * seconds)));
            times.noise.push(milliseconds(device, || bench.noise(repeat)).1);
        }
        times
    }
}

/// Runs `work` and measures its time.
fn milliseconds<T>(device: Device, work: impl FnOnce() -> T) -> (T, f64) {
    let started = now(device);
    let result = work();
    (result, 1e3 * now(device).duration_since(started).as_secs_f64())
}

fn of_part(times: &[(Part, f64)], wanted: Part) -> Option<f64> {
    let times: Vec<f64> = times.iter().filter(|(part, _)| *part == wanted).map(|(_, time)| *time).collect();
    (!times.is_empty()).then(|| median(times.into_iter()))
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    if times.len().is_multiple_of(2) {
        f64::midpoint(times[middle - 1], times[middle])
    } else {
        times[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
