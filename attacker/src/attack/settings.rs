use serde::{Deserialize, Serialize};

use super::SelectionSettings;
use crate::{
    Error,
    bilevel::{Solver, SolverSettings, Unrolling},
    choice::choice,
    data::levels,
    networks::Architecture,
    training::{
        Augmentation, Defence, MacerSettings, Method, Preset, SmoothAdvSettings, TrainingSettings,
        at_least_one, not_negative, positive,
    },
};

/// The matrix of the linear system: the curvature of the lower level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curvature {
    /// The Hessian itself, indefinite for deep networks.
    Hessian,
    /// The Gauss–Newton matrix of the cross-entropy, which is positive semidefinite. MACER's own loss is replaced by the
    /// cross-entropy for this purpose.
    GaussNewton,
}

choice!(Curvature, "a curvature", { Hessian = "hessian", GaussNewton = "gauss-newton" });

/// How hypergradients are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Differentiation {
    /// By the implicit function theorem, with a linear solve.
    Implicit,
    /// By differentiating through the next `solver_steps` gradient steps of the lower level, at rate `unroll_rate`.
    Unrolled,
}

choice!(Differentiation, "a way to compute hypergradients", { Implicit = "implicit", Unrolled = "unrolled" });

/// What the attack minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// The soft average certified radius of the target classes.
    Radius,
    /// Minus the cross-entropy of the target classes without noise: poison against classifiers that are not smoothed.
    Accuracy,
}

choice!(Objective, "an objective", { Radius = "radius", Accuracy = "accuracy" });

/// The rule that turns hypergradients into steps on the poison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoisonStep {
    /// Adam with a state for each image.
    Adam,
    /// Adam with a state for each position in the batch: the momentum of one image moves the next image in that
    /// position. The authors' program does so.
    SlotAdam,
    /// The sign of the hypergradient.
    Sign,
}

choice!(PoisonStep, "a step", { Adam = "adam", SlotAdam = "slot-adam", Sign = "sign" });

/// Settings of the bilevel attack. The defaults did best in small runs on MNIST; the settings of the paper are
/// [`Preset`]s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools)]
pub struct AttackSettings {
    /// The preset that settings which are not given come from.
    pub preset: Preset,
    /// Classes whose training images are poisoned and whose certified radius is attacked.
    pub target_classes: Vec<usize>,
    /// Share of their training images that are poisoned; the rest stay clean.
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

    /// What the attack minimises.
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
    /// The same in passes over the poison images; it replaces `renew_every` if present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_epochs: Option<usize>,

    /// Attacks with different random numbers, of which the best is kept.
    pub restarts: usize,
    /// Poison sets kept from each attack as candidates: evenly spaced steps, the last one at the end.
    pub snapshots: usize,
    /// How the best candidate is found by retraining.
    pub selection: SelectionSettings,
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
            selection: SelectionSettings::default(),
        }
    }
}

impl AttackSettings {
    /// Checks that all settings are in range and fit each other, for data with `classes` classes.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self, classes: usize) -> Result<(), Error> {
        check_classes(&self.target_classes, classes)?;
        check_epsilon(self.epsilon)?;
        check_share("poisoned_share", self.poisoned_share)?;
        for (name, value) in [
            ("sigma", self.sigma),
            ("poison_rate", self.poison_rate),
            ("inner_rate", self.inner_rate),
            ("solver_rate", self.solver_rate),
            ("unroll_rate", self.unroll_rate),
            ("beta", self.beta),
        ] {
            positive(name, value)?;
        }
        for (name, value) in [
            ("steps", self.steps),
            ("epochs", self.epochs.unwrap_or(1)),
            ("inner_steps", self.inner_steps),
            ("batch", self.batch),
            ("convex_noises", self.convex_noises),
            ("validation_batch", self.validation_batch),
            ("validation_noises", self.validation_noises),
            ("solver_steps", self.solver_steps),
            ("networks", self.networks),
            ("images_per_step", self.images_per_step.unwrap_or(1)),
            ("renew_every", self.renew_every.unwrap_or(1)),
            ("renew_epochs", self.renew_epochs.unwrap_or(1)),
            ("restarts", self.restarts),
            ("snapshots", self.snapshots),
        ] {
            at_least_one(name, value)?;
        }
        not_negative("damping", self.damping)?;
        if !(0.0..=1.0).contains(&self.solver_tolerance) {
            return Err(Error::setting("solver_tolerance", "between 0 and 1", &self.solver_tolerance));
        }
        if !(self.tolerance_factor > 0.0 && self.tolerance_factor <= 1.0) {
            let expected = "more than 0 and at most 1 (tolerances fall)";
            return Err(Error::setting("tolerance_factor", expected, &self.tolerance_factor));
        }
        // In single precision 1 − a is 1 for a smaller clamp a, and its quantile is infinite.
        if !(1e-6..0.5).contains(&self.clamp) {
            return Err(Error::setting("clamp", "at least 0.000001 and less than 0.5", &self.clamp));
        }
        if !(0.0..=1.0).contains(&self.batch_share) || self.poison_in_batch() == 0 {
            let expected =
                format!("a share in (0, 1] that makes at least one image of a batch of {}", self.batch);
            return Err(Error::setting("batch_share", expected, &self.batch_share));
        }
        if self.step == PoisonStep::SlotAdam && !self.same_batch {
            return Err(Error::setting("step", "adam or sign, unless same_batch is true", &self.step));
        }
        if self.is_convex() && self.damping == 0.0 {
            return Err(Error::setting("damping", "positive for a linear network", &self.damping));
        }
        if self.same_batch && self.differentiation == Differentiation::Unrolled {
            let expected = "implicit if same_batch is true, so that noise is the same throughout";
            return Err(Error::setting("differentiation", expected, &self.differentiation));
        }
        if self.is_convex() && self.same_batch {
            let expected = "false for a linear network, whose lower level is solved on all images";
            return Err(Error::setting("same_batch", expected, &self.same_batch));
        }
        if let (true, Some(images)) = (self.is_convex(), self.images_per_step) {
            let expected = "absent for a linear network, all of whose poison is moved in every step";
            return Err(Error::setting("images_per_step", expected, &images));
        }
        if self.is_convex() && self.differentiation == Differentiation::Unrolled {
            let expected = "implicit for a linear network (its lower level is solved)";
            return Err(Error::setting("differentiation", expected, &self.differentiation));
        }
        for (name, varied, plain) in
            [("crop", self.crop.to_string(), "0"), ("flip", self.flip.to_string(), "false")]
        {
            if self.is_convex() && varied != plain {
                let expected =
                    format!("{plain} for a linear network (its lower level is solved for fixed images)");
                return Err(Error::setting(name, expected, &varied));
            }
        }
        self.smoothadv.check()?;
        self.macer.check()?;
        self.selection.check()
    }

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

    /// How networks are retrained from scratch to choose between poison sets: as the lower level, with the epochs and
    /// the batch of `selection`.
    pub fn retraining(&self) -> TrainingSettings {
        let SelectionSettings { epochs, batch, .. } = self.selection;
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

/// Checks ε: between one step of 1/255 and the whole pixel range.
pub(crate) fn check_epsilon(epsilon: f64) -> Result<(), Error> {
    if (0.0..=1.0).contains(&epsilon) && levels(epsilon) >= 1 {
        return Ok(());
    }
    Err(Error::setting("epsilon", "between 1/255 and 1", &epsilon))
}

/// Checks target classes: each exists and is named once, and at least one class is left.
pub(crate) fn check_classes(targets: &[usize], classes: usize) -> Result<(), Error> {
    let listed = targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if let Some(class) = targets.iter().find(|&&class| class >= classes) {
        let expected = format!("among the {classes} classes (0 to {})", classes - 1);
        return Err(Error::setting("target_classes", expected, class));
    }
    let distinct: std::collections::BTreeSet<_> = targets.iter().collect();
    if targets.is_empty() || distinct.len() != targets.len() || targets.len() >= classes {
        let expected = format!("at least 1 and fewer than all {classes} classes, each once");
        return Err(Error::setting("target_classes", expected, &format!("[{listed}]")));
    }
    Ok(())
}

pub(crate) fn check_share(name: &'static str, share: f64) -> Result<(), Error> {
    if share > 0.0 && share <= 1.0 {
        return Ok(());
    }
    Err(Error::setting(name, "more than 0 and at most 1", &share))
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
            bad(|s| s.target_classes = vec![3, 10]),
            "target_classes must be among the 10 classes (0 to 9) and is 10"
        );
        assert!(bad(|s| s.target_classes = vec![3, 3]).ends_with("each once and is [3, 3]"));
        assert!(bad(|s| s.target_classes = vec![]).starts_with("target_classes must be at least 1"));
        assert_eq!(bad(|s| s.epsilon = -0.1), "epsilon must be between 1/255 and 1 and is -0.1");
        assert_eq!(bad(|s| s.epsilon = f64::NAN), "epsilon must be between 1/255 and 1 and is NaN");
        assert_eq!(bad(|s| s.steps = 0), "steps must be at least 1 and is 0");
        assert_eq!(bad(|s| s.clamp = 0.5), "clamp must be at least 0.000001 and less than 0.5 and is 0.5");
        assert!(bad(|s| s.batch_share = 0.001).starts_with("batch_share must be a share"));
        assert!(bad(|s| s.poisoned_share = 0.0).starts_with("poisoned_share must be more than 0"));
        assert!(bad(|s| s.step = PoisonStep::SlotAdam).contains("same_batch"));
        assert!(
            bad(|s| (s.same_batch, s.differentiation) = (true, Differentiation::Unrolled))
                .starts_with("differentiation must be implicit if same_batch")
        );
        assert!(
            bad(|s| (s.same_batch, s.network) = (true, Architecture::Linear))
                .starts_with("same_batch must be false")
        );
        let linear = bad(|s| (s.network, s.flip) = (Architecture::Linear, true));
        assert!(linear.starts_with("flip must be false for a linear network"), "{linear}");
    }

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
            selection: SelectionSettings { epochs: 5, batch: 40, ..SelectionSettings::default() },
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
