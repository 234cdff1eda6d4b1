use serde::Serialize;

use super::OnnxClassifier;
use crate::backend::{BackendError, Classifier};

/// What the values of an output are; the class with the largest is the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Any numbers.
    Logits,
    /// Numbers from 0 to 1 that sum to 1.
    Probabilities,
    /// Their logarithms.
    #[serde(rename = "log-probabilities")]
    LogProbabilities,
}

impl OutputKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
            Self::LogProbabilities => "log-probabilities",
        }
    }

    /// Tells it from rows of values.
    pub(super) fn of<'a>(mut rows: impl Iterator<Item = &'a [f32]> + Clone) -> Self {
        let sums_to_one = |values: f32| (values - 1.0).abs() < 1e-2;
        if rows
            .clone()
            .all(|row| row.iter().all(|v| (0.0..=1.0).contains(v)) && sums_to_one(row.iter().sum()))
        {
            Self::Probabilities
        } else if rows
            .all(|row| row.iter().all(|&v| v <= 0.0) && sums_to_one(row.iter().map(|v| v.exp()).sum()))
        {
            Self::LogProbabilities
        } else {
            Self::Logits
        }
    }
}

/// Made-up images with values in \[0, 1\], all different; `seed` tells sets of them apart.
pub(super) fn images(count: usize, len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count * len)
        .map(|_| {
            // A linear congruential generator will do for inputs that only must differ.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        })
        .collect()
}

/// Rows of output for images, `batch` at a time.
pub(super) fn rows(
    classifier: &mut OnnxClassifier,
    images: &[f32],
    batch: usize,
) -> Result<Vec<f32>, BackendError> {
    let (mut all, mut part) = (Vec::new(), Vec::new());
    for inputs in images.chunks(batch * classifier.input_len()) {
        let shape = classifier.run(inputs, &mut part)?;
        classifier.classes_of(inputs.len() / classifier.input_len(), &shape)?;
        all.extend_from_slice(&part);
    }
    Ok(all)
}

/// Whether rows agree, as far as the largest value of each allows single-precision arithmetic in another order to.
/// What is no number on one side must be none on the other.
pub(super) fn agree(found: &[f32], expected: &[f32], classes: usize, tolerance: f32) -> bool {
    found.len() == expected.len()
        && found.chunks(classes).zip(expected.chunks(classes)).all(|(found, expected)| {
            let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
            if !finite(found) || !finite(expected) {
                return finite(found) == finite(expected);
            }
            let size = expected.iter().fold(f32::MIN_POSITIVE, |size, value| size.max(value.abs()));
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance * size)
        })
}

/// A batch of made-up images and what a model answers to it, to be compared with what it answers otherwise.
pub(super) struct Probe<'a> {
    classifier: &'a mut OnnxClassifier,
    inputs: Vec<f32>,
    batch: usize,
    first: Vec<f32>,
}

impl<'a> Probe<'a> {
    /// Runs the batch.
    pub fn new(classifier: &'a mut OnnxClassifier, batch: usize) -> Result<Self, BackendError> {
        let inputs = images(batch, classifier.input_len(), 3);
        let first = rows(classifier, &inputs, batch)?;
        Ok(Self { classifier, inputs, batch, first })
    }

    /// The rows of output, one an image.
    pub fn first(&self) -> &[f32] {
        &self.first
    }

    fn classes(&self) -> usize {
        self.first.len() / self.batch
    }

    /// Whether the same images get the same answers twice. A model with random operators, or with dropout or batch
    /// normalisation as in training, gives others, and no run of it could be verified.
    pub fn is_deterministic(&mut self) -> Result<bool, BackendError> {
        let second = rows(self.classifier, &self.inputs, self.batch)?;
        Ok(agree(&second, &self.first, self.classes(), 0.0))
    }

    /// Whether the answer to an image stays the same whatever the others in its batch are and in whichever place it is.
    /// Where it does not, as where a model computes a scale over the whole batch or takes it for a sequence, samples are
    /// not independent and votes prove nothing.
    pub fn is_independent(&mut self) -> Result<bool, BackendError> {
        let (batch, classes, len) = (self.batch, self.classes(), self.classifier.input_len());
        // Other images are quite different ones, of a larger range too, as noise makes them.
        let others: Vec<f32> = images(batch, len, 2).iter().map(|value| 6.0 * value - 3.0).collect();
        // Two places differ in some bit of their numbers: so each is once left alone while the other changes.
        for bit in 0..usize::BITS - (batch - 1).leading_zeros() {
            for changed in [0, 1] {
                let is_changed = |place: usize| place >> bit & 1 == changed;
                let mut mixed = self.inputs.clone();
                for place in (0..batch).filter(|&place| is_changed(place)) {
                    mixed[place * len..][..len].copy_from_slice(&others[place * len..][..len]);
                }
                let found = rows(self.classifier, &mixed, batch)?;
                let same = |place: usize| {
                    let row = place * classes..(place + 1) * classes;
                    agree(&found[row.clone()], &self.first[row], classes, 1e-4)
                };
                if !(0..batch).filter(|&place| !is_changed(place)).all(same) {
                    return Ok(false);
                }
            }
        }
        let (mut moved, mut expected) = (self.inputs.clone(), self.first.clone());
        moved.rotate_left(len);
        expected.rotate_left(classes);
        Ok(agree(&rows(self.classifier, &moved, batch)?, &expected, classes, 1e-4))
    }

    /// Whether an image gets the same answer alone as with others, of a model that takes any number of them.
    pub fn is_same_alone(&mut self) -> Result<bool, BackendError> {
        let alone = rows(self.classifier, &self.inputs, 1)?;
        Ok(agree(&alone, &self.first, self.classes(), 1e-3))
    }

    /// The model that is probed.
    pub fn classifier(&mut self) -> &mut OnnxClassifier {
        self.classifier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_output_are_told_apart() {
        let kind = |rows: &[&[f32]]| OutputKind::of(rows.iter().copied());
        assert_eq!(kind(&[&[0.25, 0.75], &[1.0, 0.0]]), OutputKind::Probabilities);
        assert_eq!(kind(&[&[0.25_f32.ln(), 0.75_f32.ln()]]), OutputKind::LogProbabilities);
        assert_eq!(kind(&[&[0.25, 0.75], &[1.0, 2.0]]), OutputKind::Logits);
        assert_eq!(kind(&[&[f32::NAN, 1.0]]), OutputKind::Logits);
    }

    #[test]
    fn rows_agree_within_the_tolerance_of_their_largest_value() {
        assert!(agree(&[100.0, 0.01], &[100.05, 0.0], 2, 1e-3));
        assert!(!agree(&[100.0, 1.0], &[100.0, 0.0], 2, 1e-3));
        assert!(agree(&[f32::NAN, 1.0], &[f32::NAN, 2.0], 2, 1e-3));
        assert!(!agree(&[f32::NAN, 1.0], &[1.0, 1.0], 2, 1e-3));
        assert!(!agree(&[1.0], &[1.0, 1.0], 1, 1e-3));
    }
}
