//! Data sets as tensors, the split of the training images into a training and a validation part, and pixels as bytes.

use std::path::{Path, PathBuf};

use mithridate_runtime::data::{Dataset, Split, sha256};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{
    Error,
    random::{Domain, Purpose, Random},
};

/// Number of classes of a data set: the largest label plus 1, at least 2.
pub(crate) fn classes_of(data: &Dataset) -> usize {
    data.labels().iter().max().map_or(2, |&label| (usize::from(label) + 1).max(2))
}

/// Labelled images in memory.
#[derive(Debug)]
pub struct Images {
    /// N×C×H×W, values in \[0, 1\].
    pub pixels: Tensor,
    /// N, `int64`.
    pub labels: Tensor,
}

impl Images {
    /// The images of a data set with these indices, on a device.
    pub fn select(data: &Dataset, indices: &[usize], device: Device) -> Self {
        let labels: Vec<i64> = indices.iter().map(|&index| i64::from(data.labels()[index])).collect();
        let bytes: Vec<u8> = indices.iter().flat_map(|&index| data.pixels(index)).copied().collect();
        Self {
            pixels: to_unit_range(&bytes, indices.len(), data.shape()).to_device(device),
            labels: Tensor::from_slice(&labels).to_device(device),
        }
    }

    /// Channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        let size = self.pixels.size();
        [size[1] as usize, size[2] as usize, size[3] as usize]
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.numel()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images to calibrate quantised activations on, N×C×H×W: `count` images of a data set, or all if it has fewer, chosen
/// at random by `seed`, with Gaussian noise of standard deviation `sigma`.
pub(crate) fn calibration_images(data: &Dataset, count: usize, sigma: f64, seed: u64) -> Tensor {
    let random = Random::new(Domain::Data, seed);
    let order = random.permutation(Purpose::Calibration, 0, data.len());
    let chosen: Vec<usize> = order.iter().take(count).map(|&index| index as usize).collect();
    let pixels = Images::select(data, &chosen, Device::Cpu).pixels;
    let noise = random.normal(Purpose::Calibration, 1, &pixels.size(), Device::Cpu);
    pixels + noise * sigma
}

/// Bytes N×C×H×W as floats in \[0, 1\].
pub(crate) fn to_unit_range(bytes: &[u8], count: usize, [c, h, w]: [usize; 3]) -> Tensor {
    let shape = [count as i64, c as i64, h as i64, w as i64];
    let mut pixels = Tensor::from_slice(bytes).view(shape).to_kind(Kind::Float);
    // In place, since the images may be a whole data set.
    pixels.g_div_scalar_(255.0)
}

/// The largest number of steps of 1/255 by which ε = `epsilon` allows a pixel to change.
///
/// ```
/// assert_eq!(mithridate_attacker::data::levels(0.1), 25);
/// assert_eq!(mithridate_attacker::data::levels(8.0 / 255.0), 8);
/// ```
pub fn levels(epsilon: f64) -> u8 {
    // The margin allows for k/255 rounded to a decimal number.
    (epsilon * 255.0 + 1e-6).floor().clamp(0.0, 255.0) as u8
}

/// Rounds poison to bytes: for each value the nearest byte that is within ε of the clean byte.
///
/// `poison` is N×C×H×W in \[0, 1\]; `clean` are the bytes of the clean images in the same order.
pub(crate) fn round_to_bytes(poison: &Tensor, clean: &[u8], epsilon: f64) -> Vec<u8> {
    let host = poison.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    let mut values = vec![0_f32; host.numel()];
    host.copy_data(&mut values, host.numel());
    let most = i32::from(levels(epsilon));
    values
        .into_iter()
        .zip(clean)
        .map(|(value, &clean)| {
            let (value, clean) = ((value * 255.0).round() as i32, i32::from(clean));
            value.clamp(clean - most, clean + most).clamp(0, 255) as u8
        })
        .collect()
}

/// How the training images are split: of a random permutation the first `validation` images are held out, and the next
/// `images` are trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSettings {
    /// Seed of the permutation.
    pub seed: u64,
    /// Images held out for validation.
    pub validation: usize,
    /// Images to train on; all that are left if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
}

/// A training set with its split.
#[derive(Debug)]
pub struct TrainingSet {
    /// The data set.
    pub data: Dataset,
    /// Its path.
    pub path: PathBuf,
    /// Number of classes.
    pub classes: usize,
    /// Its split.
    pub split: SplitSettings,
    /// Indices of the images to train on, ascending.
    pub training: Vec<usize>,
    /// Indices of the images held out, ascending.
    pub validation: Vec<usize>,
}

impl TrainingSet {
    /// Opens the training part of a data set and splits it.
    ///
    /// # Errors
    /// [`Error::Data`], or [`Error::Setting`] if the path is a file, which has no test part, or the split asks for
    /// more images than there are.
    pub fn open(path: &Path, split: SplitSettings) -> Result<Self, Error> {
        if path.is_file() {
            let expected = "a folder with a training and a test part";
            return Err(Error::setting("the data set", expected, &format!("the file {}", path.display())));
        }
        let data = Dataset::open(path, Split::Train)?;
        if split.validation >= data.len() {
            let expected = format!("less than {} (the number of training images)", data.len());
            return Err(Error::setting("the number of validation images", expected, &split.validation));
        }
        let left = data.len().saturating_sub(split.validation);
        let wanted = split.images.unwrap_or(left);
        if wanted > left || wanted == 0 {
            return Err(Error::setting(
                "the number of training images",
                format!("between 1 and {left} ({} less {} for validation)", data.len(), split.validation),
                &wanted,
            ));
        }
        let order = Random::new(Domain::Data, split.seed).permutation(Purpose::Split, 0, data.len());
        let take = |range: std::ops::Range<usize>| {
            let mut indices: Vec<usize> = order[range].iter().map(|&index| index as usize).collect();
            indices.sort_unstable();
            indices
        };
        let validation = take(0..split.validation);
        let training = take(split.validation..split.validation + wanted);
        let classes = classes_of(&data);
        Ok(Self { data, path: path.to_owned(), classes, split, training, validation })
    }

    /// Names of the classes, from the data set if it has them, else their numbers.
    pub fn class_names(&self) -> Vec<String> {
        let named = self.data.class_names().filter(|names| names.len() == self.classes);
        named.unwrap_or_else(|| (0..self.classes).map(|class| class.to_string()).collect())
    }

    /// The indices among `indices` whose label is one of `classes`, in the same order.
    pub fn of_classes(&self, indices: &[usize], classes: &[usize]) -> Vec<usize> {
        let labels = self.data.labels();
        indices.iter().copied().filter(|&index| classes.contains(&usize::from(labels[index]))).collect()
    }

    /// Indices of the training images to poison, ascending: of each of `classes` the share `share` of its images, at least
    /// one, chosen by the seed of the split.
    pub fn to_poison(&self, classes: &[usize], share: f64) -> Vec<usize> {
        let random = Random::new(Domain::Data, self.split.seed);
        let mut chosen: Vec<usize> = classes
            .iter()
            .flat_map(|&class| {
                let all = self.of_classes(&self.training, &[class]);
                let count = ((all.len() as f64 * share).round() as usize).max(1).min(all.len());
                let order = random.permutation(Purpose::PoisonChoice, class as u64, all.len());
                order[..count].iter().map(|&number| all[number as usize]).collect::<Vec<_>>()
            })
            .collect();
        chosen.sort_unstable();
        chosen
    }

    /// SHA-256 over the training images and their labels, in order. `replaced` returns the poisoned bytes of the image with
    /// an index, or `None` if that image is clean. A label is one byte, or two in little-endian order if there are more than 256 classes.
    pub fn sha256_with<'a>(&'a self, replaced: impl Fn(usize) -> Option<&'a [u8]>) -> String {
        let bytes: Vec<u8> = self
            .training
            .iter()
            .flat_map(|&index| replaced(index).unwrap_or_else(|| self.data.pixels(index)))
            .copied()
            .chain(self.training.iter().flat_map(|&index| {
                let bytes = self.data.labels()[index].to_le_bytes();
                bytes.into_iter().take(if self.classes > 256 { 2 } else { 1 })
            }))
            .collect();
        sha256(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_stays_within_epsilon() {
        let clean: Vec<u8> = (0..=255).collect();
        let poison = to_unit_range(&clean, 1, [1, 16, 16]) + 0.1;
        let bytes = round_to_bytes(&poison, &clean, 0.1);
        for (&before, after) in clean.iter().zip(bytes) {
            assert_eq!(after, before.saturating_add(25));
        }
    }
}
