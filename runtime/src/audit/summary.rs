use std::collections::BTreeMap;

use serde::Serialize;

use crate::evidence::{Evidence, Record};

/// Probability that a high-probability certified accuracy is too high (ρ).
const RHO: f64 = 0.001;

/// Certified accuracy at one radius.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CertifiedAccuracy {
    /// The radius.
    pub radius: f64,
    /// Share of inputs certified right with at least that radius.
    pub value: f64,
    /// What that share is at least with probability 0.999 over the certificates' own chance of being wrong.
    pub high_probability: f64,
}

/// Figures of a group of inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupSummary {
    /// Inputs.
    pub inputs: usize,
    /// Average certified radius: the mean over inputs of the radius where the class is right, else 0.
    pub acr: f64,
    /// Share of inputs certified right at a radius above 0.
    pub approximate_accuracy: f64,
    /// Inputs without a certificate.
    pub abstained: usize,
    /// Certified accuracy at each radius asked for.
    pub certified_accuracy: Vec<CertifiedAccuracy>,
}

/// Figures of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// Name of the run, its file.
    pub name: String,
    /// Name of the model's file.
    pub model: String,
    /// Noise level.
    pub sigma: f64,
    /// Probability that a certificate is wrong.
    pub alpha: f64,
    /// Samples behind each bound.
    pub n: u64,
    /// All inputs.
    #[serde(flatten)]
    pub all: GroupSummary,
    /// Inputs by their true class.
    pub classes: BTreeMap<usize, GroupSummary>,
    /// Names of the classes, in the order of their labels, where the data set has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// Radii of inputs that are certified right, largest first; the others count as 0.
    #[serde(skip)]
    pub right_radii: Vec<f64>,
}

/// Sums up a run.
pub fn summarize(name: &str, evidence: &Evidence, radii: &[f64]) -> RunSummary {
    let settings = &evidence.header.settings;
    let alpha = settings.alpha.get();
    let mut classes: BTreeMap<usize, Vec<&Record>> = BTreeMap::new();
    for record in &evidence.records {
        classes.entry(record.label).or_default().push(record);
    }
    let all: Vec<&Record> = evidence.records.iter().collect();
    let mut right_radii: Vec<f64> =
        all.iter().filter(|record| record.is_right()).map(|record| record.radius).collect();
    right_radii.sort_by(|a, b| b.total_cmp(a));
    RunSummary {
        name: name.into(),
        model: evidence.header.model.file.clone(),
        sigma: settings.sigma.get(),
        alpha,
        n: settings.n,
        all: group(&all, alpha, radii),
        classes: classes.iter().map(|(&class, records)| (class, group(records, alpha, radii))).collect(),
        class_names: evidence.header.data.class_names.clone(),
        right_radii,
    }
}

impl RunSummary {
    /// A class by its number and, where it has one, its name.
    pub fn class(&self, class: usize) -> String {
        match self.class_names.get(class) {
            Some(name) => format!("{class} {name}"),
            None => class.to_string(),
        }
    }
}

fn group(records: &[&Record], alpha: f64, radii: &[f64]) -> GroupSummary {
    let inputs = records.len();
    let share = |count: usize| if inputs == 0 { 0.0 } else { count as f64 / inputs as f64 };
    let radius_sum: f64 = records.iter().map(|record| record.right_radius()).sum();
    let at_least = |radius: f64| {
        share(records.iter().filter(|record| record.is_right() && record.radius >= radius).count())
    };
    GroupSummary {
        inputs,
        acr: if inputs == 0 { 0.0 } else { radius_sum / inputs as f64 },
        approximate_accuracy: share(records.iter().filter(|record| record.right_radius() > 0.0).count()),
        abstained: records.iter().filter(|record| record.abstained).count(),
        certified_accuracy: radii
            .iter()
            .map(|&radius| {
                let value = at_least(radius);
                CertifiedAccuracy { radius, value, high_probability: high_probability(value, alpha, inputs) }
            })
            .collect(),
    }
}

/// Certified accuracy that holds with probability 1 − ρ although each certificate may be wrong with probability α:
/// less α, less how far the share of wrong ones can exceed α by Bernstein's inequality, √(2α(1−α)·ln(1/ρ)/m) +
/// ln(1/ρ)/(3m). Scripts in use leave the 2 out, which at m = 10,000 and α = 0.001 fails more often than ρ.
fn high_probability(accuracy: f64, alpha: f64, inputs: usize) -> f64 {
    let (m, log) = (inputs.max(1) as f64, (1.0 / RHO).ln());
    let slack = alpha + (2.0 * alpha * (1.0 - alpha) * log / m).sqrt() + log / (3.0 * m);
    (accuracy - slack).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(label: usize, class: usize, radius: f64) -> Record {
        Record {
            index: 0,
            label,
            class: Some(class),
            selection: vec![].into(),
            estimation: vec![].into(),
            samples: 0,
            p_lower: 0.0,
            radius,
            abstained: radius == 0.0,
            seconds: 0.0,
        }
    }

    #[test]
    fn wrong_and_abstained_inputs_count_as_radius_zero() {
        let records = [record(1, 1, 0.5), record(1, 2, 0.9), record(1, 1, 0.0), record(1, 1, 0.25)];
        let summary = group(&records.iter().collect::<Vec<_>>(), 0.001, &[0.0, 0.25, 0.3, 0.6]);
        assert_eq!((summary.inputs, summary.abstained), (4, 1));
        assert_eq!((summary.acr, summary.approximate_accuracy), (0.75 / 4.0, 0.5));
        let values: Vec<f64> = summary.certified_accuracy.iter().map(|at| at.value).collect();
        assert_eq!(values, [0.5, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn high_probability_accuracy_is_bernsteins_inequality() {
        // m = 500, α = ρ = 0.001: slack 0.001 + sqrt(2 · 0.000999 · 6.907755 / 500) + 6.907755 / 1500.
        assert!(
            (high_probability(0.8, 0.001, 500) - (0.8 - 0.001 - 0.005_253_9 - 0.004_605_17)).abs() < 1e-6
        );
        assert_eq!(high_probability(0.0, 0.001, 500), 0.0);
    }
}
