use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Order of the dimensions of a batch of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channels, height, width: the layout of the data sets of this crate.
    #[default]
    Nchw,
    /// Batch, height, width, channels.
    Nhwc,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nchw => "nchw",
            Self::Nhwc => "nhwc",
        })
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "nchw" => Ok(Self::Nchw),
            "nhwc" => Ok(Self::Nhwc),
            _ => Err(format!("'{text}' is not a layout; use nchw or nhwc")),
        }
    }
}

/// Preprocessing of noisy images for a model. Each value x of channel c, in units of the data set (from 0 to 1 without
/// noise), becomes `(low + (high − low)·x − mean[c]) / std[c]`; then the dimensions are put into the model's layout.
///
/// The noise is added before, so σ and radii stay in units of the data set for every model.
///
/// ```
/// use mithridate_runtime::backend::{Layout, Preprocessing};
///
/// let preprocessing = Preprocessing { layout: Layout::Nhwc, range: [-1.0, 1.0], ..Preprocessing::default() };
/// let mut input = Vec::new();
/// // Two channels of one row with two pixels.
/// preprocessing.apply([2, 1, 2], &[0.0, 0.25, 0.5, 1.0], &mut input);
/// assert_eq!(input, [-1.0, 0.0, -0.5, 1.0]);
/// // Factors that convert σ to units of the model, one for each channel.
/// assert_eq!(preprocessing.scale(2), [2.0, 2.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Order of the dimensions.
    pub layout: Layout,
    /// `[low, high]`: the values that 0 and 1 of the data set become, before normalisation by mean and standard
    /// deviation.
    pub range: [f64; 2],
    /// Mean to subtract: one value for each channel, or one for all; empty for 0.
    pub mean: Vec<f64>,
    /// Standard deviation to divide by: one value for each channel, or one for all; empty for 1.
    pub std: Vec<f64>,
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self { layout: Layout::Nchw, range: [0.0, 1.0], mean: Vec::new(), std: Vec::new() }
    }
}

impl Preprocessing {
    /// Whether images are passed on unchanged, whatever their number of channels.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The equivalent preprocessing in its shortest form: no means of 0, no standard deviations of 1, and one value if
    /// all channels have the same.
    #[must_use]
    pub fn in_normal_form(mut self) -> Self {
        for (values, nothing) in [(&mut self.mean, 0.0), (&mut self.std, 1.0)] {
            if values.iter().all(|&value| value == nothing) {
                values.clear();
            } else if values.windows(2).all(|pair| pair[0] == pair[1]) {
                values.truncate(1);
            }
        }
        self
    }

    /// Whether images with `channels` channels are passed on unchanged. With one channel both layouts are the same.
    pub fn is_identity(&self, channels: usize) -> bool {
        let layout = if channels == 1 { Layout::Nchw } else { self.layout };
        Self { layout, ..self.clone() }.is_none()
    }

    /// Checks that range, mean and standard deviation are valid for images with `channels` channels.
    ///
    /// # Errors
    /// A message for the user about the first invalid number.
    pub fn check(&self, channels: usize) -> Result<(), String> {
        let [low, high] = self.range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(format!(
                "`range` {low},{high} is not a range; give the values of black and white, such as 0,255"
            ));
        }
        for (flag, values) in [("`mean`", &self.mean), ("`std`", &self.std)] {
            if !matches!(values.len(), 0 | 1) && values.len() != channels {
                let count = values.len();
                return Err(format!(
                    "{flag} has {count} values and the images have {channels} channels; give one value or {channels}"
                ));
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!("{flag} contains {value}, which is not a finite number"));
            }
        }
        if let Some(value) = self.std.iter().find(|value| **value <= 0.0) {
            return Err(format!("`std` contains {value}; a standard deviation must be greater than 0"));
        }
        Ok(())
    }

    /// The factor from units of the data set to units of the model's input, for each channel.
    pub fn scale(&self, channels: usize) -> Vec<f64> {
        (0..channels).map(|channel| self.affine(channel).0).collect()
    }

    /// Factor and summand of a channel.
    fn affine(&self, channel: usize) -> (f64, f64) {
        let of = |values: &[f64], default| match values {
            [] => default,
            [one] => *one,
            many => many.get(channel).copied().unwrap_or(default),
        };
        let ([low, high], mean, std) = (self.range, of(&self.mean, 0.0), of(&self.std, 1.0));
        ((high - low) / std, (low - mean) / std)
    }

    /// Preprocesses a batch of images of shape C×H×W: `batch` has N×C×H×W values, `input` gets as many in the model's
    /// layout.
    pub fn apply(&self, [channels, height, width]: [usize; 3], batch: &[f32], input: &mut Vec<f32>) {
        let pixels = height * width;
        input.clear();
        if pixels * channels == 0 {
            return;
        }
        match self.layout {
            Layout::Nchw => {
                input.reserve(batch.len());
                for (plane, values) in batch.chunks_exact(pixels).enumerate() {
                    let (factor, summand) = self.affine_f32(plane % channels);
                    input.extend(values.iter().map(|value| factor * value + summand));
                }
            }
            Layout::Nhwc => {
                input.resize(batch.len(), 0.0);
                let images = batch.chunks_exact(channels * pixels);
                for (from, to) in images.zip(input.chunks_exact_mut(channels * pixels)) {
                    for (channel, plane) in from.chunks_exact(pixels).enumerate() {
                        let (factor, summand) = self.affine_f32(channel);
                        for (value, pixel) in plane.iter().zip(to.chunks_exact_mut(channels)) {
                            pixel[channel] = factor * value + summand;
                        }
                    }
                }
            }
        }
    }

    /// Factor and summand of a channel in single precision, as [`apply`](Self::apply) uses them.
    pub(crate) fn affine_f32(&self, channel: usize) -> (f32, f32) {
        let (factor, summand) = self.affine(channel);
        (factor as f32, summand as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_are_those_of_each_channel_after_the_range() {
        let preprocessing = Preprocessing {
            range: [0.0, 255.0],
            mean: vec![100.0, 50.0],
            std: vec![10.0, 5.0],
            ..Preprocessing::default()
        };
        let mut input = Vec::new();
        preprocessing.apply([2, 1, 1], &[0.0, 1.0, 1.0, 0.0], &mut input);
        assert_eq!(input, [-10.0, 41.0, 15.5, -10.0]);
        assert_eq!(preprocessing.scale(2), [25.5, 51.0]);
        let swapped = Preprocessing { layout: Layout::Nhwc, ..preprocessing };
        swapped.apply([2, 1, 2], &[0.0, 1.0, 1.0, 0.0], &mut input);
        assert_eq!(input, [-10.0, 41.0, 15.5, -10.0]);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        let with = |range, mean: &[f64], std: &[f64]| Preprocessing {
            range,
            mean: mean.to_vec(),
            std: std.to_vec(),
            ..Preprocessing::default()
        };
        with([0.0, 255.0], &[0.5], &[0.1, 0.2, 0.3]).check(3).unwrap();
        for (preprocessing, expected) in [
            (with([1.0, 0.0], &[], &[]), "`range` 1,0 is not a range"),
            (with([0.0, f64::NAN], &[], &[]), "`range` 0,NaN is not a range"),
            (with([0.0, 1.0], &[0.5, 0.5], &[]), "`mean` has 2 values and the images have 3 channels"),
            (with([0.0, 1.0], &[f64::INFINITY], &[]), "`mean` contains inf"),
            (with([0.0, 1.0], &[], &[0.0]), "`std` contains 0"),
        ] {
            let error = preprocessing.check(3).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
