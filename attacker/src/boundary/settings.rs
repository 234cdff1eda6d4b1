use serde::Serialize;

use super::TARGET;
use crate::{
    Error,
    attack::{AttackSettings, check_epsilon},
    networks::Architecture,
    training::{MacerSettings, Method, SmoothAdvSettings, TrainingSettings},
};

/// Settings of the study in the plane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BoundarySettings {
    /// Seed of points, attack, victims and certification.
    pub seed: u64,
    /// Standard deviation of the noise of training and certification; the plane is the unit square.
    pub sigma: f64,
    /// Largest change of a coordinate of a training point, ε.
    pub epsilon: f64,
    /// Training points of each class; there are as many validation points and test points of the target class.
    pub points: usize,
    /// Training method, attacked and used by the victims.
    pub method: Method,
}

impl Default for BoundarySettings {
    fn default() -> Self {
        Self { seed: 0, sigma: 0.1, epsilon: 0.1, points: 60, method: Method::Gaussian }
    }
}

/// Points in a batch of training.
const BATCH: usize = 60;
/// Training steps of a victim.
const STEPS: usize = 800;

impl BoundarySettings {
    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        if !(0.01..=1.0).contains(&self.sigma) {
            let expected = "between 0.01 and 1 (the plane has side 1)";
            return Err(Error::setting("sigma", expected, &self.sigma));
        }
        check_epsilon(self.epsilon)?;
        if !(10..=2000).contains(&self.points) {
            return Err(Error::setting("points", "between 10 and 2000 for each class", &self.points));
        }
        Ok(())
    }

    /// Settings of the attack on a network.
    pub(super) fn attack(&self, network: Architecture) -> AttackSettings {
        AttackSettings {
            target_classes: vec![TARGET],
            epsilon: self.epsilon,
            method: self.method,
            network,
            sigma: self.sigma,
            smoothadv: SmoothAdvSettings { warm_up: 0, ..self.smoothadv() },
            macer: MacerSettings { noises: 4, lambda: 4.0, ..MacerSettings::default() },
            inner_steps: 10,
            inner_rate: rate(network),
            batch: BATCH,
            batch_share: 0.5,
            convex_noises: 8,
            validation_batch: 50,
            validation_noises: 16,
            // The weights of a linear network on a plane of side 1 are large, so their decay must be small.
            damping: if network == Architecture::Linear { 1e-4 } else { 1e-2 },
            steps: 60,
            poison_rate: 0.25 * self.epsilon,
            warm_up: 200,
            ..AttackSettings::default()
        }
    }

    /// Settings of the training of a victim.
    pub(super) fn training(&self, network: Architecture) -> TrainingSettings {
        TrainingSettings {
            network,
            method: self.method,
            sigma: self.sigma,
            epochs: STEPS.div_ceil((2 * self.points).div_ceil(BATCH)),
            batch: BATCH,
            rate: rate(network),
            smoothadv: self.smoothadv(),
            macer: MacerSettings { lambda: 4.0, ..MacerSettings::default() },
            ..TrainingSettings::default()
        }
    }

    /// An adversary with radius σ; the radius that is used on images would leave the plane.
    fn smoothadv(&self) -> SmoothAdvSettings {
        SmoothAdvSettings { radius: self.sigma, noises: 4, ..SmoothAdvSettings::default() }
    }
}

fn rate(network: Architecture) -> f64 {
    if network == Architecture::Linear { 0.05 } else { 3e-3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_is_valid_for_every_method() {
        for &method in Method::ALL {
            let settings = BoundarySettings { method, ..BoundarySettings::default() };
            settings.check().unwrap();
            for network in [Architecture::Linear, Architecture::Mlp] {
                settings.attack(network).check(2).unwrap();
                settings.training(network).check().unwrap();
            }
        }
    }
}
