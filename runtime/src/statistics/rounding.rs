//! Arithmetic with directed rounding, and numbers as text that are never larger than the proved ones.

/// `value` as text with `decimals` digits after the point, rounded down, so that the printed number is
/// never larger than the proved one.
///
/// ```
/// use mithridate_runtime::statistics::round_down;
///
/// assert_eq!(round_down(0.97763, 3), "0.977");
/// assert_eq!(round_down(0.25, 3), "0.250");
/// ```
pub fn round_down(value: f64, decimals: usize) -> String {
    let nearest = format!("{value:.decimals$}");
    // If rounding to the nearest did not round up, the text is right; else take one unit less in the last digit.
    if nearest.parse::<f64>().is_ok_and(|shown| shown <= value) {
        return nearest;
    }
    let unit = 10_f64.powi(-i32::try_from(decimals).unwrap_or(i32::MAX));
    format!("{:.decimals$}", value - 0.5 * unit)
}

/// a / b for positive `b`, rounded down.
pub(super) fn div_down(a: f64, b: f64) -> f64 {
    let nearest = a / b;
    // The fused multiply-add gives the sign of the rounding error exactly.
    if nearest.mul_add(b, -a) > 0.0 { nearest.next_down() } else { nearest }
}

/// √value, rounded up.
pub(super) fn root_up(value: f64) -> f64 {
    let nearest = value.sqrt();
    if nearest.mul_add(nearest, -value) < 0.0 { nearest.next_up() } else { nearest }
}

/// a + b, rounded down.
fn add_down(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let part = sum - a;
    let error = (a - (sum - part)) + (b - part);
    if error < 0.0 { sum.next_down() } else { sum }
}

/// Mean of non-negative numbers, rounded down at every step; 0 if there are none.
///
/// ```
/// use mithridate_runtime::statistics::mean_down;
///
/// assert_eq!(mean_down([0.5, 0.25]), 0.375);
/// assert!(mean_down([0.1; 10]) <= 0.1);
/// assert_eq!(mean_down([]), 0.0);
/// ```
pub fn mean_down(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) =
        values.into_iter().fold((0.0, 0_u64), |(sum, count), value| (add_down(sum, value), count + 1));
    if count == 0 { 0.0 } else { div_down(sum, count as f64) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn printed_numbers_are_never_larger(value in 0.0_f64..1000.0, decimals in 0_usize..8) {
            let shown: f64 = round_down(value, decimals).parse().unwrap();
            prop_assert!(shown <= value);
            prop_assert!(value - shown <= 10_f64.powi(-(decimals as i32)) * (1.0 + 1e-9));
        }

        /// A share of inputs is printed with the digits of the long division, even if the nearest float is larger.
        #[test]
        fn shares_are_printed_as_long_division_gives_them(inputs in 1_u64..100_000, right in 0_u64..100_000) {
            let right = right % (inputs + 1);
            let shown = round_down(right as f64 / inputs as f64, 4);
            let digits = right * 10_000 / inputs;
            prop_assert_eq!(shown, format!("{}.{:04}", digits / 10_000, digits % 10_000));
        }

        /// Against sums of integers: the values are multiples of 2⁻⁵³, so their sum is exact in 128 bits.
        #[test]
        fn means_are_never_above_the_true_one(units in prop::collection::vec(0_u64..1 << 53, 1..200)) {
            let scale = 2.0_f64.powi(-53);
            let mean = mean_down(units.iter().map(|&unit| unit as f64 * scale));
            let exact: u128 = units.iter().map(|&unit| u128::from(unit)).sum();
            // mean · count ≤ sum, in units of 2⁻⁶³.
            let scaled = (mean * 2.0_f64.powi(63)) as u128;
            prop_assert!(scaled * units.len() as u128 <= exact << 10);
            prop_assert!(mean >= exact as f64 * scale / units.len() as f64 * (1.0 - 1e-13));
        }
    }

    #[test]
    fn a_rounding_error_upwards_is_taken_back() {
        assert!(div_down(1.0, 3.0).mul_add(3.0, -1.0) <= 0.0);
        assert!(div_down(1.0, 10.0).mul_add(10.0, -1.0) <= 0.0);
        assert_eq!(div_down(0.75, 4.0), 0.1875);
        assert!(root_up(2.0).mul_add(root_up(2.0), -2.0) >= 0.0);
        assert_eq!(root_up(784.0), 28.0);
        let unit = 2.0_f64.powi(-53);
        assert_eq!(add_down(1.0, 3.0 * unit), 1.0 + 2.0 * unit, "nearest is 1 + 2⁻⁵¹");
    }
}
