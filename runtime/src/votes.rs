//! Votes: the class that the model gives for one noisy sample, and the counts of votes of one input.

use serde::{Deserialize, Serialize};

/// The vote of one sample: the index of a class, or one of [`TIE`], [`INFINITE`] and [`NOT_A_NUMBER`], which are votes
/// for nobody.
pub type Vote = u16;

/// A vote for nobody: two or more classes have the largest logit.
pub const TIE: Vote = Vote::MAX;
/// A vote for nobody: a logit is positive infinity.
pub const INFINITE: Vote = Vote::MAX - 1;
/// A vote for nobody: a logit is not a number.
pub const NOT_A_NUMBER: Vote = Vote::MAX - 2;

/// Largest number of classes that a [`Vote`] can represent.
pub const MAX_CLASSES: usize = NOT_A_NUMBER as usize;

/// The vote of a row of `logits`: the class with the largest one.
///
/// If no class is the only largest, the vote is for nobody ([`TIE`], [`INFINITE`] or [`NOT_A_NUMBER`]) and counts
/// against every class. Negative infinity is a valid logit: some models use it to rule a class out.
///
/// ```
/// use mithridate_runtime::{backend::vote, certify::{INFINITE, NOT_A_NUMBER, TIE}};
///
/// assert_eq!(vote(&[0.1, 2.0, -3.0]), 1);
/// assert_eq!(vote(&[0.1, f32::NEG_INFINITY, -3.0]), 0);
/// assert_eq!(vote(&[2.0, 2.0, 0.0]), TIE);
/// assert_eq!(vote(&[f32::NEG_INFINITY, f32::NEG_INFINITY]), TIE);
/// assert_eq!(vote(&[0.0, f32::INFINITY, 9.0]), INFINITE);
/// assert_eq!(vote(&[f32::INFINITY, f32::NAN, 9.0]), NOT_A_NUMBER);
/// ```
pub fn vote(logits: &[f32]) -> Vote {
    let mut best = None;
    let mut largest = f32::NEG_INFINITY;
    for (class, &logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return NOT_A_NUMBER;
        }
        if logit > largest {
            (best, largest) = (Some(class), logit);
        } else if logit == largest {
            best = None;
        }
    }
    if largest == f32::INFINITY {
        return INFINITE;
    }
    // Models with more than MAX_CLASSES classes are refused when they are loaded.
    best.and_then(|class| Vote::try_from(class).ok()).unwrap_or(TIE)
}

/// Counts of the votes of one input's samples: for each class, and for nobody by reason.
///
/// In JSON this is the list of counts by class if every sample voted for a class. Otherwise it is an object with that
/// list as `by_class` and the counts of votes for nobody.
///
/// ```
/// use mithridate_runtime::certify::Votes;
///
/// let votes: Votes = serde_json::from_str(r#"{"by_class": [7, 90], "ties": 1, "not_a_number": 2}"#)?;
/// assert_eq!((votes.by_class(), votes.total(), votes.nobody().total()), (&[7, 90][..], 97, 3));
/// assert_eq!(serde_json::to_string(&Votes::from(vec![7, 90]))?, "[7,90]");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "VotesForm", into = "VotesForm")]
pub struct Votes {
    by_class: Vec<u64>,
    nobody: Nobody,
}

/// Counts of votes for nobody, by reason. They count against every class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nobody {
    /// Samples for which two or more classes had the largest logit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ties: u64,
    /// Samples with a logit of positive infinity and no logit that is NaN.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub infinite: u64,
    /// Samples with a logit that is NaN.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_a_number: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde asks for.
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Nobody {
    /// Sum over all reasons. Counts read from a file may be arbitrary, so the sum saturates.
    pub fn total(&self) -> u64 {
        self.ties.saturating_add(self.infinite).saturating_add(self.not_a_number)
    }

    /// Adds the counts of `other`; the sums saturate.
    pub fn add(&mut self, other: &Self) {
        self.ties = self.ties.saturating_add(other.ties);
        self.infinite = self.infinite.saturating_add(other.infinite);
        self.not_a_number = self.not_a_number.saturating_add(other.not_a_number);
    }
}

/// The two JSON forms of [`Votes`].
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum VotesForm {
    List(Vec<u64>),
    Object {
        by_class: Vec<u64>,
        #[serde(flatten)]
        nobody: Nobody,
    },
}

impl From<VotesForm> for Votes {
    fn from(form: VotesForm) -> Self {
        match form {
            VotesForm::List(by_class) => by_class.into(),
            VotesForm::Object { by_class, nobody } => Self { by_class, nobody },
        }
    }
}

impl From<Votes> for VotesForm {
    fn from(Votes { by_class, nobody }: Votes) -> Self {
        if nobody == Nobody::default() { Self::List(by_class) } else { Self::Object { by_class, nobody } }
    }
}

impl Votes {
    /// Zero votes for each of `classes` classes.
    pub fn none(classes: usize) -> Self {
        vec![0; classes].into()
    }

    /// Counts by class; the index is the class.
    pub fn by_class(&self) -> &[u64] {
        &self.by_class
    }

    /// Counts of votes for nobody.
    pub fn nobody(&self) -> &Nobody {
        &self.nobody
    }

    /// Number of votes for classes, without votes for nobody.
    pub fn total(&self) -> u64 {
        // Counts read from a file may be arbitrary, so the sum must not overflow.
        self.by_class.iter().fold(0, |total, &votes| total.saturating_add(votes))
    }

    /// Number of samples: votes for classes plus votes for nobody.
    pub fn samples(&self) -> u64 {
        self.total().saturating_add(self.nobody.total())
    }

    /// Copies the counts of `other`, which must have the same number of classes, without allocating.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.by_class.copy_from_slice(&other.by_class);
        self.nobody = other.nobody;
    }

    /// Adds the votes `voted` to the counts.
    pub(crate) fn count(&mut self, voted: &[Vote]) {
        for &vote in voted {
            match self.by_class.get_mut(usize::from(vote)) {
                Some(votes) => *votes += 1,
                None => match vote {
                    NOT_A_NUMBER => self.nobody.not_a_number += 1,
                    INFINITE => self.nobody.infinite += 1,
                    _ => self.nobody.ties += 1,
                },
            }
        }
    }

    /// The class with the most votes, the lowest index if several have equally many; `None` if no class has a vote.
    pub fn winner(&self) -> Option<usize> {
        first_largest(&self.by_class)
    }
}

/// The index of the largest count, the lowest index if several are equal; `None` if all counts are 0.
pub(crate) fn first_largest(votes: &[u64]) -> Option<usize> {
    let most = *votes.iter().max()?;
    if most == 0 { None } else { votes.iter().position(|&votes| votes == most) }
}

impl From<Vec<u64>> for Votes {
    fn from(by_class: Vec<u64>) -> Self {
        Self { by_class, nobody: Nobody::default() }
    }
}
