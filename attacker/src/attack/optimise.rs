use std::time::Instant;

use mithridate_runtime::terminal::Progress;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::{
    AttackData, AttackSettings, PoisonStep,
    clock::Clock,
    convex::Convex,
    pool::{Pool, PoolPosition},
    upper_level::Outer,
};
use crate::{
    Error,
    parameters::Parameters,
    random::{Domain, Purpose, Random},
    training::{ImageAdam, image_shape},
};

mod hypergradient;
mod measure;
mod report;

pub(crate) use measure::{Bench, Found, solved_network};
pub use report::StepReport;

/// Poison images in one double-backward pass; bounds memory.
const IMAGES_A_PASS: i64 = 250;

/// The lower level.
#[derive(Debug)]
enum Lower<'a> {
    Pool(Box<Pool<'a>>),
    Convex(Box<Convex<'a>>),
}

/// An attack in progress (Mehra et al., 2021, with ApproxGrad): T1 training steps on a network, a linear solve for p of
/// at most T2 iterations, a step on poison images along their hypergradients, which all follow from the same p.
///
/// It can be left after any step and taken up again, to the bit. Poison stays within ε of the clean images and \[0, 1\].
/// Hypergradients run the network with the running statistics of its batch norm, so that images do not depend on each
/// other.
#[derive(Debug)]
pub struct Attack<'a> {
    data: AttackData<'a>,
    settings: &'a AttackSettings,
    random: Random,
    lower: Lower<'a>,
    poison: Tensor,
    adam: ImageAdam,
    restart: usize,
    step: usize,
    steps: usize,
    /// Steps that moved the poison.
    moved: usize,
    /// Stands still unless speed is measured.
    clock: Clock,
}

/// Where an attack stands, but for its tensors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackPosition {
    /// Steps made.
    pub step: usize,
    /// The restart it belongs to.
    pub restart: usize,
    moved: usize,
    pool: Option<PoolPosition>,
}

/// What a step computed, still on the device.
struct Computed {
    inner_loss: Tensor,
    outer: Outer,
    /// The solution of the linear system; what is left of the upper level's gradient after an unrolled one.
    p: Parameters,
    relative_residual: Tensor,
    iterations: Tensor,
    negative_curvature: Tensor,
    /// Whether p is finite.
    finite: Tensor,
    /// Whether p is not 0, so that there is a hypergradient.
    found: Tensor,
}

impl<'a> Attack<'a> {
    /// Gets ready to make the first step.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Network`].
    pub fn new(
        data: AttackData<'a>,
        settings: &'a AttackSettings,
        seed: u64,
        restart: usize,
    ) -> Result<Self, Error> {
        Self::start(data, settings, seed, restart, None)
    }

    /// Takes up an attack where it was left. The data, settings and seed must be those it was started with.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Network`].
    pub fn resume(
        data: AttackData<'a>,
        settings: &'a AttackSettings,
        seed: u64,
        position: &AttackPosition,
        tensors: Vec<Tensor>,
    ) -> Result<Self, Error> {
        Self::start(data, settings, seed, position.restart, Some((position, tensors)))
    }

    fn start(
        data: AttackData<'a>,
        settings: &'a AttackSettings,
        seed: u64,
        restart: usize,
        saved: Option<(&AttackPosition, Vec<Tensor>)>,
    ) -> Result<Self, Error> {
        settings.check(data.classes)?;
        settings.augmentation().check(image_shape(&data.target.pixels))?;
        for (name, count) in [
            ("the number of target-class training images", data.target.len()),
            ("the number of other training images", data.clean.len()),
            ("the number of target-class validation images", data.validation.len()),
        ] {
            if count == 0 {
                return Err(Error::setting(name, "at least 1; use more images or another split", &count));
            }
        }
        let base = Random::new(Domain::Attack, seed);
        let random = if restart == 0 { base } else { base.child(Purpose::Split, restart as u64) };
        let poison = data.target.pixels.copy();
        let lower = if settings.is_convex() {
            Lower::Convex(Box::new(Convex::new(settings, data, random)?))
        } else if saved.is_some() {
            Lower::Pool(Box::new(Pool::empty(settings, data, random)?))
        } else {
            Lower::Pool(Box::new(Pool::new(settings, data, &poison, random)?))
        };
        let steps = settings.total_steps(data.target.len());
        let adam = ImageAdam::new(&poison);
        let clock = Clock::off(poison.device());
        let mut attack =
            Self { data, settings, random, lower, poison, adam, restart, step: 0, steps, moved: 0, clock };
        if let Some((position, tensors)) = saved {
            attack.restore(position, tensors);
        }
        Ok(attack)
    }

    /// Poison as it is now, N×C×H×W.
    pub fn poison(&self) -> &Tensor {
        &self.poison
    }

    /// Steps made.
    pub fn steps_made(&self) -> usize {
        self.step
    }

    /// Steps in all.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Networks that will be replaced by fresh ones over all steps.
    pub(crate) fn renewals(&self) -> usize {
        let every = self.settings.renewal(self.data.target.len());
        every.map_or(0, |every| (self.steps - 1) / every)
    }

    /// Makes the steps that are left. `after_step` gets a report of each, to log it and to save the state.
    ///
    /// A step whose validation batch has nothing right, or whose numbers are not finite, leaves the poison as it is and
    /// says so.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Ineffective`] if no step moved the poison, or whatever `after_step` fails with.
    pub fn run(
        &mut self,
        title: &str,
        mut after_step: impl FnMut(&Self, &StepReport) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut progress = Progress::new(title, self.steps as u64, "steps");
        progress.resume_at(self.step as u64);
        while self.step < self.steps {
            let report = self.step()?;
            progress.advance(1);
            after_step(self, &report)?;
        }
        let kept = self.steps - self.moved;
        if kept > 0 {
            progress.note(&format!(
                "the poison was not moved in {kept} of {} steps; the run log says why",
                self.steps
            ));
        }
        progress.finish();
        if self.moved == 0 { Err(Error::Ineffective) } else { Ok(()) }
    }

    /// Makes one step. Nothing is read back from the device before all of it is under way.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn step(&mut self) -> Result<StepReport, Error> {
        let started = Instant::now();
        let (gradient, numbers, computed) =
            if self.settings.is_convex() { self.convex_hypergradient() } else { self.pool_hypergradient()? };
        let holds = computed.outer.holds().logical_and(&computed.finite).logical_and(&computed.found);
        self.move_poison(&gradient, &numbers, &holds);
        let mut report = self.read(&computed, &holds);
        self.moved += usize::from(report.skipped.is_none());
        self.step += 1;
        report.seconds = (started.elapsed().as_secs_f64() * 1e4).round() / 1e4;
        Ok(report)
    }

    /// Moves poison images against their hypergradients and back into the ε-ball and \[0, 1\], if the condition holds.
    fn move_poison(&mut self, gradient: &Tensor, numbers: &Tensor, holds: &Tensor) {
        let AttackSettings { epsilon, poison_rate, decay, step, .. } = *self.settings;
        let falling = if decay { 1.0 - self.step as f64 / self.steps as f64 } else { 1.0 };
        no_grad(|| {
            let finite = gradient.nan_to_num(0.0, 0.0, 0.0);
            let direction = match step {
                PoisonStep::Adam => self.adam.direction(numbers, &finite, holds),
                PoisonStep::SlotAdam => {
                    let slots = Tensor::arange(numbers.size()[0], (Kind::Int64, numbers.device()));
                    self.adam.direction(&slots, &finite, holds)
                }
                PoisonStep::Sign => finite.sign(),
            };
            let original = self.data.target.pixels.index_select(0, numbers);
            let before = self.poison.index_select(0, numbers);
            let change = (&before - direction * (poison_rate * falling) - &original).clamp(-epsilon, epsilon);
            let after = (original + change).clamp(0.0, 1.0);
            let _ = self.poison.index_copy_(0, numbers, &after.where_self(holds, &before));
        });
    }

    /// Where it stands, and the tensors that belong to that: to be saved.
    pub fn state(&self) -> (AttackPosition, Vec<&Tensor>) {
        let mut tensors = vec![&self.poison];
        tensors.extend(self.adam.state());
        let pool = match &self.lower {
            Lower::Pool(pool) => {
                let (position, own) = pool.state();
                tensors.extend(own);
                Some(position)
            }
            Lower::Convex(convex) => {
                tensors.extend(convex.network().state());
                None
            }
        };
        (AttackPosition { step: self.step, restart: self.restart, moved: self.moved, pool }, tensors)
    }

    fn restore(&mut self, position: &AttackPosition, tensors: Vec<Tensor>) {
        (self.step, self.moved) = (position.step, position.moved);
        let mut tensors = tensors.into_iter();
        if let Some(poison) = tensors.next() {
            no_grad(|| self.poison.copy_(&poison));
        }
        self.adam.restore(&tensors.by_ref().take(3).collect::<Vec<_>>());
        match (&mut self.lower, &position.pool) {
            (Lower::Pool(pool), Some(position)) => pool.restore(position, &mut tensors),
            (Lower::Convex(convex), _) => convex.network_mut().restore(&tensors.collect::<Vec<_>>()),
            (Lower::Pool(_), None) => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
