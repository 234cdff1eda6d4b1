use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::{
    evidence::Evidence,
    statistics::{Interval, Norm, paired_difference},
};

/// Why two runs can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// They are of different data.
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
    /// They have fewer than two inputs in common.
    #[error(
        "{name} and the baseline {baseline} have {common} inputs in common; a comparison needs two or more"
    )]
    TooFew {
        /// The run.
        name: String,
        /// The baseline.
        baseline: String,
        /// Inputs in common.
        common: usize,
    },
}

/// Difference to the baseline on a group of inputs, with 95 % intervals over the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Inputs that both runs have.
    pub inputs: usize,
    /// Difference of the average certified radius, run minus baseline.
    pub acr: Interval,
    /// Difference of the share certified right, run minus baseline.
    pub approximate_accuracy: Interval,
}

/// How a run differs from the baseline on the inputs that both have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The run.
    pub name: String,
    /// All inputs in common.
    #[serde(flatten)]
    pub all: Difference,
    /// By true class, where there are at least two inputs.
    pub classes: BTreeMap<usize, Difference>,
}

/// Compares a run with a baseline, input by input, with radii in a norm.
///
/// # Errors
/// [`CompareError`] if the data are not the same or too few inputs are common to both.
pub fn compare(
    (name, run): (&str, &Evidence),
    (baseline_name, baseline): (&str, &Evidence),
    norm: Norm,
) -> Result<Comparison, CompareError> {
    let (there, here) = (&run.header.data, &baseline.header.data);
    if there.images_sha256 != here.images_sha256 || there.labels_sha256 != here.labels_sha256 {
        return Err(CompareError::OtherData {
            name: name.into(),
            baseline: baseline_name.into(),
            there: there.file.clone(),
            here: here.file.clone(),
        });
    }
    let before: HashMap<u64, _> = baseline.records.iter().map(|record| (record.index, record)).collect();
    let pairs: Vec<_> =
        run.records.iter().filter_map(|after| Some((*before.get(&after.index)?, after))).collect();
    let difference = |pairs: &[(&crate::evidence::Record, &crate::evidence::Record)]| {
        let radii: Vec<f64> = pairs
            .iter()
            .map(|(old, new)| {
                new.right_radius_in(norm, &run.header) - old.right_radius_in(norm, &baseline.header)
            })
            .collect();
        let right = |record: &crate::evidence::Record| f64::from(u8::from(record.is_right()));
        let rights: Vec<f64> = pairs.iter().map(|(old, new)| right(new) - right(old)).collect();
        Some(Difference {
            inputs: pairs.len(),
            acr: paired_difference(&radii)?,
            approximate_accuracy: paired_difference(&rights)?,
        })
    };
    let mut by_class: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for &pair in &pairs {
        by_class.entry(pair.1.label).or_default().push(pair);
    }
    Ok(Comparison {
        name: name.into(),
        all: difference(&pairs).ok_or_else(|| CompareError::TooFew {
            name: name.into(),
            baseline: baseline_name.into(),
            common: pairs.len(),
        })?,
        classes: by_class.iter().filter_map(|(&class, pairs)| Some((class, difference(pairs)?))).collect(),
    })
}
