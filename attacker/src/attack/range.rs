use super::{AttackSettings, Differentiation, PoisonStep};
use crate::{
    Error,
    data::levels,
    training::{at_least_one, not_negative, positive},
};

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
            let expected = "more than 0 and at most 1 (tolerances must not rise)";
            return Err(Error::setting("tolerance_factor", expected, &self.tolerance_factor));
        }
        // In single precision 1 − a is 1 for a smaller clamp a, and its quantile is infinite.
        if !(1e-6..0.5).contains(&self.clamp) {
            return Err(Error::setting("clamp", "at least 0.000001 and less than 0.5", &self.clamp));
        }
        if !(0.0..=1.0).contains(&self.batch_share) || self.poison_in_batch() == 0 {
            let expected = format!("at most 1 and enough for one poison image in a batch of {}", self.batch);
            return Err(Error::setting("batch_share", expected, &self.batch_share));
        }
        if self.step == PoisonStep::SlotAdam && !self.same_batch {
            return Err(Error::setting(
                "step",
                "adam or sign (slot-adam needs same_batch = true)",
                &self.step,
            ));
        }
        if self.is_convex() && self.damping == 0.0 {
            return Err(Error::setting("damping", "more than 0 for a linear network", &self.damping));
        }
        if self.same_batch && self.differentiation == Differentiation::Unrolled {
            let expected = "implicit (unrolled needs same_batch = false)";
            return Err(Error::setting("differentiation", expected, &self.differentiation));
        }
        if self.is_convex() && self.same_batch {
            let expected = "false for a linear network (its lower level is solved on all images)";
            return Err(Error::setting("same_batch", expected, &self.same_batch));
        }
        if let (true, Some(images)) = (self.is_convex(), self.images_per_step) {
            let expected = "absent for a linear network (every step moves all its poison images)";
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
}

/// Checks that ε is between 1/255 and 1.
pub(crate) fn check_epsilon(epsilon: f64) -> Result<(), Error> {
    if (0.0..=1.0).contains(&epsilon) && levels(epsilon) >= 1 {
        return Ok(());
    }
    Err(Error::setting("epsilon", "between 1/255 and 1", &epsilon))
}

/// Checks the target classes `targets` of `classes` classes: each exists and is named once, and at least one class is no
/// target class.
pub(crate) fn check_classes(targets: &[usize], classes: usize) -> Result<(), Error> {
    let listed = targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if let Some(class) = targets.iter().find(|&&class| class >= classes) {
        let expected = format!("among the {classes} classes (0 to {})", classes - 1);
        return Err(Error::setting("target_classes", expected, class));
    }
    let distinct: std::collections::BTreeSet<_> = targets.iter().collect();
    if targets.is_empty() || distinct.len() != targets.len() || targets.len() >= classes {
        let expected = "one or more different classes (but not all)";
        return Err(Error::setting("target_classes", expected, &format!("[{listed}]")));
    }
    Ok(())
}

/// Checks that the setting `name` is a share of at least one image.
pub(crate) fn check_share(name: &'static str, share: f64) -> Result<(), Error> {
    if share > 0.0 && share <= 1.0 {
        return Ok(());
    }
    Err(Error::setting(name, "more than 0 and at most 1", &share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::Architecture;

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
        assert!(
            bad(|s| s.target_classes = vec![3, 3]).ends_with("different classes (but not all) and is [3, 3]")
        );
        assert!(bad(|s| s.target_classes = vec![]).starts_with("target_classes must be one or more"));
        assert_eq!(bad(|s| s.epsilon = -0.1), "epsilon must be between 1/255 and 1 and is -0.1");
        assert_eq!(bad(|s| s.epsilon = f64::NAN), "epsilon must be between 1/255 and 1 and is NaN");
        assert_eq!(bad(|s| s.steps = 0), "steps must be at least 1 and is 0");
        assert_eq!(bad(|s| s.clamp = 0.5), "clamp must be at least 0.000001 and less than 0.5 and is 0.5");
        assert!(bad(|s| s.batch_share = 0.001).starts_with("batch_share must be at most 1 and enough"));
        assert!(bad(|s| s.poisoned_share = 0.0).starts_with("poisoned_share must be more than 0"));
        assert!(bad(|s| s.step = PoisonStep::SlotAdam).contains("same_batch"));
        assert!(
            bad(|s| (s.same_batch, s.differentiation) = (true, Differentiation::Unrolled))
                .starts_with("differentiation must be implicit (unrolled needs same_batch")
        );
        assert!(
            bad(|s| (s.same_batch, s.network) = (true, Architecture::Linear))
                .starts_with("same_batch must be false")
        );
        let linear = bad(|s| (s.network, s.flip) = (Architecture::Linear, true));
        assert!(linear.starts_with("flip must be false for a linear network"), "{linear}");
    }
}
