use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::rounding::{div_down, root_up};

/// The norm in which a distance between two inputs is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// ℓ1: the sum of absolute differences.
    L1,
    /// ℓ2: the square root of the sum of squared differences.
    #[default]
    L2,
    /// ℓ∞: the largest absolute difference.
    Linf,
}

impl Norm {
    /// All norms.
    pub const ALL: [Self; 3] = [Self::L1, Self::L2, Self::Linf];

    /// Its name in files and on the command line: `l1`, `l2`, `linf`.
    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::Linf => "linf",
        }
    }

    /// The largest radius in the norm `inside` whose ball lies in the ball of this norm with radius `radius`, for
    /// inputs of `values` values (d in the formulas), rounded down.
    ///
    /// # Formula
    /// ‖x‖₁ ≥ ‖x‖₂ ≥ ‖x‖∞, so the radius stays the same from ℓ2 to ℓ1 and from ℓ∞ to ℓ2 or ℓ1. In the other direction
    /// ‖x‖₁ ≤ √d·‖x‖₂, ‖x‖₂ ≤ √d·‖x‖∞ and ‖x‖₁ ≤ d·‖x‖∞ give the factors.
    ///
    /// ```
    /// use mithridate_runtime::statistics::Norm;
    ///
    /// assert_eq!(Norm::L2.derive(0.5, Norm::L1, 784), 0.5);
    /// assert_eq!(Norm::L2.derive(0.56, Norm::Linf, 784), 0.02);
    /// assert_eq!(Norm::L1.derive(784.0, Norm::Linf, 784), 1.0);
    /// ```
    pub fn derive(self, radius: f64, inside: Self, values: usize) -> f64 {
        if inside <= self {
            return radius;
        }
        let steps = inside as usize - self as usize;
        let values = values.max(1) as f64;
        div_down(radius, if steps == 2 { values } else { root_up(values) })
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L1 => "ℓ1",
            Self::L2 => "ℓ2",
            Self::Linf => "ℓ∞",
        })
    }
}

impl FromStr for Norm {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|norm| norm.name() == text)
            .ok_or_else(|| "a norm is l1, l2 or linf".to_owned())
    }
}

/// The certified radius of one input in all three norms, each rounded down, in units of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Radii {
    /// Radius in ℓ1.
    pub l1: f64,
    /// Radius in ℓ2.
    pub l2: f64,
    /// Radius in ℓ∞.
    pub linf: f64,
}

impl Radii {
    /// Converts a certified radius `radius` in `norm` to all three norms, for inputs of `values` values.
    pub fn new(radius: f64, norm: Norm, values: usize) -> Self {
        let derive = |inside| norm.derive(radius, inside, values);
        Self { l1: derive(Norm::L1), l2: derive(Norm::L2), linf: derive(Norm::Linf) }
    }

    /// The radius in `norm`.
    pub fn of(&self, norm: Norm) -> f64 {
        match norm {
            Norm::L1 => self.l1,
            Norm::L2 => self.l2,
            Norm::Linf => self.linf,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A point of the derived ball is in the ball it was derived from.
        #[test]
        fn derived_balls_lie_inside(
            radius in 1e-3_f64..4.0, direction in prop::collection::vec(-1.0_f64..1.0, 1..40)
        ) {
            let length = |values: &[f64], norm: Norm| match norm {
                Norm::L1 => values.iter().map(|value| value.abs()).sum::<f64>(),
                Norm::L2 => values.iter().map(|value| value * value).sum::<f64>().sqrt(),
                Norm::Linf => values.iter().fold(0.0, |most: f64, value| most.max(value.abs())),
            };
            for norm in Norm::ALL {
                for inside in Norm::ALL {
                    let derived = norm.derive(radius, inside, direction.len());
                    let scale = derived / length(&direction, inside).max(1e-9);
                    let point: Vec<f64> = direction.iter().map(|value| value * scale).collect();
                    prop_assert!(length(&point, norm) <= radius * (1.0 + 1e-12), "{} {}", norm, inside);
                }
            }
        }
    }

    /// On the diagonal the inequalities are equalities, so the derived radii can't be larger.
    #[test]
    fn derived_radii_are_the_largest_possible() {
        let radii = Radii::new(0.9, Norm::L2, 9);
        assert_eq!((radii.l1, radii.l2), (0.9, 0.9));
        assert!(radii.linf <= 0.3 && radii.linf > 0.3 - 1e-15);
        let radii = Radii::new(0.9, Norm::L1, 9);
        assert!(radii.l2 <= 0.3 && radii.l2 > 0.3 - 1e-15 && radii.linf <= 0.1 && radii.linf > 0.1 - 1e-15);
    }
}
