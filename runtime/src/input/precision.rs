use super::Preprocessing;

/// Largest accepted rounding error (half a rounding step) of a value that the model receives, as a share of σ in the
/// model's units.
///
/// A noisy value is rounded to the nearest number of the model's type, by at most half a step u/2. The rounded value is
/// a function of the sum of input and noise, so rounding alone does not invalidate a certificate: it is part of the
/// classifier that is smoothed. But the noise must keep its distribution. Noise rounded to steps of u has the variance
/// σ² + u²/12 (Sheppard's correction), so its standard deviation is too large by a share of u²/(24σ²); its mean is off
/// by less than u·exp(−2π²σ²/u²). For u/2 = σ/64, that is u = σ/32, the first is 4·10⁻⁵ and the second negligible: four
/// digits of a radius stay the same. For u = σ the first is 4 %. For much larger steps no noise is left: every sample
/// is the input itself, and its class would get the largest radius.
///
/// Usual settings stay below the limit: float16 images from 0 to 1 for σ from 0.032, float16 images from 0 to 255
/// (steps of 1/8) for σ from 4 of 255 levels, and single precision for values up to 131,072 at σ 0.25.
pub const MAX_ROUNDING: f64 = 1.0 / 64.0;

/// The rounding of noisy values on their way into a model, by the number type of the model's input and the
/// [`Preprocessing`]. The default is single precision without preprocessing.
///
/// ```
/// use mithridate_runtime::backend::InputPrecision;
///
/// let single = InputPrecision::default();
/// assert!(single.check(&[0.0, 1.0, 255.0], 0.25).is_ok());
/// // Neighbouring numbers of this size are 8 apart.
/// let unfit = single.check(&[0.0, 67_108_864.0], 0.25).unwrap_err();
/// assert_eq!(unfit.position, 1);
/// assert!(single.check(&[f32::NAN], 0.25).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputPrecision {
    /// Factor and summand of each channel, and the number of values in a channel; `None` without preprocessing.
    channels: Option<(Vec<(f32, f32)>, usize)>,
    is_half: bool,
}

/// A value of an input that is not finite, or so large that the noise would be lost to rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfitValue {
    /// Its position in the input.
    pub position: usize,
    /// The value, in units of the data set.
    pub value: f32,
    /// Explanation for the user.
    pub problem: String,
}

/// A floating-point format: its name, bits of the significand, smallest exponent of normal numbers, and the smallest
/// value that rounds to infinity.
struct Format {
    name: &'static str,
    digits: i32,
    least: i32,
    infinite: f64,
}

const SINGLE: Format = Format { name: "single precision", digits: 24, least: -126, infinite: f64::INFINITY };
const HALF: Format = Format { name: "float16", digits: 11, least: -14, infinite: 65_520.0 };

impl Format {
    /// Half the distance between neighbouring numbers of the size of `value`.
    fn half_step(&self, value: f64) -> f64 {
        2.0_f64.powi(exponent(value).max(self.least) - self.digits)
    }

    /// The smallest size from which on half a step is larger than `most`.
    fn limit(&self, most: f64) -> f64 {
        let exponent = exponent(most) + self.digits;
        if exponent < self.least { 0.0 } else { 2.0_f64.powi(exponent + 1).min(self.infinite) }
    }
}

/// The binary exponent: ⌊log₂ |`value`|⌋ for normal numbers.
fn exponent(value: f64) -> i32 {
    (value.to_bits() >> 52 & 0x7ff) as i32 - 1023
}

impl InputPrecision {
    /// The rounding for a model whose input is float16 (`is_half`) or single or double precision, after `preprocessing`
    /// of images of shape `image` (channels, height, width). Inputs are in single precision before, so double precision
    /// adds no rounding.
    pub fn new(preprocessing: &Preprocessing, image: [usize; 3], is_half: bool) -> Self {
        let [channels, height, width] = image;
        let is_plain = preprocessing.is_identity(channels);
        let affine = || (0..channels).map(|channel| preprocessing.affine_f32(channel)).collect();
        Self { channels: (!is_plain).then(|| (affine(), height * width)), is_half }
    }

    fn format(&self) -> &'static Format {
        if self.is_half { &HALF } else { &SINGLE }
    }

    fn affine(&self, position: usize) -> (f32, f32) {
        let Some((channels, pixels)) = &self.channels else { return (1.0, 0.0) };
        channels.get(position / (*pixels).max(1)).copied().unwrap_or((1.0, 0.0))
    }

    /// Refuses an input with a value that is not finite, or so large that noise with standard deviation `sigma` (in
    /// units of the data set) would be rounded by more than [`MAX_ROUNDING`] · `sigma`.
    ///
    /// # Errors
    /// [`UnfitValue`] with the first such value.
    pub fn check(&self, image: &[f32], sigma: f64) -> Result<(), UnfitValue> {
        let limit = SINGLE.limit(MAX_ROUNDING * sigma) as f32;
        if let Some(position) = image.iter().position(|value| value.is_nan() || value.abs() >= limit) {
            return Err(unfit(position, image[position], image[position].into(), &SINGLE, sigma, sigma));
        }
        if self.channels.is_none() && !self.is_half {
            return Ok(());
        }
        let (format, pixels) =
            (self.format(), self.channels.as_ref().map_or(image.len(), |(_, pixels)| *pixels));
        for (channel, values) in image.chunks(pixels.max(1)).enumerate() {
            let (factor, summand) = self.affine(channel * pixels);
            let in_model = sigma * f64::from(factor).abs();
            let limit = format.limit(MAX_ROUNDING * in_model);
            let received = |value: f32| f64::from(factor * value + summand);
            let is_unfit = |value: f64| value.is_nan() || value.abs() >= limit;
            if let Some(at) = values.iter().position(|&value| is_unfit(received(value))) {
                let position = channel * pixels + at;
                return Err(unfit(position, values[at], received(values[at]), format, sigma, in_model));
            }
        }
        Ok(())
    }

    /// The noisy value `value` at `position` as the model receives it, and the largest possible rounding error of it;
    /// both in units of the data set.
    pub(crate) fn received(&self, position: usize, value: f32) -> (f64, f64) {
        let (factor, summand) = self.affine(position);
        let sum = factor * value + summand;
        let sum = if self.is_half { half::f16::from_f32(sum).into() } else { f64::from(sum) };
        let half_step = self.format().half_step(sum) / f64::from(factor).abs();
        let value =
            if self.channels.is_some() { (sum - f64::from(summand)) / f64::from(factor) } else { sum };
        (value, half_step.max(SINGLE.half_step(value)))
    }
}

fn unfit(
    position: usize,
    value: f32,
    received: f64,
    format: &Format,
    sigma: f64,
    in_model: f64,
) -> UnfitValue {
    let problem = if !value.is_finite() {
        "which is not a finite number; correct the data".to_owned()
    } else if received.abs() >= format.infinite || !received.is_finite() {
        format!(
            "which the model would get as {received}, more than {} can represent; give the range that the model was made \
             for",
            format.name
        )
    } else {
        let step = 2.0 * format.half_step(received);
        let is_same = received == f64::from(value);
        let size = if is_same {
            "numbers of that size".into()
        } else {
            format!("and {received} to the model: numbers of that size")
        };
        let least = sigma * step / 2.0 / (MAX_ROUNDING * in_model);
        format!(
            "{size} are {step} apart in {}, and rounding to them would remove or change noise of sigma {in_model}; scale \
             the inputs down, or give a sigma of at least {least}",
            format.name
        )
    };
    UnfitValue { position, value, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(range: [f64; 2], mean: f64, std: f64) -> Preprocessing {
        Preprocessing { range, mean: vec![mean], std: vec![std], ..Preprocessing::default() }
    }

    #[test]
    fn limits_are_where_half_a_step_passes_the_share() {
        // Rounding steps of single precision, computed by the standard library.
        for sigma in [1e-4, 0.12, 0.25, 1.0, 3.0, 1e4] {
            let limit = SINGLE.limit(MAX_ROUNDING * sigma) as f32;
            let half_step = |value: f32| f64::from(value.next_up() - value) / 2.0;
            assert!(half_step(limit) > MAX_ROUNDING * sigma, "{sigma}");
            assert!(half_step(limit.next_down()) <= MAX_ROUNDING * sigma, "{sigma}");
            let half_step = |value: half::f16| {
                let next = half::f16::from_bits(value.to_bits() + 1);
                (f64::from(next) - f64::from(value)) / 2.0
            };
            let limit = HALF.limit(MAX_ROUNDING * sigma);
            let below = half::f16::from_bits(half::f16::from_f64(limit.min(65_504.0)).to_bits() - 1);
            assert!(half_step(below) <= MAX_ROUNDING * sigma || limit == 0.0, "{sigma}");
            if limit < 65_504.0 {
                assert!(half_step(half::f16::from_f64(limit)) > MAX_ROUNDING * sigma, "{sigma}");
            }
        }
        assert_eq!(SINGLE.limit(MAX_ROUNDING * 0.25), 131_072.0);
        // Even numbers near 0 are too coarse in float16.
        assert_eq!(HALF.limit(2.0_f64.powi(-26)), 0.0);
    }

    #[test]
    fn values_that_noise_is_lost_at_are_named() {
        let plain = InputPrecision::default();
        for (image, sigma, expected) in [
            (&[1.0, 131_071.0, -131_071.0][..], 0.25, None),
            (&[1.0, 131_072.0], 0.25, Some((1, "are 0.015625 apart in single precision"))),
            (
                &[-67_108_864.0],
                0.25,
                Some((
                    0,
                    "are 8 apart in single precision, and rounding to them would remove or change noise of sigma 0.25",
                )),
            ),
            (&[67_108_864.0], 0.25, Some((0, "give a sigma of at least 256"))),
            (&[67_108_864.0], 256.0, None),
            (&[0.0, f32::NAN], 0.25, Some((1, "not a finite number"))),
            (&[f32::NEG_INFINITY], 0.25, Some((0, "not a finite number"))),
        ] {
            let found = plain.check(image, sigma).err();
            assert_eq!(found.as_ref().map(|unfit| unfit.position), expected.map(|(position, _)| position));
            if let (Some(unfit), Some((_, text))) = (found, expected) {
                assert!(unfit.problem.contains(text), "{}", unfit.problem);
            }
        }
    }

    #[test]
    fn the_type_and_range_of_the_model_count() {
        let half = |preprocessing: &Preprocessing| InputPrecision::new(preprocessing, [1, 1, 2], true);
        let single = |preprocessing: &Preprocessing| InputPrecision::new(preprocessing, [1, 1, 2], false);
        let none = Preprocessing::default();
        let bytes = reading([0.0, 255.0], 0.0, 1.0);
        for (precision, sigma, expected) in [
            (half(&none), 0.12, None),
            (half(&none), 0.04, None),
            (half(&none), 0.03, Some("are 0.0009765625 apart in float16")),
            (half(&bytes), 0.05, None),
            (half(&bytes), 0.01, Some("255 to the model: numbers of that size are 0.125 apart in float16")),
            (half(&reading([0.0, 1e6], 0.0, 1.0)), 0.25, Some("more than float16 can represent")),
            (single(&reading([0.0, 1.0], 1e9, 1.0)), 0.25, Some("are 64 apart in single precision")),
            (single(&reading([0.0, 1.0], 1e9, 1e9)), 0.25, Some("-1 to the model")),
            (single(&reading([0.0, 255.0], 127.5, 51.0)), 1e-4, None),
        ] {
            let found = precision.check(&[0.5, 1.0], sigma).err();
            assert_eq!(found.is_some(), expected.is_some(), "{sigma} {found:?}");
            if let (Some(unfit), Some(text)) = (found, expected) {
                assert!(unfit.problem.contains(text), "{}", unfit.problem);
            }
        }
    }

    #[test]
    fn channels_have_factors_of_their_own() {
        let preprocessing = Preprocessing { std: vec![1.0, 1000.0], ..Preprocessing::default() };
        let precision = InputPrecision::new(&preprocessing, [2, 1, 2], true);
        // In the second channel σ is 0.0001 to the model, and numbers near 0.001 are 2⁻²⁰ apart.
        assert!(precision.check(&[0.5, 1.0, 0.5, 1.0], 0.1).is_ok());
        let unfit = precision.check(&[0.5, 1.0, 0.5, 1000.0], 0.1).unwrap_err();
        assert_eq!(unfit.position, 3);
        let (value, half_step) = precision.received(2, 0.5);
        assert!((value - 0.5).abs() <= half_step && half_step < 0.001);
    }
}
