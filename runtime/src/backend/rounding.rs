//! Difference that rounding alone can cause between two answers to the same input.

use super::vote;

/// Relative rounding error allowed to single and double precision.
pub const SINGLE: f32 = 1e-3;
/// Relative rounding error allowed to half precision, TF32 and 8-bit integers.
pub const HALF: f32 = 1e-2;

/// Units in the last place of the largest logit that an answer may differ by, besides the relative error.
const ULPS: f32 = 8.0;
/// Largest number of gaps from which the spread is computed.
const GAPS: usize = 64;

/// Distinguishes rounding from a different answer, for one model.
///
/// Two rows of logits of the same input are compared after the largest logit of each row was subtracted: an offset that
/// all logits share changes no vote, and must not hide a difference. A logit may differ by `relative` times its
/// distance from the largest logit, or times the *spread* of the model if that is larger, plus some units in the last
/// place of the logits themselves. The spread is the median gap between the two largest logits of the rows seen so far.
/// So neither a common offset nor a class with a logit of −1e9 makes the comparison less strict for the other classes.
///
/// ```
/// use mithridate_runtime::backend::{Difference, Rounding};
///
/// let mut rounding = Rounding::new(1e-3);
/// rounding.see(&[4097.0, 4096.0, -1e9]);
/// assert_eq!(rounding.compare(&[4097.0, 4096.0, -1e9], &[4097.0, 4096.0, -1e9]), None);
/// let difference = rounding.compare(&[4097.0, 4096.0, -1e9], &[4097.0, 4096.25, -1e9]);
/// assert!(matches!(difference, Some(Difference::Answer { .. })));
/// ```
#[derive(Clone, Debug)]
pub struct Rounding {
    relative: f32,
    /// In rising order.
    gaps: Vec<f32>,
}

/// How two answers to the same input differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Difference {
    /// The votes differ, but the logits by no more than rounding: a near tie.
    Vote,
    /// The logits differ by more than rounding.
    Answer {
        /// Difference of the class that differs most from the allowed difference.
        difference: f32,
        /// Allowed difference of this class.
        allowed: f32,
    },
}

/// The two largest logits of a row. Infinite logits count, NaN does not.
fn largest_two(row: &[f32]) -> (f32, f32) {
    row.iter().fold((f32::NEG_INFINITY, f32::NEG_INFINITY), |(first, second), &logit| {
        if logit > first {
            (logit, first)
        } else if logit > second {
            (first, logit)
        } else {
            (first, second)
        }
    })
}

/// Unit in the last place: distance from a number to the next one of larger magnitude.
fn ulp(value: f32) -> f32 {
    let size = value.abs();
    if size.is_finite() { (size.next_up() - size).max(f32::MIN_POSITIVE) } else { 0.0 }
}

impl Rounding {
    /// The comparison for a model whose arithmetic has this relative error, such as [`SINGLE`].
    pub fn new(relative: f32) -> Self {
        Self { relative, gaps: Vec::with_capacity(GAPS) }
    }

    /// Adds the gap of a row to those from which the spread is computed, until there are enough.
    pub fn see(&mut self, row: &[f32]) {
        let (first, second) = largest_two(row);
        let gap = first - second;
        if self.gaps.len() < GAPS && gap.is_finite() {
            let place = self.gaps.partition_point(|&other| other < gap);
            self.gaps.insert(place, gap);
        }
    }

    /// The spread: median gap between the two largest logits of the rows seen so far; 0 before the first row.
    pub fn spread(&self) -> f32 {
        self.gaps.get(self.gaps.len() / 2).copied().unwrap_or(0.0)
    }

    /// Compares two rows of logits of the same input. `None` if the votes are equal and the logits differ by rounding
    /// alone.
    pub fn compare(&self, one: &[f32], other: &[f32]) -> Option<Difference> {
        let votes = (vote(one), vote(other));
        let ((top, _), (other_top, _)) = (largest_two(one), largest_two(other));
        let spread = self.spread();
        let mut worst = (0.0_f32, 0.0_f32);
        for (&a, &b) in one.iter().zip(other) {
            if a == b && top == other_top {
                continue;
            }
            if !(a.is_finite() && b.is_finite() && top.is_finite() && other_top.is_finite()) {
                // What is no finite number must be the same on both sides.
                if a.is_nan() != b.is_nan() || (!a.is_nan() && a != b && !(a.is_finite() && b.is_finite())) {
                    worst = (f32::INFINITY, 0.0);
                }
                continue;
            }
            let (below, other_below) = (a - top, b - other_top);
            let size = a.abs().max(top.abs()).max(b.abs()).max(other_top.abs());
            let allowed = self.relative * spread.max(below.abs()) + ULPS * ulp(size);
            let difference = (below - other_below).abs();
            if difference - allowed > worst.0 - worst.1 {
                worst = (difference, allowed);
            }
        }
        match worst {
            (difference, allowed) if difference > allowed => Some(Difference::Answer { difference, allowed }),
            _ if votes.0 != votes.1 => Some(Difference::Vote),
            _ => None,
        }
    }

    /// As [`compare`](Self::compare), if only the vote of one answer is known.
    pub fn compare_vote(&self, one: u16, other: &[f32]) -> Option<Difference> {
        if one == vote(other) {
            return None;
        }
        let (first, second) = largest_two(other);
        let allowed = self.relative * self.spread() + ULPS * ulp(first);
        let difference = first - second;
        // If `difference` is NaN, the answer differs.
        if difference <= allowed {
            Some(Difference::Vote)
        } else {
            Some(Difference::Answer { difference, allowed })
        }
    }

    /// Whether rows of `classes` logits agree except for rounding.
    #[cfg(feature = "ort")]
    pub(crate) fn agree(&self, found: &[f32], expected: &[f32], classes: usize) -> bool {
        found.len() == expected.len()
            && found.chunks(classes).zip(expected.chunks(classes)).all(|(found, expected)| {
                !matches!(self.compare(found, expected), Some(Difference::Answer { .. }))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounding() -> Rounding {
        let mut rounding = Rounding::new(SINGLE);
        for gap in [0.01, 1.0, 1.0, 2.0, 1.0] {
            rounding.see(&[gap, 0.0, -3.0]);
        }
        rounding
    }

    fn is_other(one: &[f32], other: &[f32]) -> bool {
        matches!(rounding().compare(one, other), Some(Difference::Answer { .. }))
    }

    #[test]
    fn the_spread_is_the_median_gap_whatever_the_offset() {
        assert_eq!(rounding().spread(), 1.0);
        let mut rounding = Rounding::new(SINGLE);
        assert_eq!(rounding.spread(), 0.0);
        rounding.see(&[-1e9, 4098.0, 4096.0]);
        rounding.see(&[f32::NAN, 4098.0, 4096.0]);
        rounding.see(&[f32::INFINITY, 4098.0, 4096.0]);
        assert_eq!(rounding.spread(), 2.0);
    }

    #[test]
    fn neither_an_offset_nor_a_class_far_below_hides_another_answer() {
        for offset in [0.0, 1.0, 4096.0] {
            for padding in [-4.0, -1e4, -1e9, f32::NEG_INFINITY] {
                let one = [offset + 1.0, offset, padding];
                assert!(!is_other(&one, &one));
                assert!(is_other(&one, &[offset + 1.0, offset + 0.01, padding]), "{offset} {padding}");
                assert!(!is_other(&one, &[offset + 1.0, offset + 0.000_1, padding]), "{offset} {padding}");
            }
        }
        // The same change of all logits is the same answer, even if rounding hides it for the class far below.
        assert!(!is_other(&[5.0, 4.0, -1e9], &[7.0, 6.0, -1e9]));
        // A class far below may differ by more.
        assert!(!is_other(&[1.0, 0.0, -1e9], &[1.0, 0.0, -1.000_1e9]));
        assert!(is_other(&[1.0, 0.0, -1e9], &[1.0, 0.0, -0.9e9]));
    }

    #[test]
    fn another_vote_between_near_ties_is_told_from_another_answer() {
        assert_eq!(rounding().compare(&[1.0, 1.000_1], &[1.000_1, 1.0]), Some(Difference::Vote));
        assert!(is_other(&[1.0, 2.0], &[2.0, 1.0]));
        assert_eq!(rounding().compare_vote(0, &[1.0, 1.000_1]), Some(Difference::Vote));
        assert_eq!(rounding().compare_vote(1, &[1.0, 1.000_1]), None);
        assert!(matches!(rounding().compare_vote(0, &[1.0, 2.0]), Some(Difference::Answer { .. })));
    }

    #[test]
    fn infinite_logits_and_those_that_are_no_number_must_be_so_on_both_sides() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        for row in [[nan, 1.0, 2.0], [inf, 1.0, 2.0], [-inf, 1.0, 2.0], [-inf, -inf, -inf]] {
            assert!(!is_other(&row, &row), "{row:?}");
            assert!(is_other(&row, &[0.0, 1.0, 2.0]), "{row:?}");
            assert!(is_other(&[0.0, 1.0, 2.0], &row), "{row:?}");
        }
        assert!(is_other(&[nan, 1.0, 2.0], &[inf, 1.0, 2.0]));
        assert!(is_other(&[-inf, 1.0, 2.0], &[inf, 1.0, 2.0]));
        assert!(matches!(
            rounding().compare_vote(1, &[nan, 1.0, 2.0]),
            Some(Difference::Vote | Difference::Answer { .. })
        ));
    }
}
