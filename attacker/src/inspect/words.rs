use std::{fmt::Write, path::Path};

use serde::Serialize;
use serde_json::Value;

use super::{HistogramBin, PoisonSummary};
use crate::{
    jobs::{Interrupted, VictimReport},
    poison::{Manifest, classes_in_words},
};

/// Settings of an attack that the text shows; the JSON document has all settings.
const MAIN_SETTINGS: [&str; 11] = [
    "method",
    "network",
    "sigma",
    "steps",
    "poison_rate",
    "inner_steps",
    "images_per_step",
    "curvature",
    "solver",
    "solver_steps",
    "networks",
];
/// Length of the longest bar of a histogram.
const BAR: f64 = 40.0;

/// A poison set as text, a line for each fact.
pub fn poison_in_words(folder: &Path, manifest: &Manifest, summary: &PoisonSummary) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<13} {value}");
    };
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let PoisonSummary { images, training_images, class_images, largest_change, epsilon_steps, .. } = *summary;
    line("poison set:", &folder.display().to_string());
    line(
        "made by:",
        &format!(
            "{}, device {}, {}, seed {}",
            manifest.tool,
            manifest.origin.device,
            count(manifest.origin.threads, "thread"),
            manifest.origin.seed
        ),
    );
    line("attack:", &generator(manifest));
    line(
        "images:",
        &format!(
            "{images} of the {class_images} of {}, {} of {training_images} training images; labels unchanged",
            classes_in_words(&summary.target_classes),
            percent(images as f64 / training_images.max(1) as f64)
        ),
    );
    line(
        "epsilon:",
        &format!(
            "{}, which is {epsilon_steps}/255 a pixel value; the largest change found is {largest_change}/255",
            summary.epsilon
        ),
    );
    line(
        "change:",
        &format!(
            "mean {:.2}/255; {} of the pixel values changed, {} by as much as epsilon allows",
            summary.mean_change,
            percent(summary.changed),
            percent(summary.at_bound)
        ),
    );
    line(
        "l2 norm:",
        &format!("mean {:.3}, largest {:.3}, images in [0, 1]", summary.l2.mean, summary.l2.max),
    );
    let unchanged = match summary.unchanged_images {
        0 => String::new(),
        left => format!("; {} did not change at all", count(left, "image")),
    };
    line(
        "PSNR:",
        &match summary.psnr {
            Some(ratio) => format!("mean {:.2} dB, smallest {:.2} dB{unchanged}", ratio.mean, ratio.min),
            None => "infinite: no image changed".into(),
        },
    );
    let [_, height, width] = summary.shape;
    line(
        "SSIM:",
        &match summary.ssim {
            Some(similarity) => format!("mean {:.4}, smallest {:.4}", similarity.mean, similarity.min),
            None => format!("none: its window has 11 × 11 pixels, the images {height} × {width}"),
        },
    );
    line("difference:", "in steps of 1/255, and the share of pixel values");
    text.push_str(&bars(summary));
    text
}

/// The report of a trained network as text, a line for each fact.
pub fn victim_in_words(folder: &Path, report: &VictimReport) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<13} {value}");
    };
    line("network:", &folder.display().to_string());
    line(
        "made by:",
        &format!("{}, device {}, seed {}, {} s", report.tool, report.device, report.seed, report.seconds),
    );
    line("settings:", &settings(&report.settings, None));
    line("trained on:", &format!("images with SHA-256 {}", report.training_data_sha256));
    match &report.poison_sha256 {
        Some(hash) => line("poison:", &format!("images with SHA-256 {hash}")),
        None => line("poison:", "none"),
    }
    line("accuracy:", &format!("{:.2} % of test images right, no noise", 100.0 * report.accuracy(|_| true)));
    for accuracy in &report.test_accuracy {
        let share = 100.0 * accuracy.right as f64 / accuracy.images.max(1) as f64;
        let name = format!("  class {}", accuracy.class);
        line(&name, &format!("{share:6.2} %  {} of {}", accuracy.right, accuracy.images));
    }
    text
}

/// An interrupted attack or training as text, a line for each fact.
pub fn interrupted_in_words(folder: &Path, run: &Interrupted) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<13} {value}");
    };
    let (what, command, seed) = match run {
        Interrupted::Attack { seed, .. } => ("an attack", "pacd poison", seed),
        Interrupted::Training { seed, .. } => ("a training", "pacd train", seed),
    };
    line(
        "interrupted:",
        &format!(
            "{}, {what} that is not finished; run the same `{command}` again to resume it",
            folder.display()
        ),
    );
    line("seed:", &seed.to_string());
    match run {
        Interrupted::Training { step, steps, .. } => line("made:", &format!("{step} of {steps} steps")),
        Interrupted::Attack { restart, restarts, step, steps, tried, candidates, last, .. } => {
            let of = if *restarts > 1 {
                format!(" of attack {} of {restarts}", restart + 1)
            } else {
                String::new()
            };
            line("made:", &format!("{step} of {steps} steps{of}"));
            if *candidates > 1 && step == steps && restart + 1 == *restarts {
                line("selection:", &format!("{tried} of {candidates} candidates tried"));
            }
            if let Some(report) = last {
                let skipped = report.skipped.as_ref().map(|why| format!("; not moved: {why}"));
                line(
                    "last step:",
                    &format!(
                        "step {}: upper level {:.4}, mean change {:.2}/255{}",
                        report.step + 1,
                        report.outer,
                        255.0 * report.mean_change,
                        skipped.unwrap_or_default()
                    ),
                );
            }
        }
    }
    text
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Kind of attack with its main settings.
fn generator(manifest: &Manifest) -> String {
    let value = serde_json::to_value(&manifest.origin.generator).unwrap_or_default();
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let settings = settings(&value, Some(&MAIN_SETTINGS));
    if settings.is_empty() { kind } else { format!("{kind}: {settings}") }
}

/// Settings as `name value`: all, sorted by name, or only those in `wanted` that exist, in that order.
fn settings(settings: &impl Serialize, wanted: Option<&[&str]>) -> String {
    let value = serde_json::to_value(settings).unwrap_or_default();
    let Value::Object(settings) = value else { return String::new() };
    let all = settings.keys().map(String::as_str).collect::<Vec<_>>();
    wanted
        .unwrap_or(&all)
        .iter()
        .filter_map(|key| Some((key, settings.get(*key)?)))
        .map(|(key, value)| match value {
            Value::String(text) => format!("{key} {text}"),
            other => format!("{key} {other}"),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// A histogram as text, with a bar for −ε, 0 and ε each and for a few groups between them.
fn bars(summary: &PoisonSummary) -> String {
    let groups = groups(i16::from(summary.epsilon_steps));
    let total = summary.values().max(1) as f64;
    let shares: Vec<f64> = groups
        .iter()
        .map(|&(from, to)| {
            let inside = |change: &&HistogramBin| (from..=to).contains(&change.steps);
            let values: u64 = summary.histogram.iter().filter(inside).map(|change| change.values).sum();
            values as f64 / total
        })
        .collect();
    let largest = shares.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut text = String::new();
    for ((from, to), share) in groups.into_iter().zip(shares) {
        let name = match (from, to) {
            (0, 0) => "0".into(),
            _ if from == to => format!("{from:+}"),
            _ => format!("{from:+} to {to:+}"),
        };
        let bar = "#".repeat((BAR * share / largest).round() as usize);
        let _ = writeln!(text, "{}", format!("  {name:>12} {:6.2} %  {bar}", 100.0 * share).trim_end());
    }
    text
}

/// At most eleven ranges that together cover −`steps` to `steps`.
fn groups(steps: i16) -> Vec<(i16, i16)> {
    if steps <= 5 {
        return (-steps..=steps).map(|step| (step, step)).collect();
    }
    let mut up = vec![(steps, steps)];
    let mut top = steps - 1;
    for left in (1..=4).rev() {
        let size = (top + left - 1) / left;
        up.push((top - size + 1, top));
        top -= size;
    }
    let down: Vec<(i16, i16)> = up.iter().map(|&(from, to)| (-to, -from)).collect();
    up.reverse();
    down.into_iter().chain([(0, 0)]).chain(up).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_every_change_once() {
        for steps in [1, 5, 6, 8, 25, 255] {
            let groups = groups(steps);
            assert!(groups.len() <= 11, "{groups:?}");
            let all: Vec<i16> = groups.iter().flat_map(|&(from, to)| from..=to).collect();
            assert_eq!(all, (-steps..=steps).collect::<Vec<_>>());
        }
    }
}
