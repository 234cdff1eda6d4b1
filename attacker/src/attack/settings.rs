use serde::{Deserialize, Serialize};

use crate::{
    Error,
    bilevel::{Solver, SolverSettings},
    choice::choice,
    networks::Architecture,
    training::{Method, at_least_one, positive},
};

/// Which matrix stands for the curvature of the lower level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curvature {
    /// The Hessian itself, indefinite for deep networks.
    Hessian,
    /// The Gauss–Newton matrix, never indefinite.
    GaussNewton,
}

choice!(Curvature, "a curvature", { Hessian = "hessian", GaussNewton = "gauss-newton" });

/// Settings of the bilevel attack. The defaults are those that did best in small runs on MNIST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttackSettings {
    /// Class whose training images are poisoned and whose certified radius is attacked.
    pub target_class: usize,
    /// Most that a pixel may move, ℓ∞ in \[0, 1\].
    pub epsilon: f64,
    /// Training method of the lower level.
    pub method: Method,
    /// Network of the lower level.
    pub network: Architecture,
    /// Standard deviation of the noise, in both levels.
    pub sigma: f64,
    /// Steps on the poison.
    pub steps: usize,
    /// Learning rate of the poison, in pixel units.
    pub poison_rate: f64,
    /// Whether that rate falls linearly to 0.
    pub decay: bool,
    /// Training steps between two steps on the poison (T1).
    pub inner_steps: usize,
    /// Learning rate of the networks.
    pub inner_rate: f64,
    /// Images in a batch of the lower level.
    pub batch: usize,
    /// Share of poison images in such a batch.
    pub poison_share: f64,
    /// Images of the target class in a batch of the upper level.
    pub validation_batch: usize,
    /// Noisy copies of each.
    pub validation_noises: usize,
    /// Poison images moved by one linear solve; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_step: Option<usize>,
    /// Matrix of the linear system.
    pub curvature: Curvature,
    /// Linear solver.
    pub solver: Solver,
    /// Most iterations of a solve (T2).
    pub solver_steps: usize,
    /// Relative residual at which a solve stops.
    pub solver_tolerance: f64,
    /// Learning rate of the solver `least-squares-adam`.
    pub solver_rate: f64,
    /// Damping of the Hessian, ρ.
    pub damping: f64,
    /// Inverse temperature of the soft radius, β.
    pub beta: f64,
    /// Clamp of the soft radius, a.
    pub clamp: f64,
    /// Networks attacked in turn.
    pub networks: usize,
    /// Training steps of a fresh network before it is used; the k-th starts with k times as many.
    pub warm_up: usize,
    /// A network is replaced by a fresh one every so many steps, in turn; never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_every: Option<usize>,
}

impl Default for AttackSettings {
    fn default() -> Self {
        Self {
            target_class: 8,
            epsilon: 0.1,
            method: Method::Gaussian,
            network: Architecture::LeNet,
            sigma: 0.25,
            steps: 120,
            poison_rate: 0.02,
            decay: true,
            inner_steps: 5,
            inner_rate: 1e-3,
            batch: 200,
            poison_share: 0.1,
            validation_batch: 60,
            validation_noises: 16,
            images_per_step: None,
            curvature: Curvature::GaussNewton,
            solver: Solver::Cg,
            solver_steps: 10,
            solver_tolerance: 1e-3,
            solver_rate: 1e-2,
            damping: 1e-2,
            beta: 16.0,
            clamp: 1e-3,
            networks: 1,
            warm_up: 60,
            renew_every: None,
        }
    }
}

impl AttackSettings {
    /// Refuses settings out of range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self, classes: usize) -> Result<(), Error> {
        if self.target_class >= classes {
            let expected = format!("one of the {classes} classes (0 to {})", classes - 1);
            return Err(Error::setting("target_class", expected, &self.target_class));
        }
        check_epsilon(self.epsilon)?;
        for (name, value) in [
            ("sigma", self.sigma),
            ("poison_rate", self.poison_rate),
            ("inner_rate", self.inner_rate),
            ("solver_rate", self.solver_rate),
            ("beta", self.beta),
        ] {
            positive(name, value)?;
        }
        for (name, value) in [
            ("steps", self.steps),
            ("inner_steps", self.inner_steps),
            ("batch", self.batch),
            ("validation_batch", self.validation_batch),
            ("validation_noises", self.validation_noises),
            ("solver_steps", self.solver_steps),
            ("networks", self.networks),
            ("images_per_step", self.images_per_step.unwrap_or(1)),
            ("renew_every", self.renew_every.unwrap_or(1)),
        ] {
            at_least_one(name, value)?;
        }
        if !(self.damping.is_finite() && self.damping >= 0.0) {
            return Err(Error::setting("damping", "a finite number that is not negative", &self.damping));
        }
        if !(0.0..=1.0).contains(&self.solver_tolerance) {
            return Err(Error::setting("solver_tolerance", "between 0 and 1", &self.solver_tolerance));
        }
        // Below this single precision can't tell the clamped 1 from 1, whose quantile is infinite.
        if !(1e-6..0.5).contains(&self.clamp) {
            return Err(Error::setting("clamp", "at least 0.000001 and less than 0.5", &self.clamp));
        }
        if !(0.0..=1.0).contains(&self.poison_share) || self.poison_in_batch() == 0 {
            let expected =
                format!("a share in (0, 1] that makes at least one image of a batch of {}", self.batch);
            return Err(Error::setting("poison_share", expected, &self.poison_share));
        }
        Ok(())
    }

    /// Poison images in a batch of the lower level.
    pub fn poison_in_batch(&self) -> usize {
        (self.batch as f64 * self.poison_share).round() as usize
    }

    pub(super) fn solver_settings(&self) -> SolverSettings {
        SolverSettings {
            solver: self.solver,
            iterations: self.solver_steps,
            tolerance: self.solver_tolerance,
            rate: self.solver_rate,
        }
    }
}

/// ε must be a share of the pixel range of at least one level of 255.
pub(crate) fn check_epsilon(epsilon: f64) -> Result<(), Error> {
    if (0.0..=1.0).contains(&epsilon) && crate::poison::levels(epsilon) >= 1 {
        return Ok(());
    }
    Err(Error::setting("epsilon", "between 1/255 and 1", &epsilon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let bad = |change: fn(&mut AttackSettings)| {
            let mut settings = AttackSettings::default();
            change(&mut settings);
            settings.check(10).unwrap_err().to_string()
        };
        assert!(AttackSettings::default().check(10).is_ok());
        assert_eq!(
            bad(|s| s.target_class = 10),
            "target_class must be one of the 10 classes (0 to 9) and is 10"
        );
        assert_eq!(bad(|s| s.epsilon = -0.1), "epsilon must be between 1/255 and 1 and is -0.1");
        assert_eq!(bad(|s| s.epsilon = f64::NAN), "epsilon must be between 1/255 and 1 and is NaN");
        assert_eq!(bad(|s| s.steps = 0), "steps must be at least 1 and is 0");
        assert_eq!(bad(|s| s.clamp = 0.5), "clamp must be at least 0.000001 and less than 0.5 and is 0.5");
        assert!(bad(|s| s.poison_share = 0.001).starts_with("poison_share must be a share"));
    }
}
