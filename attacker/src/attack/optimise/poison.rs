use std::time::Instant;

use tch::{Kind, Tensor, no_grad};

use super::StepReport;
use crate::{
    Error,
    attack::{
        AttackData, AttackSettings, PoisonStep,
        lower_level::{Hypergradients, LowerLevel},
    },
    optimiser::ImageAdam,
};

/// The poison images, which are the variable of the upper level, with the state of the rule that moves them and the
/// count of steps.
#[derive(Debug)]
pub(super) struct PoisonOptimiser<'a> {
    pub data: AttackData<'a>,
    pub settings: &'a AttackSettings,
    /// The poison now, N×C×H×W.
    pub images: Tensor,
    adam: ImageAdam,
    pub restart: usize,
    /// Steps made.
    pub step: usize,
    /// Total number of steps.
    pub steps: usize,
    /// Steps that moved the poison.
    pub moved: usize,
}

impl<'a> PoisonOptimiser<'a> {
    /// Starts with the clean images.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, or if there are no images to poison, no clean images or no validation
    /// images.
    pub fn new(data: AttackData<'a>, settings: &'a AttackSettings, restart: usize) -> Result<Self, Error> {
        settings.check(data.classes)?;
        settings.augmentation().check(data.target.shape())?;
        for (name, count) in [
            ("the number of target-class training images", data.target.len()),
            ("the number of clean training images", data.clean.len()),
            ("the number of target-class validation images", data.validation.len()),
        ] {
            if count == 0 {
                return Err(Error::setting(name, "at least 1 (use more images or another split)", &count));
            }
        }
        let images = data.target.pixels.copy();
        let (adam, steps) = (ImageAdam::new(&images), settings.total_steps(data.target.len()));
        Ok(Self { data, settings, images, adam, restart, step: 0, steps, moved: 0 })
    }

    /// Makes one step along the hypergradients of a lower level. Nothing is copied from the device before all work of
    /// the step is queued on it.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn step(&mut self, lower: &mut dyn LowerLevel) -> Result<StepReport, Error> {
        let started = Instant::now();
        let found = lower.hypergradients(self.step, &self.images)?;
        let usable = found.usable();
        self.move_images(&found, &usable);
        let change = (&self.images - &self.data.target.pixels).abs().mean(Kind::Double);
        let at = [self.restart, self.step];
        let mut report = StepReport::new(at, &found, &usable, &change, self.settings.objective);
        self.moved += usize::from(report.skipped.is_none());
        self.step += 1;
        report.seconds = (started.elapsed().as_secs_f64() * 1e4).round() / 1e4;
        Ok(report)
    }

    /// Moves poison images against their hypergradients, then projects them onto the ε-ball and \[0, 1\]; leaves them
    /// unchanged unless `usable`, a boolean scalar.
    fn move_images(&mut self, found: &Hypergradients, usable: &Tensor) {
        let Hypergradients { gradient, numbers, .. } = found;
        let AttackSettings { epsilon, poison_rate, decay, step, .. } = *self.settings;
        let falling = if decay { 1.0 - self.step as f64 / self.steps as f64 } else { 1.0 };
        no_grad(|| {
            let finite = gradient.nan_to_num(0.0, 0.0, 0.0);
            let direction = match step {
                PoisonStep::Adam => self.adam.direction(numbers, &finite, usable),
                PoisonStep::SlotAdam => {
                    let slots = Tensor::arange(numbers.size()[0], (Kind::Int64, numbers.device()));
                    self.adam.direction(&slots, &finite, usable)
                }
                PoisonStep::Sign => finite.sign(),
            };
            let original = self.data.target.pixels.index_select(0, numbers);
            let before = self.images.index_select(0, numbers);
            let change = (&before - direction * (poison_rate * falling) - &original).clamp(-epsilon, epsilon);
            let after = (original + change).clamp(0.0, 1.0);
            let _ = self.images.index_copy_(0, numbers, &after.where_self(usable, &before));
        });
    }

    /// The tensors to save: the poison and the state of its optimiser.
    pub fn state(&self) -> Vec<&Tensor> {
        [&self.images].into_iter().chain(self.adam.state()).collect()
    }

    /// Restores a saved poison and the state of its optimiser: takes the first tensors of the iterator, in the order of
    /// [`PoisonOptimiser::state`].
    pub fn restore(&mut self, tensors: &mut impl Iterator<Item = Tensor>) {
        if let Some(images) = tensors.next() {
            no_grad(|| self.images.copy_(&images));
        }
        self.adam.restore(&tensors.take(3).collect::<Vec<_>>());
    }
}
