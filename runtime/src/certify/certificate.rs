use serde::{Deserialize, Serialize};

use super::Settings;
use crate::statistics::{StatisticsError, clopper_pearson_lower};

/// Votes of the noisy copies of one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Votes(Vec<u64>);

impl Votes {
    /// No votes yet for each of the classes.
    pub fn none(classes: usize) -> Self {
        Self(vec![0; classes])
    }

    /// Votes by class.
    pub fn by_class(&self) -> &[u64] {
        &self.0
    }

    /// All votes; less than the samples if some voted for nobody.
    pub fn total(&self) -> u64 {
        // Votes that somebody else wrote may be any numbers.
        self.0.iter().fold(0, |total, &votes| total.saturating_add(votes))
    }

    /// Adds the votes of a part of the samples.
    pub(super) fn add(&mut self, part: &[u64]) {
        for (sum, votes) in self.0.iter_mut().zip(part) {
            *sum += votes;
        }
    }

    /// The class with most votes, the first of equals; `None` if nobody has any.
    pub fn winner(&self) -> Option<usize> {
        let most = *self.0.iter().max()?;
        if most == 0 { None } else { self.0.iter().position(|&votes| votes == most) }
    }
}

impl From<Vec<u64>> for Votes {
    fn from(votes: Vec<u64>) -> Self {
        Self(votes)
    }
}

/// The result for one input: a proof that the smoothed classifier answers `class` within `radius`, or an abstention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Index of the input in its data set.
    pub index: u64,
    /// True class, if known.
    pub label: Option<usize>,
    /// Class chosen by the selection samples; `None` if not one of them voted.
    pub class: Option<usize>,
    /// Votes of the n0 selection samples.
    pub selection: Votes,
    /// Votes of the n estimation samples.
    pub estimation: Votes,
    /// Lower bound on the probability of `class` under noise, at confidence 1 − α.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, in units of the data set; `None` is an abstention.
    pub radius: Option<f64>,
    /// Time the samples took, summed over workers, in seconds.
    pub seconds: f64,
}

/// Class, bound and radius that the votes prove: CERTIFY without the sampling.
///
/// The class comes from the selection votes alone; the bound from the estimation votes, of which every one of the
/// `settings.n` samples that did not vote for the class counts against it.
///
/// # Errors
/// [`StatisticsError`] if the votes can't be of that many samples.
///
/// # Example
/// ```
/// use mithridate_runtime::{certify::{Settings, decide}, units::Sigma};
///
/// let settings = Settings { n: 1000, ..Settings::new(Sigma::new(0.25)?, 0) };
/// let (class, p_lower, radius) = decide(&vec![3, 97].into(), &vec![10, 990].into(), &settings)?;
/// assert_eq!(class, Some(1));
/// assert!(p_lower > 0.97 && radius.unwrap() > 0.25 * 1.88);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[allow(clippy::type_complexity)]
pub fn decide(
    selection: &Votes,
    estimation: &Votes,
    settings: &Settings,
) -> Result<(Option<usize>, f64, Option<f64>), StatisticsError> {
    for (votes, samples) in [(selection, settings.n0), (estimation, settings.n)] {
        if votes.total() > samples {
            return Err(StatisticsError::MoreHitsThanTrials { hits: votes.total(), trials: samples });
        }
    }
    let Some(class) = selection.winner() else { return Ok((None, 0.0, None)) };
    let hits = estimation.by_class().get(class).copied().unwrap_or(0);
    let p_lower = clopper_pearson_lower(hits, settings.n, settings.alpha)?;
    Ok((Some(class), p_lower, settings.radius(p_lower)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Sigma;

    fn settings(n0: u64, n: u64) -> Settings {
        Settings { n0, n, ..Settings::new(Sigma::new(1.0).unwrap(), 0) }
    }

    #[test]
    fn the_bound_is_for_the_selected_class_also_where_another_wins_the_estimate() {
        let (class, p_lower, radius) =
            decide(&vec![60, 40].into(), &vec![10, 90].into(), &settings(100, 100)).unwrap();
        assert_eq!((class, radius), (Some(0), None));
        assert!(p_lower < 0.1);
    }

    #[test]
    fn samples_without_a_vote_count_against_the_class() {
        let all = decide(&vec![100, 0].into(), &vec![1000, 0].into(), &settings(100, 1000)).unwrap();
        let some = decide(&vec![100, 0].into(), &vec![900, 0].into(), &settings(100, 1000)).unwrap();
        let same = decide(&vec![100, 0].into(), &vec![900, 100].into(), &settings(100, 1000)).unwrap();
        assert!(some.1 < all.1);
        assert_eq!(some, same);
    }

    #[test]
    fn a_model_that_never_votes_abstains() {
        let none = decide(&vec![0, 0].into(), &vec![0, 0].into(), &settings(100, 1000)).unwrap();
        assert_eq!(none, (None, 0.0, None));
    }

    #[test]
    fn ten_unanimous_votes_certify_and_nine_do_not() {
        let (_, p_lower, radius) =
            decide(&vec![100, 0].into(), &vec![10, 0].into(), &settings(100, 10)).unwrap();
        assert!((p_lower - 0.5012).abs() < 1e-4 && radius.is_some());
        let (_, _, radius) = decide(&vec![100, 0].into(), &vec![9, 0].into(), &settings(100, 9)).unwrap();
        assert_eq!(radius, None);
    }

    #[test]
    fn a_hundred_million_samples_are_no_trouble() {
        let n = 100_000_000;
        let (_, p_lower, radius) =
            decide(&vec![100, 0].into(), &vec![n, 0].into(), &settings(100, n)).unwrap();
        // α^(1/n) = 1 − 6.9e-8, Φ⁻¹ of that is 5.26768.
        assert!(p_lower <= 0.001_f64.powf(1e-8) && (1.0 - p_lower - 6.907_755e-8).abs() < 1e-13);
        assert!((radius.unwrap() - 5.267_68).abs() < 1e-4, "{radius:?}");
        let (_, p_lower, radius) =
            decide(&vec![100, 0].into(), &vec![50_000_000, 50_000_000].into(), &settings(100, n)).unwrap();
        assert!(p_lower < 0.5 && p_lower > 0.499_8 && radius.is_none());
    }

    #[test]
    fn more_votes_than_samples_are_an_error() {
        assert!(decide(&vec![101, 0].into(), &vec![1, 0].into(), &settings(100, 10)).is_err());
        assert!(decide(&vec![100, 0].into(), &vec![9, 2].into(), &settings(100, 10)).is_err());
    }
}
