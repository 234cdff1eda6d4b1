use std::collections::BTreeMap;

use serde::Serialize;

use super::{HighProbabilityBound, Outcome, Run};
use crate::{
    certify::Nobody,
    noise::{Distribution, NoiseMode},
    statistics::{Norm, Radii, mean_down},
};

/// Certified accuracy at one radius.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CertifiedAccuracy {
    /// The radius, in the norm of the summary and units of the data set.
    pub radius: f64,
    /// Share of inputs whose certified class is correct and whose certified radius is at least `radius`.
    pub value: f64,
    /// Lower bound on that share with probability at least 0.999 over the samples, since each certificate may be wrong;
    /// by the [inequality](RunSummary::high_probability_bound) that is valid for the run.
    pub high_probability: f64,
}

/// Summary of a group of inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupSummary {
    /// Number of inputs.
    pub inputs: usize,
    /// Average certified radius (ACR): the mean over the inputs of the certified radius, which counts as 0 if the
    /// certified class is wrong or there is none.
    pub acr: f64,
    /// Share of inputs whose certified class is correct, with a radius above 0.
    pub approximate_accuracy: f64,
    /// Number of abstentions.
    pub abstained: usize,
    /// Certified accuracy at each requested radius.
    pub certified_accuracy: Vec<CertifiedAccuracy>,
}

impl GroupSummary {
    fn is_empty(&self) -> bool {
        self.inputs == 0
    }
}

/// The outcome of an input without a label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Index of the input in the data set.
    pub index: u64,
    /// Certified class; `None` for an abstention.
    pub class: Option<usize>,
    /// Certified radius; 0 for an abstention.
    pub radius: f64,
}

/// Summary of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// Name of the run's file.
    pub name: String,
    /// Name of the model's file, if known.
    pub model: Option<String>,
    /// Standard deviation of the noise, if known.
    pub sigma: Option<f64>,
    /// Distribution of the noise.
    pub noise: Distribution,
    /// Noise mode, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_mode: Option<NoiseMode>,
    /// The norm of all radii in the summary.
    pub norm: Norm,
    /// Probability with which a certificate may be wrong; of a simultaneous claim, with which any of them may be wrong.
    pub alpha: f64,
    /// Whether the run makes a simultaneous claim about all its inputs.
    pub simultaneous: bool,
    /// The inequality behind the high-probability certified accuracies.
    pub high_probability_bound: HighProbabilityBound,
    /// Largest number of estimation samples for each input, if known.
    pub n: Option<u64>,
    /// Number of votes for nobody in all samples, by reason, if known. They count against every class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_for_nobody: Option<Nobody>,
    /// Average certified radius in each norm; `None` if the size of the inputs is not known or no input has a label.
    pub acr_by_norm: Option<Radii>,
    /// Summary of all inputs with a label; left out of the JSON form if there are none.
    #[serde(flatten, skip_serializing_if = "GroupSummary::is_empty")]
    pub all: GroupSummary,
    /// Outcomes of inputs without a label.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlabelled: Vec<Answer>,
    /// Summary of the inputs of each label.
    pub classes: BTreeMap<usize, GroupSummary>,
    /// Class names in the order of the labels, if the data set has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// Remarks for the reader.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Certified radii of the inputs whose certified class is correct, in `norm`, largest first.
    #[serde(skip)]
    pub right_radii: Vec<f64>,
}

/// Summarises a run, with certified accuracy at each of `radii` and all radii converted to `norm`.
pub fn summarize(run: &Run, radii: &[f64], norm: Norm) -> RunSummary {
    let scale = Scale { radii, norm, run };
    let mut classes: BTreeMap<usize, Vec<&Outcome>> = BTreeMap::new();
    for outcome in &run.outcomes {
        if let Some(label) = outcome.label {
            classes.entry(label).or_default().push(outcome);
        }
    }
    let (all, others): (Vec<&Outcome>, Vec<&Outcome>) =
        run.outcomes.iter().partition(|outcome| outcome.label.is_some());
    let answer = |outcome: &&Outcome| {
        let &&Outcome { index, class, .. } = outcome;
        Answer { index, class, radius: run.radius(outcome, norm) }
    };
    let mut right_radii: Vec<f64> =
        all.iter().filter(|outcome| outcome.is_right()).map(|outcome| scale.right_radius(outcome)).collect();
    right_radii.sort_by(|a, b| b.total_cmp(a));
    RunSummary {
        name: run.name.clone(),
        model: run.model.clone(),
        sigma: run.sigma.map(f64::from),
        noise: run.noise,
        noise_mode: run.noise_mode,
        norm,
        alpha: run.family_alpha.unwrap_or(run.alpha).get(),
        simultaneous: run.family_alpha.is_some(),
        high_probability_bound: HighProbabilityBound::of(run),
        n: run.n,
        votes_for_nobody: run.nobody,
        class_names: run.data.as_ref().map(|data| data.class_names.clone()).unwrap_or_default(),
        notes: run.notes.clone(),
        acr_by_norm: run
            .mean_radii(|norm| mean_down(all.iter().map(|outcome| run.right_radius(outcome, norm))))
            .filter(|_| !all.is_empty()),
        all: group(&all, &scale),
        unlabelled: others.iter().map(answer).collect(),
        classes: classes.iter().map(|(&class, outcomes)| (class, group(outcomes, &scale))).collect(),
        right_radii,
    }
}

impl RunSummary {
    /// A class by its index and, if it has one, its name.
    pub fn class(&self, class: usize) -> String {
        match self.class_names.get(class) {
            Some(name) => format!("{class} {name}"),
            None => class.to_string(),
        }
    }
}

/// The radii and the norm with which a run is summarised.
struct Scale<'a> {
    radii: &'a [f64],
    norm: Norm,
    run: &'a Run,
}

impl Scale<'_> {
    fn right_radius(&self, outcome: &Outcome) -> f64 {
        self.run.right_radius(outcome, self.norm)
    }
}

fn group(outcomes: &[&Outcome], scale: &Scale<'_>) -> GroupSummary {
    let inputs = outcomes.len();
    let count = |holds: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| holds(outcome)).count();
    let share = |count: usize| if inputs == 0 { 0.0 } else { count as f64 / inputs as f64 };
    GroupSummary {
        inputs,
        acr: mean_down(outcomes.iter().map(|outcome| scale.right_radius(outcome))),
        approximate_accuracy: share(count(&|outcome| outcome.is_right() && outcome.radius > 0.0)),
        abstained: count(&|outcome| outcome.class.is_none()),
        certified_accuracy: scale
            .radii
            .iter()
            .map(|&radius| {
                let value =
                    share(count(&|outcome| outcome.is_right() && scale.right_radius(outcome) >= radius));
                let high_probability =
                    HighProbabilityBound::of(scale.run).lower(value, inputs, scale.run.alpha.get());
                CertifiedAccuracy { radius, value, high_probability }
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Evidence, Footer, Record, example_header};

    fn record(label: usize, class: usize, radius: f64) -> Record {
        Record {
            index: 0,
            label: Some(label),
            class: Some(class),
            selection: vec![].into(),
            estimation: vec![].into(),
            samples: 0,
            p_lower: 0.0,
            radius,
            radii: None,
            abstained: radius == 0.0,
            votes_sha256: None,
            change: None,
            seconds: 0.0,
        }
    }

    fn run(records: Vec<Record>, shape: [usize; 3]) -> Run {
        let mut header = example_header();
        header.data.shape = shape;
        Run::of_evidence("run", &Evidence { header, records, footer: Footer::default() })
    }

    #[test]
    fn wrong_and_abstained_inputs_count_as_radius_zero() {
        let records = [record(1, 1, 0.5), record(1, 2, 0.9), record(1, 1, 0.0), record(1, 1, 0.25)];
        let run = run(records.to_vec(), [1, 1, 1]);
        let summary = summarize(&run, &[0.0, 0.25, 0.3, 0.6], Norm::L2).all;
        assert_eq!((summary.inputs, summary.abstained), (4, 1));
        assert_eq!((summary.acr, summary.approximate_accuracy), (0.75 / 4.0, 0.5));
        let values: Vec<f64> = summary.certified_accuracy.iter().map(|at| at.value).collect();
        assert_eq!(values, [0.5, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn radii_are_given_in_the_norm_asked_for() {
        let run = run(vec![record(0, 0, 0.5), record(0, 1, 0.5)], [1, 2, 8]);
        let summary = summarize(&run, &[0.125], Norm::Linf);
        assert_eq!((summary.all.acr, summary.all.certified_accuracy[0].value), (0.0625, 0.5));
        assert_eq!(summary.acr_by_norm, Some(Radii { l1: 0.25, l2: 0.25, linf: 0.0625 }));
        assert_eq!(summary.right_radii, [0.125]);
    }

    #[test]
    fn the_bound_on_accuracy_is_the_one_that_holds_for_the_run() {
        let mut run = run(vec![record(0, 0, 0.5); 500], [1, 1, 1]);
        let at = |run: &Run| {
            let summary = summarize(run, &[0.25], Norm::L2);
            (summary.high_probability_bound, summary.all.certified_accuracy[0].high_probability)
        };
        let (bound, lower) = at(&run);
        assert!(bound == HighProbabilityBound::Bernstein && lower > 0.98 && lower < 0.99, "{lower}");
        run.noise_mode = Some(NoiseMode::Shared);
        assert!(at(&run).0 == HighProbabilityBound::Markov && at(&run).1 <= 1.0 / 500.0);
        // A simultaneous claim at α ≤ ρ needs no further bound, however certificates depend on each other.
        run.family_alpha = Some("0.001".parse().unwrap());
        assert_eq!(at(&run), (HighProbabilityBound::Simultaneous, 1.0));
        run.family_alpha = Some("0.01".parse().unwrap());
        assert_eq!(at(&run).0, HighProbabilityBound::Markov);
    }
}
