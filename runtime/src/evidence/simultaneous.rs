use serde::{Deserialize, Serialize};

use crate::units::{Alpha, UnitError};

/// A simultaneous claim about all inputs of a run: with probability at least 1 − α all its certificates are valid at
/// once, because each was made at level α/m for m inputs (Bonferroni).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simultaneous {
    /// α: the largest probability with which any certificate is wrong.
    pub alpha: Alpha,
    /// m: the number of inputs of the claim.
    pub inputs: u64,
}

impl Simultaneous {
    /// α/m, rounded down: the level of each certificate.
    ///
    /// # Errors
    /// [`UnitError`] if the result is not a valid α, because `inputs` is 0, or so large that α/m underflows to 0.
    pub fn alpha_each(&self) -> Result<Alpha, UnitError> {
        if self.inputs == 1 {
            return Ok(self.alpha);
        }
        Alpha::new((self.alpha.get() / self.inputs as f64).next_down())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_never_more_than_the_whole() {
        for inputs in [1_u64, 2, 3, 7, 10_000] {
            for alpha in [0.001, 0.05, 0.3] {
                let claim = Simultaneous { alpha: Alpha::new(alpha).unwrap(), inputs };
                let each = claim.alpha_each().unwrap().get();
                assert!(each.mul_add(inputs as f64, -alpha) <= 0.0, "{inputs} {alpha}");
                assert!(each * inputs as f64 > alpha * (1.0 - 1e-12));
            }
        }
        let none = Simultaneous { alpha: Alpha::USUAL, inputs: 0 };
        assert!(none.alpha_each().is_err());
    }
}
