//! Fresh seeds: the verifier certifies some inputs again with a new seed and compares the votes with the recorded ones.
//!
//! The votes for a class are counts of independent samples that hit with one probability, that of the class under
//! noise. So two honest certifications of an input with different seeds differ by chance alone, and exact tests exist:
//!
//! | compared | test |
//! | --- | --- |
//! | votes for the recorded class among the estimation samples, if the number of samples did not depend on these votes (rules `fixed` and `loss`, recertification) | Fisher's exact test, two-sided |
//! | the same under rules that look at votes (`radius`, `precision`, `deadline`) | the lower bound of the run's confidence sequence lies above the upper Clopper–Pearson bound of the fresh votes, each at half the p-value; detects recorded votes that are too good, but not votes that are too bad |
//! | votes for each class among the n0 selection samples (not in a recertification, where they belong to the earlier model) | Fisher's exact test, two-sided, with Bonferroni correction for the classes, because the recorded class was chosen by its votes |
//! | all inputs together: recorded votes better than fresh ones | Fisher's combination of the one-sided p-values of the estimation samples; only if inputs have independent noise |
//!
//! An honest run fails with probability at most [`FALSE_ALARM`], for any number of inputs. Half of that is divided
//! equally among the tests of single inputs; the other half belongs to the test of all inputs together.
//!
//! The tests detect votes that did not come from the model, and a model that was fitted to the recorded noise. They
//! hardly detect a seed chosen among a few: the best of 34 seeds at α = 0.05 is two standard deviations above the
//! truth, which also occurs by chance. So the p-value of all inputs together is always reported; with more inputs it
//! shows smaller advantages. Only a [challenge](super::challenge_seed) rules out a chosen seed.

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

/// Largest probability with which an honest run is found incompatible.
pub const FALSE_ALARM: f64 = 1e-6;

/// One input, as recorded and as certified again with equally many fresh samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FreshInput {
    /// Index of the input.
    pub index: u64,
    /// Recorded class.
    pub class: Option<usize>,
    /// Class selected by the fresh selection samples.
    pub fresh_class: Option<usize>,
    /// Number of estimation samples, the same in the record and in the fresh certificate.
    pub samples: u64,
    /// Recorded estimation votes for the recorded class.
    pub hits: u64,
    /// Fresh estimation votes for the recorded class.
    pub fresh_hits: u64,
    /// Recorded radius; 0 for an abstention.
    pub radius: f64,
    /// Radius of the fresh certificate, for the class that it selected and with the stopping rule `fixed`; 0 for an
    /// abstention.
    pub fresh_radius: f64,
    /// One-sided p-value: the probability in an honest run of recorded votes that exceed the fresh ones by at least as
    /// much.
    pub surplus_p_value: f64,
    /// The probability in an honest run of so large a difference: the smallest p-value of the tests of this input,
    /// times the number of tests, at most 1.
    pub p_value: f64,
    /// The probability of at most `fresh_hits` fresh votes if the recorded lower bound is the true probability; `None`
    /// for an abstention.
    pub bound_p_value: Option<f64>,
}

/// Comparison of a run with fresh certificates of some of its inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FreshComparison {
    /// Seed of the fresh noise.
    pub seed: u64,
    /// Significance level of the tests of each input: an input with a `p_value` of at most this differs.
    pub level: f64,
    /// The inputs.
    pub inputs: Vec<FreshInput>,
    /// One-sided p-value of all inputs together; `None` if inputs share their noise.
    pub surplus_p_value: Option<f64>,
}

/// Settings to certify a recorded input again: equally many samples, the stopping rule `fixed` and the seed `seed`.
pub fn fresh_settings(header: &Header, record: &Record, seed: u64) -> Settings {
    Settings { n: record.samples.max(1), stop: StoppingRule::Fixed, seed, ..header.settings.clone() }
}

impl FreshComparison {
    /// Compares records with fresh certificates. Each pair is a record and the certificate of the same input made with
    /// [`fresh_settings`] and `seed`.
    ///
    /// # Errors
    /// [`StatisticsError`] if a count exceeds its number of samples.
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
    /// /// Whether the record of an input is consistent with an honest certification.
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
        // Fisher's test is conditional on the sum of both counts. If the sum allows only one outcome, the input carries
        // no information and is left out of the combination.
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

    /// Whether the recorded votes are compatible with an honest run.
    pub fn is_compatible(&self) -> bool {
        self.differing().next().is_none() && !self.is_too_good()
    }

    /// Inputs whose difference is significant.
    pub fn differing(&self) -> impl Iterator<Item = &FreshInput> {
        self.inputs.iter().filter(|input| input.p_value <= self.level)
    }

    /// Whether the recorded votes of all inputs together are significantly better than the fresh ones.
    pub fn is_too_good(&self) -> bool {
        self.surplus_p_value.is_some_and(|p| p <= 0.5 * FALSE_ALARM)
    }
}

impl FreshInput {
    fn new(header: &Header, record: &Record, fresh: &Certificate) -> Result<Self, StatisticsError> {
        let votes_for = |votes: &Votes| match record.class {
            Some(class) => votes.by_class().get(class).copied().unwrap_or(0),
            // No selection sample voted for a class, so count the votes for any class.
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

/// P\[X ≤ `hits`\] for X ~ Bin(`samples`, `p_lower`), rounded up. Computed as the level at which the upper
/// Clopper–Pearson bound of `hits` equals `p_lower`.
fn bound_p_value(p_lower: f64, hits: u64, samples: u64) -> Result<f64, StatisticsError> {
    let misses =
        samples.checked_sub(hits).ok_or(StatisticsError::MoreHitsThanTrials { hits, trials: samples })?;
    least_level(|level| Ok(1.0 - clopper_pearson_lower(misses, samples, level)? < p_lower))
}

/// One-sided p-value of recorded votes against equally many fresh ones, for a run whose stopping rule looks at votes.
fn stopped_surplus(
    settings: &Settings,
    hits: u64,
    samples: u64,
    fresh_hits: u64,
) -> Result<f64, StatisticsError> {
    let misses = samples
        .checked_sub(fresh_hits)
        .ok_or(StatisticsError::MoreHitsThanTrials { hits: fresh_hits, trials: samples })?;
    // Each bound is wrong with probability at most its level, so their sum is a p-value.
    let level = least_level(|level| {
        let recorded = lower_bounds(&Settings { alpha: level, ..settings.clone() }).lower(hits, samples)?;
        Ok(recorded > 1.0 - clopper_pearson_lower(misses, samples, level)?)
    })?;
    Ok((2.0 * level).min(1.0))
}

/// The smallest level at which `is_shown` is true, rounded up; 1 if it is false at ½. `is_shown` must be monotone: if
/// it is true at a level, it is true at every larger one.
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
