use crate::OnnxError;

/// Affine quantisation to unsigned 8-bit integers: x ≈ `scale` · (q − `zero_point`) with q from 0 to 255.
///
/// ```
/// use mithridate_onnx::Affine;
///
/// let affine = Affine::of_range([-1.0, 1.55])?;
/// assert_eq!((affine.zero_point, affine.quantize(0.0), affine.quantize(9.0)), (100, 100, 255));
/// assert!((affine.dequantize(affine.quantize(0.5)) - 0.5).abs() <= affine.scale / 2.0);
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Step between neighbouring values, positive.
    pub scale: f32,
    /// The integer that represents 0.
    pub zero_point: u8,
}

impl Affine {
    /// The finest quantisation that represents 0 exactly and every number from `low` to `high` to within half a step:
    /// equation 3 of Jacob et al. (2018).
    ///
    /// # Errors
    /// [`OnnxError::Precision`] if the range is not two finite numbers in order.
    pub fn of_range([low, high]: [f32; 2]) -> Result<Self, OnnxError> {
        let (wide_low, wide_high) = (f64::from(low.min(0.0)), f64::from(high.max(0.0)));
        let scale = ((wide_high - wide_low) / 255.0) as f32;
        if !(low.is_finite() && high.is_finite() && low <= high && scale.is_finite()) {
            return Err(OnnxError::Precision {
                precision: "int8",
                problem: format!("values from {low} to {high} are no range that 256 steps can divide"),
            });
        }
        if scale < f32::MIN_POSITIVE {
            // The only value is 0.
            return Ok(Self { scale: 1.0, zero_point: 0 });
        }
        Ok(Self { scale, zero_point: (-wide_low / f64::from(scale)).round_ties_even() as u8 })
    }

    /// Quantises a number as `QuantizeLinear` does: to the nearest integer, ties to even, clamped to 0 and 255.
    pub fn quantize(self, value: f32) -> u8 {
        ((value / self.scale).round_ties_even() + f32::from(self.zero_point)).clamp(0.0, 255.0) as u8
    }

    /// The number that an integer represents.
    pub fn dequantize(self, value: u8) -> f32 {
        self.scale * (f32::from(value) - f32::from(self.zero_point))
    }
}

/// Weights as signed 8-bit integers, symmetric around 0, with a scale for each output channel.
#[derive(Debug, PartialEq)]
pub(super) struct Weights {
    /// The quantised weights, in the order of the original ones.
    pub values: Vec<i8>,
    /// One scale for each channel.
    pub scales: Vec<f32>,
}

/// Quantises weights. `channel(i)` is the channel of element `i`. `least` has the smallest allowed scale of each
/// channel, which keeps the bias within 32 bits.
pub(super) fn quantize_weights(weights: &[f32], channel: impl Fn(usize) -> usize, least: &[f32]) -> Weights {
    let mut scales = least.to_vec();
    for (index, weight) in weights.iter().enumerate() {
        let scale = &mut scales[channel(index)];
        *scale = scale.max(weight.abs() / 127.0);
    }
    for scale in &mut scales {
        if *scale < f32::MIN_POSITIVE {
            *scale = 1.0;
        }
    }
    let quantize = |(index, weight): (usize, &f32)| {
        (weight / scales[channel(index)]).round_ties_even().clamp(-127.0, 127.0) as i8
    };
    Weights { values: weights.iter().enumerate().map(quantize).collect(), scales }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_by_hand() {
        // 2.55 in 255 steps of 0.01; −1 is 100 steps below 0.
        let affine = Affine::of_range([-1.0, 1.55]).unwrap();
        assert!((affine.scale - 0.01).abs() < 1e-9);
        let integers = [-1.0, -0.994, 0.0, 1.55, 2.0, -7.0, f32::NEG_INFINITY].map(|x| affine.quantize(x));
        assert_eq!(integers, [0, 1, 100, 255, 255, 0, 0]);
        // A range on one side of 0 is widened to it: after a ReLU 0 is the first integer.
        assert_eq!(Affine::of_range([0.5, 5.1]).unwrap().zero_point, 0);
        assert_eq!(Affine::of_range([-5.1, -0.5]).unwrap().zero_point, 255);
        assert_eq!(Affine::of_range([0.0, 0.0]).unwrap(), Affine { scale: 1.0, zero_point: 0 });
    }

    #[test]
    fn ties_go_to_the_even_integer() {
        let affine = Affine { scale: 1.0, zero_point: 10 };
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|x| affine.quantize(x)), [10, 12, 12, 10, 8]);
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for range in [[1.0, -1.0], [f32::NAN, 1.0], [0.0, f32::INFINITY], [-f32::MAX, f32::MAX]] {
            let affine = Affine::of_range(range);
            match range {
                // The width of the range overflows a float, but its 255th part does not.
                [low, _] if low == -f32::MAX => assert!(affine.unwrap().scale.is_finite()),
                _ => assert!(affine.unwrap_err().to_string().contains("no range"), "{range:?}"),
            }
        }
    }

    #[test]
    fn weights_are_scaled_channel_by_channel() {
        let weights = [1.27, -0.63, 0.0, 0.0, 2.54, 0.011];
        let found = quantize_weights(&weights, |index| index / 2, &[0.0, 0.0, 0.04]);
        // The third channel would have a scale of 0.02, but its smallest allowed scale is larger.
        assert_eq!(found.values, [127, -63, 0, 0, 64, 0]);
        for (scale, expected) in found.scales.iter().zip([0.01, 1.0, 0.04]) {
            assert!((scale - expected).abs() < 1e-9);
        }
    }
}
