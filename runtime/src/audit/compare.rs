use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Outcome, Run};
use crate::statistics::{Interval, Norm, paired_difference};

/// Why two runs can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// They certify different images.
    #[error(
        "{name} and the baseline {baseline} certify different data ({there} against {here}); compare runs on the same images"
    )]
    OtherData {
        /// The run.
        name: String,
        /// The baseline.
        baseline: String,
        /// Data of the run.
        there: String,
        /// Data of the baseline.
        here: String,
    },
    /// They certify the same images with different labels.
    #[error(
        "{name} and the baseline {baseline} certify the same images with different labels, or one of them without labels; \
         certify both with the same labels"
    )]
    OtherLabels {
        /// The run.
        name: String,
        /// The baseline.
        baseline: String,
    },
    /// An input has different labels in the two runs.
    #[error(
        "{name} and the baseline {baseline} are of different data: the label of input {index} is {there} and {here}"
    )]
    OtherLabel {
        /// The run.
        name: String,
        /// The baseline.
        baseline: String,
        /// Index of the input.
        index: u64,
        /// Its label in the run.
        there: usize,
        /// Its label in the baseline.
        here: usize,
    },
    /// They have fewer than two labelled inputs in common.
    #[error(
        "{name} and the baseline {baseline} have {common} inputs of known class in common; a comparison needs two or \
         more"
    )]
    TooFew {
        /// The run.
        name: String,
        /// The baseline.
        baseline: String,
        /// Number of labelled inputs in common.
        common: usize,
    },
}

/// Difference between a run and the baseline on a group of inputs, with 95 % confidence intervals.
///
/// The intervals cover the choice of inputs, given the noise of the two runs. If inputs share their noise, its common
/// effect on all of them is part of the difference and not covered by the interval. The intervals do not cover the
/// probability α with which a certificate may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Number of inputs in both runs.
    pub inputs: usize,
    /// Difference of the average certified radius, run minus baseline.
    pub acr: Interval,
    /// Difference of the share of inputs with the correct class certified, run minus baseline.
    pub approximate_accuracy: Interval,
}

/// Comparison of a run with the baseline on the inputs that both have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the run.
    pub name: String,
    /// Difference on all labelled inputs in common.
    #[serde(flatten)]
    pub all: Difference,
    /// Difference by label, for labels with at least two inputs.
    pub classes: BTreeMap<usize, Difference>,
}

/// Compares a run with a baseline, input by input, with radii converted to `norm`.
///
/// # Errors
/// [`CompareError`] if the data differ or fewer than two labelled inputs are common to both.
pub fn compare(run: &Run, baseline: &Run, norm: Norm) -> Result<Comparison, CompareError> {
    let names = || (run.name.clone(), baseline.name.clone());
    if let (Some(there), Some(here)) = (&run.data, &baseline.data)
        && (there.images_sha256 != here.images_sha256 || there.labels_sha256 != here.labels_sha256)
    {
        let (name, baseline) = names();
        if there.images_sha256 == here.images_sha256 {
            return Err(CompareError::OtherLabels { name, baseline });
        }
        return Err(CompareError::OtherData {
            name,
            baseline,
            there: there.file.clone(),
            here: here.file.clone(),
        });
    }
    let before: HashMap<u64, &Outcome> =
        baseline.outcomes.iter().map(|outcome| (outcome.index, outcome)).collect();
    let mut pairs: Vec<(usize, &Outcome, &Outcome)> = Vec::new();
    for new in &run.outcomes {
        let Some(&old) = before.get(&new.index) else { continue };
        // A table does not identify its data, so at least the labels must agree.
        match (old.label, new.label) {
            (Some(here), Some(there)) if here == there => pairs.push((here, old, new)),
            (Some(here), Some(there)) => {
                let (name, baseline) = names();
                return Err(CompareError::OtherLabel { name, baseline, index: new.index, there, here });
            }
            _ => {}
        }
    }
    let difference = |pairs: &[(usize, &Outcome, &Outcome)]| {
        let radius = |(_, old, new): &(usize, &Outcome, &Outcome)| {
            run.right_radius(new, norm) - baseline.right_radius(old, norm)
        };
        let radii: Vec<f64> = pairs.iter().map(radius).collect();
        let right = |outcome: &Outcome| f64::from(u8::from(outcome.is_right()));
        let rights: Vec<f64> = pairs.iter().map(|(_, old, new)| right(new) - right(old)).collect();
        Some(Difference {
            inputs: pairs.len(),
            acr: paired_difference(&radii)?,
            approximate_accuracy: paired_difference(&rights)?,
        })
    };
    let mut by_class: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for &pair in &pairs {
        by_class.entry(pair.0).or_default().push(pair);
    }
    Ok(Comparison {
        name: run.name.clone(),
        all: difference(&pairs).ok_or_else(|| {
            let (name, baseline) = names();
            CompareError::TooFew { name, baseline, common: pairs.len() }
        })?,
        classes: by_class.iter().filter_map(|(&class, pairs)| Some((class, difference(pairs)?))).collect(),
    })
}
