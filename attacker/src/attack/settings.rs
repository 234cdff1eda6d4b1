use serde::{Deserialize, Serialize};

use super::{CandidateSettings, Curvature, Differentiation, Objective, PoisonStep};
use crate::{
    bilevel::{Solver, SolverSettings, Unrolling},
    networks::Architecture,
    training::{Augmentation, Defence, MacerSettings, Method, Preset, SmoothAdvSettings, TrainingSettings},
};

/// Settings of the bilevel attack. The defaults did best in small runs on MNIST; the settings of the paper are
/// [`Preset`]s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools)]
pub struct AttackSettings {
    /// The preset, which gives all settings that are not set otherwise.
    pub preset: Preset,
    /// Classes whose training images are poisoned and whose certified radius is attacked.
    pub target_classes: Vec<usize>,
    /// Share of the training images of these classes that is poisoned; the rest stay clean.
    pub poisoned_share: f64,
    /// Largest change of a pixel, ε: ℓ∞, images in \[0, 1\].
    pub epsilon: f64,

    /// Training method of the lower level.
    pub method: Method,
    /// Network of the lower level. With `linear` and the method `erm` or `gaussian` the lower level is convex: it is
    /// solved to a tolerance before every step, with the damping as weight decay.
    pub network: Architecture,
    /// Standard deviation of the noise in both levels, σ.
    pub sigma: f64,
    /// Settings of the method `smoothadv`.
    pub smoothadv: SmoothAdvSettings,
    /// Settings of the method `macer`.
    pub macer: MacerSettings,
    /// Zeros added on every side before a random crop to the old size; 0 for no crop.
    pub crop: usize,
    /// Whether training images are mirrored with probability ½.
    pub flip: bool,
    /// Whether batch norm uses mean 0 and variance 1 throughout, as the authors' program does.
    pub frozen_bn: bool,
    /// Training steps between two steps on the poison, T1.
    pub inner_steps: usize,
    /// Learning rate of the networks, which Adam trains.
    pub inner_rate: f64,
    /// Images in a batch of the lower level.
    pub batch: usize,
    /// Share of poison images in a batch of the lower level.
    pub batch_share: f64,
    /// Noisy copies of each training image in a convex lower level.
    pub convex_noises: usize,

    /// The objective that the attack minimises.
    pub objective: Objective,
    /// Images of the target classes in a batch of the upper level.
    pub validation_batch: usize,
    /// Noisy copies of each of these images.
    pub validation_noises: usize,
    /// Inverse temperature of the soft radius, β.
    pub beta: f64,
    /// Clamp of the soft radius, a.
    pub clamp: f64,

    /// How hypergradients are computed.
    pub differentiation: Differentiation,
    /// Matrix of the linear system.
    pub curvature: Curvature,
    /// Linear solver.
    pub solver: Solver,
    /// Most iterations of a linear solve, T2; with unrolled differentiation the steps to differentiate through.
    pub solver_steps: usize,
    /// Relative residual at which a linear solve stops. A convex lower level is solved until its gradient is this small
    /// relative to the gradient at θ = 0.
    pub solver_tolerance: f64,
    /// Factor by which `solver_tolerance` falls from step to step.
    pub tolerance_factor: f64,
    /// Learning rate of the solver `least-squares-adam`.
    pub solver_rate: f64,
    /// Learning rate of the gradient steps of unrolled differentiation.
    pub unroll_rate: f64,
    /// Whether a linear solve starts from the last solution for the same network.
    pub warm_start: bool,
    /// Damping of the Hessian, ρ.
    pub damping: f64,

    /// Poison images moved in a step; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_step: Option<usize>,
    /// Whether a step uses one batch for its training steps and its linear solve, and moves the poison images of that
    /// batch, as published.
    pub same_batch: bool,
    /// Steps on the poison.
    pub steps: usize,
    /// Passes over the poison images; it replaces `steps` if present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// The rule that turns hypergradients into steps.
    pub step: PoisonStep,
    /// Learning rate of the poison, images in \[0, 1\].
    pub poison_rate: f64,
    /// Whether `poison_rate` falls linearly to 0 over all steps.
    pub decay: bool,

    /// Networks attacked in turn.
    pub networks: usize,
    /// Training steps of a fresh network before it is attacked. At the start the k-th network makes k times as many.
    pub warm_up: usize,
    /// Steps after which a network, each in turn, is replaced by a fresh one; never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_every: Option<usize>,
    /// Passes over the poison images after which a network is replaced; it replaces `renew_every` if present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_epochs: Option<usize>,

    /// Number of attacks with different random numbers; the best of their poison sets is selected.
    pub restarts: usize,
    /// Poison sets kept from each attack as candidates: evenly spaced steps, the last one at the end.
    pub snapshots: usize,
    /// How the best candidate is selected by retraining.
    pub selection: CandidateSettings,
}

impl Default for AttackSettings {
    fn default() -> Self {
        Self {
            preset: Preset::Default,
            target_classes: vec![8],
            poisoned_share: 1.0,
            epsilon: 0.1,
            method: Method::Gaussian,
            network: Architecture::LeNet,
            sigma: 0.25,
            smoothadv: SmoothAdvSettings { warm_up: 2, ..SmoothAdvSettings::default() },
            macer: MacerSettings { noises: 1, lambda: 1.0, ..MacerSettings::default() },
            crop: 0,
            flip: false,
            frozen_bn: false,
            inner_steps: 5,
            inner_rate: 1e-3,
            batch: 200,
            batch_share: 0.1,
            convex_noises: 2,
            objective: Objective::Radius,
            validation_batch: 60,
            validation_noises: 16,
            beta: 16.0,
            clamp: 1e-3,
            differentiation: Differentiation::Implicit,
            curvature: Curvature::GaussNewton,
            solver: Solver::Cg,
            solver_steps: 10,
            solver_tolerance: 1e-3,
            tolerance_factor: 1.0,
            solver_rate: 1e-2,
            unroll_rate: 0.1,
            warm_start: false,
            damping: 1e-2,
            images_per_step: None,
            same_batch: false,
            steps: 120,
            epochs: None,
            step: PoisonStep::Adam,
            poison_rate: 0.02,
            decay: true,
            networks: 1,
            warm_up: 60,
            renew_every: None,
            renew_epochs: None,
            restarts: 1,
            snapshots: 1,
            selection: CandidateSettings::default(),
        }
    }
}

impl AttackSettings {
    /// Whether the lower level is convex, and therefore solved.
    pub fn is_convex(&self) -> bool {
        self.network == Architecture::Linear && self.method.is_cross_entropy()
    }

    /// Poison images in a batch of the lower level.
    pub fn poison_in_batch(&self) -> usize {
        (self.batch as f64 * self.batch_share).round() as usize
    }

    /// Poison images moved in a step, of `poisoned` in total.
    pub(crate) fn moved_in_step(&self, poisoned: usize) -> usize {
        if self.same_batch { self.poison_in_batch() } else { self.images_per_step.unwrap_or(poisoned) }
            .min(poisoned)
    }

    /// Steps in a pass over `poisoned` poison images.
    pub(crate) fn steps_in_epoch(&self, poisoned: usize) -> usize {
        poisoned.div_ceil(self.moved_in_step(poisoned).max(1))
    }

    /// Steps of the attack on `poisoned` poison images.
    pub fn total_steps(&self, poisoned: usize) -> usize {
        self.epochs.map_or(self.steps, |epochs| epochs.saturating_mul(self.steps_in_epoch(poisoned)))
    }

    /// Steps after which a network is replaced, for `poisoned` poison images; `None` for never.
    pub(crate) fn renewal(&self, poisoned: usize) -> Option<usize> {
        self.renew_epochs
            .map(|epochs| epochs.saturating_mul(self.steps_in_epoch(poisoned)))
            .or(self.renew_every)
    }

    /// How the lower level trains: its network, training method, augmentation and use of batch norm. All other settings
    /// are those of [`TrainingSettings::default`].
    pub fn lower_level(&self) -> TrainingSettings {
        TrainingSettings {
            network: self.network,
            method: self.method,
            sigma: self.sigma,
            smoothadv: self.smoothadv,
            macer: self.macer,
            crop: self.crop,
            flip: self.flip,
            frozen_bn: self.frozen_bn,
            ..TrainingSettings::default()
        }
    }

    /// How networks are trained from scratch to select among candidate poison sets: as the lower level, with the epochs and
    /// the batch of `selection`.
    pub fn retraining(&self) -> TrainingSettings {
        let CandidateSettings { epochs, batch, .. } = self.selection;
        TrainingSettings { epochs, batch, ..self.lower_level() }
    }

    /// The training method of the lower level with its settings.
    pub(crate) fn defence(&self) -> Defence {
        self.lower_level().defence()
    }

    /// How images of the lower level are cropped and mirrored.
    pub(crate) fn augmentation(&self) -> Augmentation {
        self.lower_level().augmentation()
    }

    /// How the linear system of step `step` is solved.
    pub(crate) fn solver_settings(&self, step: usize) -> SolverSettings {
        SolverSettings {
            solver: self.solver,
            iterations: self.solver_steps,
            tolerance: self.tolerance(step),
            rate: self.solver_rate,
        }
    }

    /// The tolerance of step `step`.
    pub(super) fn tolerance(&self, step: usize) -> f64 {
        self.solver_tolerance * self.tolerance_factor.powi(i32::try_from(step).unwrap_or(i32::MAX))
    }

    pub(super) fn unrolling(&self) -> Unrolling {
        Unrolling { steps: self.solver_steps, rate: self.unroll_rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_level_trains_as_the_attack_says() {
        let settings = AttackSettings {
            network: Architecture::Mlp,
            method: Method::Macer,
            sigma: 0.5,
            smoothadv: SmoothAdvSettings { steps: 7, ..SmoothAdvSettings::default() },
            macer: MacerSettings { noises: 3, ..MacerSettings::default() },
            crop: 2,
            flip: true,
            frozen_bn: true,
            selection: CandidateSettings { epochs: 5, batch: 40, ..CandidateSettings::default() },
            ..AttackSettings::default()
        };
        let training = settings.lower_level();
        assert_eq!(
            (training.network, training.method, training.sigma),
            (Architecture::Mlp, Method::Macer, 0.5)
        );
        assert_eq!((training.smoothadv, training.macer), (settings.smoothadv, settings.macer));
        assert_eq!((training.crop, training.flip, training.frozen_bn), (2, true, true));
        let TrainingSettings { epochs, batch, rate, .. } = TrainingSettings::default();
        assert_eq!((training.epochs, training.batch, training.rate), (epochs, batch, rate));
        assert_eq!(settings.retraining(), TrainingSettings { epochs: 5, batch: 40, ..training });
    }

    #[test]
    fn epochs_are_passes_over_the_poison() {
        let settings =
            AttackSettings { epochs: Some(3), same_batch: true, batch: 200, ..AttackSettings::default() };
        assert_eq!((settings.steps_in_epoch(590), settings.total_steps(590)), (30, 90));
        assert_eq!(AttackSettings::default().total_steps(590), 120);
    }
}
