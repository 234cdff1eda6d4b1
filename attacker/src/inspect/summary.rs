use serde::Serialize;

use super::{l2_distance, psnr, ssim};
use crate::{
    data::{TrainingSet, levels},
    poison::{Generator, PoisonSet},
};

/// Mean and largest of a quantity over images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MeanAndMax {
    /// Mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
}

/// Mean and smallest of a similarity over images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MeanAndMin {
    /// Mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
}

/// Number of pixel values with a certain change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HistogramBin {
    /// The change, in steps of 1/255.
    pub steps: i16,
    /// Number of values with that change; each channel of a pixel is a value.
    pub values: u64,
}

/// The difference between a poison set and the clean images, measured on the bytes of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoisonSummary {
    /// Classes of the poisoned images.
    pub target_classes: Vec<usize>,
    /// Poisoned images.
    pub images: usize,
    /// Images of the training set.
    pub training_images: usize,
    /// Images of the target classes among them.
    pub class_images: usize,
    /// Channels, height and width of an image.
    pub shape: [usize; 3],
    /// How the poison was made.
    pub generator: Generator,
    /// Seed.
    pub seed: u64,
    /// Largest change that was allowed, ℓ∞ in \[0, 1\].
    pub epsilon: f64,
    /// The same in steps of 1/255.
    pub epsilon_steps: u8,
    /// Largest change found, in steps of 1/255.
    pub largest_change: u8,
    /// Mean absolute change of a value, in steps of 1/255.
    pub mean_change: f64,
    /// Share of values that changed.
    pub changed: f64,
    /// Share of values that changed by as much as ε allows.
    pub at_bound: f64,
    /// ℓ2 norm of an image's change, in units of \[0, 1\].
    pub l2: MeanAndMax,
    /// Images that did not change at all.
    pub unchanged_images: usize,
    /// Peak signal-to-noise ratio in decibels, over images that changed; absent if none did.
    pub psnr: Option<MeanAndMin>,
    /// Structural similarity; absent if images are smaller than its window of 11 pixels.
    pub ssim: Option<MeanAndMin>,
    /// Number of values for each change from −ε to ε.
    pub histogram: Vec<HistogramBin>,
}

/// Measures a poison set against the training set it was made from.
pub fn summarize(set: &PoisonSet, training: &TrainingSet) -> PoisonSummary {
    let manifest = &set.manifest;
    let shape = training.data.shape();
    let steps = levels(manifest.origin.epsilon);
    let mut counts = [0_u64; 511];
    let (mut distances, mut ratios, mut similarities) = (Vec::new(), Vec::new(), Vec::new());
    for (number, &index) in manifest.origin.indices.iter().enumerate() {
        let (clean, poisoned) = (training.data.pixels(index), set.pixels(number));
        for (&before, &after) in clean.iter().zip(poisoned) {
            counts[255 + usize::from(after) - usize::from(before)] += 1;
        }
        distances.push(l2_distance(clean, poisoned));
        ratios.extend(psnr(clean, poisoned));
        similarities.extend(ssim(clean, poisoned, shape));
    }
    let change_of = |at: usize| at as i16 - 255;
    let values: u64 = counts.iter().sum();
    let sum = |of: &dyn Fn(u64) -> u64| -> f64 {
        let sum: u64 = counts
            .iter()
            .enumerate()
            .map(|(at, &count)| count * of(u64::from(change_of(at).unsigned_abs())))
            .sum();
        sum as f64 / values.max(1) as f64
    };
    let largest = (0..511).filter(|&at| counts[at] > 0).map(|at| change_of(at).unsigned_abs()).max();
    let bound = u64::from(steps);
    let reach = usize::from(steps);
    PoisonSummary {
        target_classes: manifest.origin.target_classes.clone(),
        images: set.len(),
        training_images: training.training.len(),
        class_images: training.of_classes(&training.training, &manifest.origin.target_classes).len(),
        shape,
        generator: manifest.origin.generator.clone(),
        seed: manifest.origin.seed,
        epsilon: manifest.origin.epsilon,
        epsilon_steps: steps,
        largest_change: largest.unwrap_or(0) as u8,
        mean_change: sum(&|change| change),
        changed: sum(&|change| u64::from(change > 0)),
        at_bound: sum(&|change| u64::from(change == bound)),
        l2: MeanAndMax { mean: mean(&distances), max: distances.iter().copied().fold(0.0, f64::max) },
        unchanged_images: set.len() - ratios.len(),
        psnr: mean_and_min(&ratios),
        ssim: mean_and_min(&similarities),
        histogram: (255 - reach..=255 + reach)
            .map(|at| HistogramBin { steps: change_of(at), values: counts[at] })
            .collect(),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn mean_and_min(values: &[f64]) -> Option<MeanAndMin> {
    let min = values.iter().copied().reduce(f64::min)?;
    Some(MeanAndMin { mean: mean(values), min })
}

impl PoisonSummary {
    /// Number of pixel values in all poisoned images.
    pub fn values(&self) -> u64 {
        self.histogram.iter().map(|change| change.values).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mithridate_runtime::data::write_idx;

    use super::*;
    use crate::{data::SplitSettings, poison::Origin};

    /// Two images of class 1 of `shape`, both grey at 100; the first gets +10 in half of its values.
    fn half_changed(folder: &Path, shape: [usize; 3]) -> (TrainingSet, PoisonSet) {
        let size: usize = shape.iter().product();
        let [c, h, w] = shape;
        write_idx(&folder.join("train-images-idx3-ubyte"), &[5, c, h, w], &vec![100; 5 * size]).unwrap();
        write_idx(&folder.join("train-labels-idx1-ubyte"), &[5], &[0, 1, 0, 1, 0]).unwrap();
        let split = SplitSettings { seed: 0, validation: 0, images: None };
        let training = TrainingSet::open(folder, split).unwrap();
        let mut bytes = vec![100; 2 * size];
        bytes[..size / 2].fill(110);
        let origin = Origin {
            target_classes: vec![1],
            poisoned_share: 1.0,
            epsilon: 0.05,
            generator: Generator::Random,
            selected: None,
            seed: 3,
            device: "cpu".into(),
            threads: 1,
            indices: vec![1, 3],
        };
        let set = PoisonSet::new(origin, &training, bytes).unwrap();
        (training, set)
    }

    #[test]
    fn a_known_change_is_measured() {
        for shape in [[1, 12, 12], [3, 12, 12]] {
            let folder = tempfile::tempdir().unwrap();
            let (training, set) = half_changed(folder.path(), shape);
            let size = shape.iter().product::<usize>() as f64;
            let summary = summarize(&set, &training);
            assert_eq!((summary.images, summary.training_images, summary.class_images), (2, 5, 2));
            assert_eq!((summary.epsilon_steps, summary.largest_change), (12, 10));
            // A quarter of all values changed, by 10.
            assert_eq!((summary.changed, summary.mean_change, summary.at_bound), (0.25, 2.5, 0.0));
            let norm = (size / 2.0).sqrt() * 10.0 / 255.0;
            assert!((summary.l2.max - norm).abs() < 1e-12 && (summary.l2.mean - norm / 2.0).abs() < 1e-12);
            assert_eq!(summary.unchanged_images, 1);
            // Mean squared error 50 in the only image that changed.
            let expected = 10.0 * (255.0_f64 * 255.0 / 50.0).log10();
            let ratio = summary.psnr.unwrap();
            assert!((ratio.mean - expected).abs() < 1e-12 && ratio.mean == ratio.min);
            assert!(summary.ssim.unwrap().min < 1.0);
            assert_eq!(summary.histogram.len(), 25);
            let count = |steps| summary.histogram.iter().find(|change| change.steps == steps).unwrap().values;
            assert_eq!((count(10), count(0)), (size as u64 / 2, size as u64 * 3 / 2));
        }
    }

    #[test]
    fn small_images_have_no_structural_similarity() {
        let folder = tempfile::tempdir().unwrap();
        let (training, set) = half_changed(folder.path(), [1, 4, 12]);
        assert_eq!(summarize(&set, &training).ssim, None);
    }
}
