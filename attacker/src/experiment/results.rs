use std::{collections::BTreeMap, fmt::Write};

use mithridate_runtime::{
    evidence::{Machine, Record},
    statistics::{Interval, relative_drop},
};
use serde::{Deserialize, Serialize};

use super::{Config, VictimKind};
use crate::{jobs::VictimReport, poison::classes_in_words};

/// A trained and certified victim.
#[derive(Clone, Debug)]
pub(super) struct Victim {
    pub kind: VictimKind,
    pub seed: u64,
    pub report: VictimReport,
    /// Evidence of the target class.
    pub target: Vec<Record>,
    /// Evidence of the other classes.
    pub others: Vec<Record>,
}

/// Results of one kind of victim on a group of test images, over its seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// Mean over seeds of the average certified radius.
    pub acr_mean: f64,
    /// Standard deviation over seeds of the average certified radius; 0 for one seed.
    pub acr_std: f64,
    /// Mean over seeds of the share of images certified right at a radius above 0.
    pub accuracy_mean: f64,
    /// Mean over seeds of the number of abstentions.
    pub abstained_mean: f64,
    /// Mean over seeds of the accuracy without noise on all test images of the group.
    pub test_accuracy_mean: f64,
    /// Images certified.
    pub points: usize,
    /// Relative drop of the average certified radius against clean victims, with a 95 % bootstrap interval over seeds
    /// and images; absent for clean victims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_drop: Option<Interval>,
}

/// Results of one kind of victim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindResult {
    /// Seeds of training.
    pub seeds: Vec<u64>,
    /// Images of the target class.
    pub target: GroupResult,
    /// Images of the other classes.
    pub others: GroupResult,
    /// Mean over seeds of the accuracy without noise on all test images.
    pub test_accuracy_mean: f64,
}

/// Results of an experiment, as in `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExperimentResults {
    /// Name of the experiment.
    pub name: String,
    /// Target classes.
    pub target_classes: Vec<usize>,
    /// Standard deviation of the noise, σ.
    pub sigma: f64,
    /// Largest allowed change of a pixel, ε.
    pub epsilon: f64,
    /// Results by kind of victim.
    pub victims: BTreeMap<VictimKind, KindResult>,
    /// The machine that the experiment was run on.
    pub machine: Machine,
}

/// For the victim of each seed, the radius of each image, which is 0 unless the image is certified right.
type RadiiBySeed = Vec<Vec<f64>>;

/// The results of all victims.
pub(super) fn results(config: &Config, victims: &[Victim]) -> ExperimentResults {
    let targets = &config.attack.target_classes;
    let mut kinds = BTreeMap::new();
    let mut clean: Option<(RadiiBySeed, RadiiBySeed)> = None;
    // Clean victims first: the others are compared with them.
    let mut order = config.victims.kinds.clone();
    order.sort_unstable();
    for kind in order {
        let of_kind: Vec<&Victim> = victims.iter().filter(|victim| victim.kind == kind).collect();
        let accuracy = |of: &dyn Fn(usize) -> bool| {
            mean(&of_kind.iter().map(|victim| victim.report.accuracy(of)).collect::<Vec<_>>())
        };
        let group = |of: fn(&Victim) -> &[Record], test_accuracy_mean: f64, before: Option<&RadiiBySeed>| {
            let records: Vec<&[Record]> = of_kind.iter().map(|victim| of(victim)).collect();
            let radii: RadiiBySeed =
                records.iter().map(|seed| seed.iter().map(Record::right_radius).collect()).collect();
            let of_each = |value: &dyn Fn(&Record) -> f64| -> Vec<f64> {
                records.iter().map(|seed| mean(&seed.iter().map(value).collect::<Vec<_>>())).collect()
            };
            let acr = of_each(&Record::right_radius);
            let points = records.first().map_or(0, |seed| seed.len());
            let result = GroupResult {
                acr_mean: mean(&acr),
                acr_std: standard_deviation(&acr),
                accuracy_mean: mean(&of_each(&|record| f64::from(u8::from(record.right_radius() > 0.0)))),
                abstained_mean: points as f64
                    * mean(&of_each(&|record| f64::from(u8::from(record.abstained)))),
                test_accuracy_mean,
                points,
                relative_drop: before.and_then(|before| relative_drop(before, &radii)),
            };
            (result, radii)
        };
        let (target_result, target_radii) = group(
            |victim| &victim.target,
            accuracy(&|class| targets.contains(&class)),
            clean.as_ref().map(|clean| &clean.0),
        );
        let (others_result, others_radii) = group(
            |victim| &victim.others,
            accuracy(&|class| !targets.contains(&class)),
            clean.as_ref().map(|clean| &clean.1),
        );
        if kind == VictimKind::Clean {
            clean = Some((target_radii, others_radii));
        }
        kinds.insert(
            kind,
            KindResult {
                seeds: of_kind.iter().map(|victim| victim.seed).collect(),
                target: target_result,
                others: others_result,
                test_accuracy_mean: accuracy(&|_| true),
            },
        );
    }
    ExperimentResults {
        name: config.name.clone(),
        target_classes: targets.clone(),
        sigma: config.attack.sigma,
        epsilon: config.attack.epsilon,
        victims: kinds,
        machine: Machine::this(),
    }
}

impl ExperimentResults {
    /// The target classes in words: “class 8”, “classes 3, 8”.
    pub fn target_name(&self) -> String {
        classes_in_words(&self.target_classes)
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn standard_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let middle = mean(values);
    let sum: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    (sum / (values.len() - 1) as f64).sqrt()
}

/// The results as a table for a terminal.
pub fn table(results: &ExperimentResults) -> String {
    let mut text = format!(
        "{}: {}, sigma {}, epsilon {}\n{:<9} {:<10} {:>6} {:>16} {:>9} {:>9} {:>9}  {}\n",
        results.name,
        results.target_name(),
        results.sigma,
        results.epsilon,
        "victims",
        "images",
        "points",
        "ACR",
        "accuracy",
        "abstained",
        "test acc.",
        "drop of ACR (95 % interval)"
    );
    for (kind, result) in &results.victims {
        let target = results.target_name();
        for (name, group) in [(target.as_str(), &result.target), ("others", &result.others)] {
            let drop = group.relative_drop.map_or_else(String::new, |Interval { value, low, high }| {
                format!("{:.1} % ({:.1} to {:.1})", 100.0 * value, 100.0 * low, 100.0 * high)
            });
            let _ = writeln!(
                text,
                "{:<9} {:<10} {:>6} {:>16} {:>9.3} {:>9.1} {:>8.2}%  {}",
                kind.name(),
                name,
                group.points,
                format!("{:.3} ± {:.3}", group.acr_mean, group.acr_std),
                group.accuracy_mean,
                group.abstained_mean,
                100.0 * group.test_accuracy_mean,
                drop
            );
        }
    }
    for (kind, result) in &results.victims {
        let _ = writeln!(
            text,
            "test accuracy over all classes, {} victims: {:.2} %",
            kind.name(),
            100.0 * result.test_accuracy_mean
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_a_sample() {
        assert_eq!(standard_deviation(&[1.0, 3.0]), 2.0_f64.sqrt());
        assert_eq!(standard_deviation(&[1.0]), 0.0);
    }
}
