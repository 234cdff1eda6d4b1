//! Inputs certified anew with a seed of the verifier's own, and compared with what a run recorded.
//!
//! Votes for a class are counts of independent samples with one probability, that of the model under the noise. Two honest
//! certifications of an input with different seeds therefore differ by chance alone, and how much is known exactly:
//!
//! | compared | test |
//! | --- | --- |
//! | votes for the recorded class among the estimation samples, where their number did not depend on them (rules `fixed`, `loss`; recertification) | Fisher's exact test, two-sided |
//! | the same under rules that look at votes (`radius`, `precision`, `deadline`) | the confidence sequence of the run above the Clopper–Pearson bound of the fresh votes, each at half the p-value; it finds recorded votes that are too good, not too bad ones |
//! | votes for each class among the n0 selection samples (not in a recertification, where they are the earlier model's) | Fisher's exact test, two-sided, by Bonferroni over the classes: the recorded class was chosen because it had most votes |
//! | all inputs together: recorded votes better than fresh ones | Fisher's combination of the one-sided p-values of the estimation; only where inputs have independent noise |
//!
//! An honest run fails with probability at most [`FALSE_ALARM`], whatever the number of inputs: half of it is shared equally
//! among the tests of single inputs, half belongs to the test of all together.
//!
//! This shows votes that are not the model's, and noise that a model was fitted to. It shows little of a seed that was chosen
//! among a few: the best of 34 at α = 0.05 lies two standard deviations above the truth, which single inputs do by chance. So
//! the p-value of all inputs together is reported whether it fails or not; the more inputs, the smaller the choice that shows.
//! What rules such a choice out is a [challenge](super::challenge_seed).

use serde::Serialize;

use super::{Header, Record};
use crate::{
    certify::{Certificate, Settings, StoppingRule, Votes, lower_bounds},
    noise::NoiseMode,
    statistics::{
        StatisticsError, clopper_pearson_lower, combined_p_value, difference_p_value, excess_p_value,
    },
    units::Alpha,
};

/// Probability that an honest run is found incompatible.
pub const FALSE_ALARM: f64 = 1e-6;

/// One input, as recorded and certified anew with as many samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FreshInput {
    /// Index of the input.
    pub index: u64,
    /// Class recorded.
    pub class: Option<usize>,
    /// Class that the fresh selection samples chose.
    pub fresh_class: Option<usize>,
    /// Estimation samples, of the record and of the fresh certificate.
    pub samples: u64,
    /// Votes recorded for the recorded class.
    pub hits: u64,
    /// Fresh votes for the recorded class.
    pub fresh_hits: u64,
    /// Radius recorded; 0 for an abstention.
    pub radius: f64,
    /// Radius that the fresh samples prove for the class that they chose, their number chosen beforehand; 0 for an abstention.
    pub fresh_radius: f64,
    /// How likely recorded votes so much better than fresh ones are in an honest run.
    pub surplus_p_value: f64,
    /// How likely so large a difference is in an honest run: the smallest p-value of the tests of this input, times their
    /// number.
    pub p_value: f64,
    /// How likely fresh votes as few as these are if the recorded lower bound is true; none without a certificate.
    pub bound_p_value: Option<f64>,
}

/// A run compared with fresh certificates of some of its inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FreshComparison {
    /// Seed of the fresh noise.
    pub seed: u64,
    /// What an honest run falls below with probability [`FALSE_ALARM`] at most: the level of the tests of each input.
    pub level: f64,
    /// The inputs.
    pub inputs: Vec<FreshInput>,
    /// How likely recorded votes so much better than fresh ones are in an honest run, all inputs together; none where inputs
    /// share their noise.
    pub surplus_p_value: Option<f64>,
}

/// Settings to certify a recorded input anew: as many samples, other noise.
pub fn fresh_settings(header: &Header, record: &Record, seed: u64) -> Settings {
    Settings { n: record.samples.max(1), stop: StoppingRule::Fixed, seed, ..header.settings.clone() }
}

impl FreshComparison {
    /// Compares records with certificates of the same inputs, made with [`fresh_settings`], in the same order.
    ///
    /// # Errors
    /// [`StatisticsError`] if counts can't be of that many samples.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use mithridate_runtime::{
    ///     backend::LinearClassifier,
    ///     certify::{Certifier, Input},
    ///     evidence::{FreshComparison, Header, Record, fresh_settings},
    /// };
    ///
    /// /// Whether the record of an input is as honest certification gives it.
    /// fn holds(header: &Header, record: &Record, image: Vec<f32>) -> Result<bool, Box<dyn std::error::Error>> {
    ///     let model = LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0]);
    ///     // Drawn now, so that nobody can have known it.
    ///     let seed = mithridate_runtime::noise::seed_from_os()?;
    ///     let settings = fresh_settings(header, record, seed);
    ///     let input = Input { index: record.index, label: record.label, image };
    ///     let fresh = Certifier::new(vec![Box::new(model)], settings, 256)?.certify_one(&input)?;
    ///     Ok(FreshComparison::new(header, &[(record, fresh)], seed)?.is_compatible())
    /// }
    /// ```
    pub fn new(
        header: &Header,
        pairs: &[(&Record, Certificate)],
        seed: u64,
    ) -> Result<Self, StatisticsError> {
        let inputs = pairs
            .iter()
            .map(|(record, fresh)| FreshInput::new(header, record, fresh))
            .collect::<Result<Vec<_>, _>>()?;
        let is_independent = header.noise.mode == NoiseMode::Independent;
        // Fisher's test is one for given sums of both counts: where these leave one possibility, there is nothing to combine.
        let looks_at_votes = header.settings.stop.looks_at_votes();
        let is_open = |input: &&FreshInput| {
            let sum = input.hits.saturating_add(input.fresh_hits);
            looks_at_votes || (sum > 0 && sum < input.samples.saturating_mul(2))
        };
        let together = is_independent
            .then(|| combined_p_value(inputs.iter().filter(is_open).map(|input| input.surplus_p_value)));
        let level = 0.5 * FALSE_ALARM / inputs.len().max(1) as f64;
        Ok(Self { seed, level, inputs, surplus_p_value: together })
    }

    /// Whether the run is one that honest certification makes, up to chance.
    pub fn is_compatible(&self) -> bool {
        self.differing().next().is_none() && !self.is_too_good()
    }

    /// Inputs that differ by more than chance.
    pub fn differing(&self) -> impl Iterator<Item = &FreshInput> {
        self.inputs.iter().filter(|input| input.p_value <= self.level)
    }

    /// Whether the recorded votes of all inputs together are better than chance allows.
    pub fn is_too_good(&self) -> bool {
        self.surplus_p_value.is_some_and(|p| p <= 0.5 * FALSE_ALARM)
    }
}

impl FreshInput {
    fn new(header: &Header, record: &Record, fresh: &Certificate) -> Result<Self, StatisticsError> {
        let votes_for = |votes: &Votes| match record.class {
            Some(class) => votes.by_class().get(class).copied().unwrap_or(0),
            // No selection sample voted for a class: then hardly any sample does.
            None => votes.total(),
        };
        let (hits, fresh_hits) = (votes_for(&record.estimation), votes_for(&fresh.estimation));
        let samples = record.samples;
        let mut tests = Vec::new();
        let mut surplus = 1.0;
        if samples > 0 {
            let looks_at_votes = header.settings.stop.looks_at_votes();
            surplus = if looks_at_votes {
                stopped_surplus(&header.settings, hits, samples, fresh_hits)?
            } else {
                excess_p_value(hits, samples, fresh_hits, samples)?
            };
            tests.push(if looks_at_votes {
                surplus
            } else {
                difference_p_value(hits, samples, fresh_hits, samples)?
            });
        }
        if header.recertification.is_none() {
            let n0 = header.settings.n0;
            let (before, after) = (record.selection.by_class(), fresh.selection.by_class());
            let mut smallest = 1.0_f64;
            for (&before, &after) in before.iter().zip(after) {
                smallest = smallest.min(difference_p_value(before, n0, after, n0)?);
            }
            tests.push(smallest * before.len() as f64);
        }
        let p_value = tests.iter().copied().fold(1.0_f64, f64::min) * tests.len().max(1) as f64;
        let bound = (!record.abstained).then(|| bound_p_value(record.p_lower, fresh_hits, samples));
        Ok(Self {
            index: record.index,
            class: record.class,
            fresh_class: fresh.class,
            samples,
            hits,
            fresh_hits,
            radius: record.radius,
            fresh_radius: if samples == 0 { 0.0 } else { fresh.radius.unwrap_or(0.0) },
            surplus_p_value: surplus,
            p_value: p_value.min(1.0),
            bound_p_value: bound.transpose()?,
        })
    }
}

/// P\[X ≤ hits\] for X binomial with this probability, rounded up: the level at which the upper Clopper–Pearson bound of these
/// votes is the probability.
fn bound_p_value(p_lower: f64, hits: u64, samples: u64) -> Result<f64, StatisticsError> {
    let misses =
        samples.checked_sub(hits).ok_or(StatisticsError::MoreHitsThanTrials { hits, trials: samples })?;
    least_level(|level| Ok(1.0 - clopper_pearson_lower(misses, samples, level)? < p_lower))
}

/// p-value of recorded votes, of a run that could stop whenever it liked, against as many fresh ones.
fn stopped_surplus(
    settings: &Settings,
    hits: u64,
    samples: u64,
    fresh_hits: u64,
) -> Result<f64, StatisticsError> {
    let misses = samples
        .checked_sub(fresh_hits)
        .ok_or(StatisticsError::MoreHitsThanTrials { hits: fresh_hits, trials: samples })?;
    // Either bound is false with the probability of its level.
    let level = least_level(|level| {
        let recorded = lower_bounds(&Settings { alpha: level, ..settings.clone() }).lower(hits, samples)?;
        Ok(recorded > 1.0 - clopper_pearson_lower(misses, samples, level)?)
    })?;
    Ok((2.0 * level).min(1.0))
}

/// The least level at which something is shown, from above; 1 if it is not at ½. What is shown at a level is shown at every
/// larger one.
fn least_level(is_shown: impl Fn(Alpha) -> Result<bool, StatisticsError>) -> Result<f64, StatisticsError> {
    let at = |ln: f64| Alpha::new(ln.exp()).map_or(Ok(false), &is_shown);
    let (mut below, mut above) = (-690.0, 0.5_f64.ln());
    if !at(above)? {
        return Ok(1.0);
    }
    while above - below > 1e-6 {
        let middle = f64::midpoint(below, above);
        if at(middle)? {
            above = middle;
        } else {
            below = middle;
        }
    }
    Ok(above.exp())
}

#[cfg(test)]
mod tests;
