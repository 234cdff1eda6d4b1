use serde::Serialize;

use super::Votes;
use crate::{
    statistics::{StatisticsError, equal_odds_p_value},
    units::Alpha,
};

/// The predicted class of the smoothed classifier for one input, or an abstention.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Index of the input in its data set.
    pub index: u64,
    /// True class, if known.
    pub label: Option<usize>,
    /// The predicted class, wrong with probability at most α; `None` is an abstention.
    pub class: Option<usize>,
    /// Votes of the n samples.
    pub votes: Votes,
    /// p-value of the two-sided test that the two classes with most votes are equally likely.
    pub p_value: f64,
    /// Time the samples took, summed over workers, in seconds.
    pub seconds: f64,
}

/// The class that the votes of an input predict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The class of the smoothed classifier, wrong with probability at most α; `None` is an abstention.
    pub class: Option<usize>,
    /// p-value of the two-sided test that the two classes with most votes are equally likely.
    pub p_value: f64,
}

/// PREDICT without the sampling: the predicted class and p-value from the votes of `samples` samples.
///
/// Applies the two-sided exact binomial test with probability ½ to the two largest counts, and abstains if its p-value
/// exceeds α. With probability at least 1 − α over the samples, the result is the class of the smoothed classifier or
/// an abstention (Cohen, Rosenfeld and Kolter 2019, Proposition 1). A tie for the second largest count does not matter.
///
/// # Errors
/// [`StatisticsError`] if there are more votes than samples, or no samples.
///
/// # Example
/// ```
/// use mithridate_runtime::{certify::predict, units::Alpha};
///
/// let alpha = Alpha::new(0.01)?;
/// assert_eq!(predict(&vec![60, 40, 0].into(), 100, alpha)?.class, None);
/// assert_eq!(predict(&vec![65, 35, 0].into(), 100, alpha)?.class, Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn predict(votes: &Votes, samples: u64, alpha: Alpha) -> Result<Answer, StatisticsError> {
    if samples == 0 {
        return Err(StatisticsError::NoTrials);
    }
    if votes.total() > samples {
        return Err(StatisticsError::MoreHitsThanTrials { hits: votes.total(), trials: samples });
    }
    let Some(class) = votes.winner() else { return Ok(Answer { class: None, p_value: 1.0 }) };
    let counts = votes.by_class();
    let second =
        counts.iter().enumerate().filter(|(other, _)| *other != class).map(|(_, &count)| count).max();
    let p_value = equal_odds_p_value(counts[class], second.unwrap_or(0));
    Ok(Answer { class: (p_value <= alpha.get()).then_some(class), p_value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(votes: &[u64], alpha: f64) -> Option<usize> {
        predict(&votes.to_vec().into(), 1000, Alpha::new(alpha).unwrap()).unwrap().class
    }

    #[test]
    fn the_test_is_two_sided() {
        // P[X >= 10 of 10] = 1/1024, two-sided 1/512 = 0.00195.
        assert_eq!(answer(&[0, 10], 0.001_95), None);
        assert_eq!(answer(&[0, 10], 0.001_96), Some(1));
    }

    #[test]
    fn only_the_two_largest_counts_matter() {
        assert_eq!(answer(&[10, 0, 0], 0.01), answer(&[10, 0, 0, 0], 0.01));
        assert_eq!(answer(&[5, 30, 6, 7], 0.001), Some(1));
        assert_eq!(answer(&[25, 30, 6, 7], 0.001), None);
    }

    #[test]
    fn a_tie_or_no_votes_abstain() {
        assert_eq!(answer(&[500, 500], 0.999), None);
        assert_eq!(answer(&[0, 0], 0.999), None);
        assert_eq!(answer(&[], 0.999), None);
    }

    #[test]
    fn more_votes_than_samples_are_an_error() {
        assert!(predict(&vec![6, 5].into(), 10, Alpha::USUAL).is_err());
        assert!(predict(&vec![0, 0].into(), 0, Alpha::USUAL).is_err());
    }
}
