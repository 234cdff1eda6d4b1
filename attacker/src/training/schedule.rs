use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// How the learning rate changes over a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays the same.
    #[default]
    Constant,
    /// It is multiplied by a factor at regular epochs.
    Step,
    /// Half a cosine from 1 to 0 (Loshchilov and Hutter, 2017, without restarts).
    Cosine,
}

choice!(Schedule, "a schedule", { Constant = "constant", Step = "step", Cosine = "cosine" });

impl Schedule {
    /// The factor on the learning rate at `epoch`, which counts from 0 and may be a fraction, in a training of `epochs`
    /// epochs. [`Schedule::Step`] multiplies by `factor` after every `every` epochs; the others ignore these two.
    ///
    /// ```
    /// use mithridate_attacker::training::Schedule;
    ///
    /// assert_eq!(Schedule::Step.factor(59.9, 100, 30, 0.1), 0.1);
    /// assert!((Schedule::Cosine.factor(50.0, 100, 1, 1.0) - 0.5).abs() < 1e-15);
    /// ```
    pub fn factor(self, epoch: f64, epochs: usize, every: usize, factor: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Step => factor.powi((epoch / every.max(1) as f64).floor() as i32),
            Self::Cosine => 0.5 * (1.0 + (PI * epoch / epochs.max(1) as f64).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_those_of_the_formulas() {
        assert_eq!(Schedule::Constant.factor(70.0, 100, 30, 0.1), 1.0);
        for (epoch, expected) in [(0.0, 1.0), (29.99, 1.0), (30.0, 0.1), (60.0, 0.01)] {
            let found = Schedule::Step.factor(epoch, 100, 30, 0.1);
            assert!((found - expected).abs() < 1e-15, "{epoch}: {found}");
        }
        for (epoch, expected) in
            [(0.0, 1.0), (25.0, 0.853_553_390_593), (75.0, 0.146_446_609_407), (100.0, 0.0)]
        {
            let found = Schedule::Cosine.factor(epoch, 100, 1, 1.0);
            assert!((found - expected).abs() < 1e-12, "{epoch}: {found}");
        }
    }
}
