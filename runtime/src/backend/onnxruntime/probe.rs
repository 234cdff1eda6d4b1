use super::OnnxClassifier;
use crate::backend::{BackendError, Classifier, Rounding};

/// Generated images with values in \[0, 1\], all different. Different `seed`s give different sets.
pub(super) fn images(count: usize, len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count * len)
        .map(|_| {
            // A linear congruential generator is enough for inputs that only need to differ.
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

/// Range of values of noisy inputs: images from 0 to 1 with noise of standard deviation `sigma`, wide enough for every
/// sample of a run.
fn reach(sigma: f64) -> [f32; 2] {
    // 10 standard deviations are exceeded by one value in 10^23.
    let far = 10.0 * sigma as f32;
    [-far, 1.0 + far]
}

/// A batch of generated images and the answers of a model, to compare with its answers in other batches.
///
/// Every second image has values from 0 to 1; the others cover the range that noise of `sigma` produces. A model could
/// be built to recognise these known inputs, so every run compares some of its own samples too.
pub(super) struct Probe<'a> {
    classifier: &'a mut OnnxClassifier,
    inputs: Vec<f32>,
    batch: usize,
    first: Vec<f32>,
    rounding: Rounding,
    reach: [f32; 2],
}

impl<'a> Probe<'a> {
    /// Runs the batch.
    pub fn new(classifier: &'a mut OnnxClassifier, batch: usize, sigma: f64) -> Result<Self, BackendError> {
        let (len, reach) = (classifier.input_len(), reach(sigma));
        let mut inputs = images(batch, len, 3);
        inputs.chunks_mut(len).skip(1).step_by(2).for_each(|image| stretch(image, reach));
        let first = rows(classifier, &inputs, batch)?;
        let mut rounding = Rounding::new(classifier.rounding());
        first.chunks(first.len() / batch).for_each(|row| rounding.see(row));
        Ok(Self { classifier, inputs, batch, first, rounding, reach })
    }

    /// The rows of output, one an image.
    pub fn first(&self) -> &[f32] {
        &self.first
    }

    fn classes(&self) -> usize {
        self.first.len() / self.batch
    }

    /// Whether the same images get the same answers twice. A model with random operators, or with dropout or batch
    /// normalisation in training mode, gives different answers, and its runs could not be verified.
    pub fn is_deterministic(&mut self) -> Result<bool, BackendError> {
        let second = rows(self.classifier, &self.inputs, self.batch)?;
        let same = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
        Ok(second.len() == self.first.len() && second.iter().zip(&self.first).all(same))
    }

    /// Whether the answer to an image stays the same for any other images in its batch and at any position. It does not
    /// if, for example, a model computes a scale over the whole batch or treats the batch as a sequence. Then samples
    /// are not independent and votes prove nothing.
    pub fn is_independent(&mut self) -> Result<bool, BackendError> {
        let (batch, classes, len) = (self.batch, self.classes(), self.classifier.input_len());
        let mut others = images(batch, len, 2);
        stretch(&mut others, self.reach);
        // Any two positions differ in some bit of their numbers. So for each pair there is a test in which one image
        // stays and the other changes.
        for bit in 0..usize::BITS - (batch - 1).leading_zeros() {
            for changed in [0, 1] {
                let is_changed = |position: usize| position >> bit & 1 == changed;
                let mut mixed = self.inputs.clone();
                for position in (0..batch).filter(|&position| is_changed(position)) {
                    mixed[position * len..][..len].copy_from_slice(&others[position * len..][..len]);
                }
                let found = rows(self.classifier, &mixed, batch)?;
                let same = |position: usize| {
                    let row = position * classes..(position + 1) * classes;
                    self.rounding.agree(&found[row.clone()], &self.first[row], classes)
                };
                if !(0..batch).filter(|&position| !is_changed(position)).all(same) {
                    return Ok(false);
                }
            }
        }
        let (mut moved, mut expected) = (self.inputs.clone(), self.first.clone());
        moved.rotate_left(len);
        expected.rotate_left(classes);
        let found = rows(self.classifier, &moved, batch)?;
        Ok(self.rounding.agree(&found, &expected, classes))
    }

    /// Whether an image gets the same answer alone as with others. For models that take any batch size.
    pub fn is_same_alone(&mut self) -> Result<bool, BackendError> {
        let alone = rows(self.classifier, &self.inputs, 1)?;
        Ok(self.agrees(&alone))
    }

    /// Whether `answers` are the same answers to the images, except for rounding.
    pub fn agrees(&self, answers: &[f32]) -> bool {
        self.rounding.agree(answers, &self.first, self.classes())
    }

    /// The images.
    pub fn inputs(&self) -> &[f32] {
        &self.inputs
    }

    /// The model that is probed.
    pub fn classifier(&mut self) -> &mut OnnxClassifier {
        self.classifier
    }
}

/// Scales values from \[0, 1\] to the range from `low` to `high`.
fn stretch(values: &mut [f32], [low, high]: [f32; 2]) {
    for value in values {
        *value = low + (high - low) * *value;
    }
}
