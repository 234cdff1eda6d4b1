use tch::Tensor;

use super::{
    AttackData, AttackSettings,
    convex::ConvexLevel,
    lower_level::LowerLevel,
    pool::{NetworkPool, PoolLevel},
    state::{AttackPosition, AttackState, LevelState},
};
use crate::{
    Error,
    events::Work,
    random::{Domain, Purpose, Random},
};

mod measure;
mod poison;
mod report;

pub(crate) use measure::{MeasuredAttack, MeasuredHypergradient, solved_network};
use poison::PoisonOptimiser;
pub use report::StepReport;

/// An attack in progress (Mehra et al., 2021, with `ApproxGrad`).
///
/// A step makes `inner_steps` (T1) training steps on a network, solves a linear system for p in at most `solver_steps` (T2)
/// iterations, and moves poison images against their hypergradients, which are all computed from the same p. The poison stays within ε of the clean images
/// and within \[0, 1\]. For hypergradients batch norm takes the running statistics, so that the images of a batch do not
/// depend on each other.
///
/// An attack can be saved after any step and resumed later; it then makes the same poison, bit by bit.
#[derive(Debug)]
pub struct Attack<'a> {
    poison: PoisonOptimiser<'a>,
    lower: Box<dyn LowerLevel + 'a>,
}

/// The source of the random numbers of a restart.
fn random(seed: u64, restart: usize) -> Random {
    let base = Random::new(Domain::Attack, seed);
    if restart == 0 { base } else { base.child(Purpose::Split, restart as u64) }
}

impl<'a> Attack<'a> {
    /// Prepares restart `restart`, counted from 0: makes the networks of the lower level and warms them up.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Network`].
    pub fn new(
        data: AttackData<'a>,
        settings: &'a AttackSettings,
        seed: u64,
        restart: usize,
    ) -> Result<Self, Error> {
        let poison = PoisonOptimiser::new(data, settings, restart)?;
        let random = random(seed, restart);
        let lower: Box<dyn LowerLevel + 'a> = if settings.is_convex() {
            Box::new(ConvexLevel::new(settings, data, random)?)
        } else {
            Box::new(PoolLevel::new(NetworkPool::new(settings, data, &poison.images, random)?))
        };
        Ok(Self { poison, lower })
    }

    /// Resumes a saved attack. The data, settings and seed must be those it was started with; `tensors` are copies of
    /// those of [`Attack::state`], in the same order.
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
        let mut poison = PoisonOptimiser::new(data, settings, position.restart)?;
        let random = random(seed, position.restart);
        let mut lower: Box<dyn LowerLevel + 'a> = if settings.is_convex() {
            Box::new(ConvexLevel::new(settings, data, random)?)
        } else {
            Box::new(PoolLevel::new(NetworkPool::untrained(settings, data, random)?))
        };
        (poison.step, poison.moved) = (position.step, position.moved);
        let mut tensors = tensors.into_iter();
        poison.restore(&mut tensors);
        lower.restore(position.pool.as_ref(), tensors.collect());
        Ok(Self { poison, lower })
    }

    /// The poison now, N×C×H×W.
    pub fn poison(&self) -> &Tensor {
        &self.poison.images
    }

    /// Steps made.
    pub fn steps_made(&self) -> usize {
        self.poison.step
    }

    /// Steps in total.
    pub fn steps(&self) -> usize {
        self.poison.steps
    }

    /// Number of networks that are replaced by fresh ones over all steps.
    pub(crate) fn renewals(&self) -> usize {
        let every = self.poison.settings.renewal(self.poison.data.target.len());
        every.map_or(0, |every| (self.poison.steps - 1) / every)
    }

    /// Makes the steps that are left, and tells `work` the progress. `after_step` gets the report of each step, to log it and
    /// to save the state.
    ///
    /// A step whose validation batch has no right answer, or whose numbers are not finite, does not move the poison; its
    /// report says why.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Ineffective`] if no step moved the poison, or any error of `after_step`.
    pub fn run(
        &mut self,
        work: Work<'_>,
        mut after_step: impl FnMut(&Self, &StepReport) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let steps = self.poison.steps;
        let tell = |done: usize| work.progress(done as u64, steps as u64);
        tell(self.poison.step);
        while self.poison.step < steps {
            let report = self.step()?;
            tell(self.poison.step);
            after_step(self, &report)?;
        }
        let kept = steps - self.poison.moved;
        if kept > 0 {
            work.note(&format!("the poison was not moved in {kept} of {steps} steps; the run log says why"));
        }
        if self.poison.moved == 0 { Err(Error::Ineffective) } else { Ok(()) }
    }

    /// Makes one step.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn step(&mut self) -> Result<StepReport, Error> {
        self.poison.step(&mut *self.lower)
    }

    /// The state to save. An attack that resumes it continues with the same numbers, bit by bit.
    pub fn state(&self) -> AttackState<'_> {
        let PoisonOptimiser { step, restart, moved, .. } = self.poison;
        let LevelState { pool, tensors } = self.lower.state();
        let tensors = self.poison.state().into_iter().chain(tensors).collect();
        AttackState { position: AttackPosition { step, restart, moved, pool }, tensors }
    }
}

#[cfg(test)]
pub(super) mod tests;
