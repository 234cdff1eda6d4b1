//! Double-double arithmetic: numbers with 106 bits as sums of two `f64`, after Dekker, *A floating-point technique for
//! extending the available precision* (1971). Just enough to compute the normal distribution function to 2⁻⁹⁷.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// `high + low`, with |low| at most half a unit in the last place of `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DoubleDouble {
    pub high: f64,
    pub low: f64,
}

/// 1 / √(2π).
const INVERSE_ROOT_TWO_PI: DoubleDouble =
    DoubleDouble { high: 0.398_942_280_401_432_7, low: -2.492_327_202_277_73e-17 };

impl DoubleDouble {
    /// The exact sum of two numbers.
    fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        let part = high - a;
        Self { high, low: (a - (high - part)) + (b - part) }
    }

    /// The exact product of two numbers.
    pub fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self { high, low: a.mul_add(b, -high) }
    }
}

impl From<f64> for DoubleDouble {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl Neg for DoubleDouble {
    type Output = Self;
    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Add for DoubleDouble {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let (high, low) = (Self::sum(self.high, other.high), Self::sum(self.low, other.low));
        let first = Self::sum(high.high, high.low + low.high);
        Self::sum(first.high, first.low + low.low)
    }
}

impl Sub for DoubleDouble {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for DoubleDouble {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let exact = Self::product(self.high, other.high);
        Self::sum(exact.high, exact.low + (self.high * other.low + self.low * other.high))
    }
}

impl Div for DoubleDouble {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self - other * first.into();
        let second = rest.high / other.high;
        let rest = rest - other * second.into();
        Self::sum(first, second) + (rest.high / other.high).into()
    }
}

/// Φ(−z) for 0 ≤ z ≤ 12, with an absolute error of at most 2⁻⁹⁷.
///
/// ½ − φ(z)·Σ z²ⁿ⁺¹ / (2n+1)!!, and φ(z) = 1 / (√(2π)·Σ (z²/2)ⁿ / n!). No term of either series is negative, so
/// nothing cancels before the last subtraction.
pub(super) fn normal_lower_tail(z: DoubleDouble) -> DoubleDouble {
    let square = z * z;
    let (mut odd, mut odd_sum) = (z, z);
    let (mut power, mut power_sum) = (DoubleDouble::from(1.0), DoubleDouble::from(1.0));
    let half_square = square * 0.5.into();
    for n in 1..1000 {
        let n = f64::from(n);
        odd = odd * square / (2.0 * n + 1.0).into();
        power = power * half_square / n.into();
        (odd_sum, power_sum) = (odd_sum + odd, power_sum + power);
        // Stop once the remaining terms fall faster than a geometric series with ratio ½.
        if n > square.high && odd.high < odd_sum.high * 1e-34 && power.high < power_sum.high * 1e-34 {
            break;
        }
    }
    DoubleDouble::from(0.5) - INVERSE_ROOT_TWO_PI * odd_sum / power_sum
}
