use serde::{Deserialize, Serialize};

use super::{
    Augmentation, Defence, MacerSettings, Method, Preset, Schedule, SmoothAdvSettings, at_least_one,
    not_negative, positive,
};
use crate::{
    Error,
    networks::Architecture,
    optimiser::{OptimiserKind, OptimiserSettings},
};

/// How a network is trained from scratch. The defaults are those of the quick example.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingSettings {
    /// The preset, which gives all settings that are not set otherwise.
    pub preset: Preset,
    /// Network architecture.
    pub network: Architecture,
    /// Training method.
    pub method: Method,
    /// Standard deviation of the noise; not used by `erm`.
    pub sigma: f64,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in a batch.
    pub batch: usize,
    /// The rule that turns gradients into steps.
    pub optimiser: OptimiserKind,
    /// Learning rate.
    pub rate: f64,
    /// Momentum of the optimiser `sgd`.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// How the learning rate changes over the epochs.
    pub schedule: Schedule,
    /// Epochs between two steps of the schedule `step`.
    pub schedule_every: usize,
    /// Factor on the learning rate at each step of the schedule `step`.
    pub schedule_factor: f64,
    /// Zeros added on every side before a random crop to the old size; 0 for no crop.
    pub crop: usize,
    /// Whether images are mirrored with probability ½.
    pub flip: bool,
    /// Whether batch norm uses mean 0 and variance 1 throughout, as the authors' program does.
    pub frozen_bn: bool,
    /// Whether every image has the same noise in all epochs, as the SmoothAdv victims of the authors' program do.
    pub fixed_noise: bool,
    /// Settings of the method `smoothadv`.
    pub smoothadv: SmoothAdvSettings,
    /// Settings of the method `macer`.
    pub macer: MacerSettings,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            preset: Preset::Default,
            network: Architecture::LeNet,
            method: Method::Gaussian,
            sigma: 0.25,
            epochs: 12,
            batch: 100,
            optimiser: OptimiserKind::Adam,
            rate: 1e-3,
            momentum: 0.9,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            schedule_every: 30,
            schedule_factor: 0.1,
            crop: 0,
            flip: false,
            frozen_bn: false,
            fixed_noise: false,
            smoothadv: SmoothAdvSettings::default(),
            macer: MacerSettings::default(),
        }
    }
}

impl TrainingSettings {
    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        positive("sigma", self.sigma)?;
        positive("rate", self.rate)?;
        not_negative("weight_decay", self.weight_decay)?;
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::setting("momentum", "at least 0 and less than 1", &self.momentum));
        }
        positive("schedule_factor", self.schedule_factor)?;
        for (name, value) in
            [("epochs", self.epochs), ("batch", self.batch), ("schedule_every", self.schedule_every)]
        {
            at_least_one(name, value)?;
        }
        self.smoothadv.check()?;
        self.macer.check()
    }

    /// The training method with its settings.
    pub(crate) fn defence(&self) -> Defence {
        Defence { method: self.method, sigma: self.sigma, smoothadv: self.smoothadv, macer: self.macer }
    }

    /// The optimiser with its settings.
    pub fn optimiser(&self) -> OptimiserSettings {
        let Self { optimiser: kind, rate, momentum, weight_decay, .. } = *self;
        OptimiserSettings { kind, rate, momentum, weight_decay }
    }

    /// How images are cropped and mirrored.
    pub(crate) fn augmentation(&self) -> Augmentation {
        Augmentation { crop: self.crop, flip: self.flip }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let bad = |change: fn(&mut TrainingSettings)| {
            let mut settings = TrainingSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(TrainingSettings::default().check().is_ok());
        assert_eq!(bad(|s| s.sigma = -1.0), "sigma must be a positive finite number and is -1");
        assert_eq!(bad(|s| s.batch = 0), "batch must be at least 1 and is 0");
        assert_eq!(bad(|s| s.epochs = 0), "epochs must be at least 1 and is 0");
        assert_eq!(bad(|s| s.momentum = 1.0), "momentum must be at least 0 and less than 1 and is 1");
        assert_eq!(bad(|s| s.smoothadv.steps = 0), "smoothadv.steps must be at least 1 and is 0");
        assert_eq!(
            bad(|s| s.macer.clamp = 0.5),
            "macer.clamp must be at least 0 and less than 0.5 and is 0.5"
        );
        assert!(bad(|s| s.weight_decay = f64::NAN).starts_with("weight_decay must be a finite number"));
    }
}
