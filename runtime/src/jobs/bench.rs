use std::time::Duration;

use super::{Control, JobError, ModelSettings, ReadyModel, run_header::engine};
use crate::{
    backend::{BackendError, PRODUCT, VoteSampler, matrix_product},
    certify::{Instances, Plan, Timings, time_certification, time_forward},
};

/// Measures samples a second: the whole of certification against the bare engine and against the machine's arithmetic.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The model.
    pub model: ModelSettings,
    /// Time of each of the two measurements; half as much for the machine's limit.
    pub time: Duration,
}

/// What [`Bench`] measured.
#[derive(Clone, Debug)]
pub struct BenchResult {
    /// Name and version of the engine.
    pub engine: String,
    /// How the model was run.
    pub plan: Plan,
    /// Samples a second of the engine alone, the mean of before and after.
    pub engine_alone: f64,
    /// Samples a second of certification.
    pub certification: f64,
    /// Where the time of certification went.
    pub timings: Timings,
    /// Where the time of its very first batches went, which are not in `timings`.
    pub first: Timings,
    /// Multiplications with addition that a sample takes, if they can be counted.
    pub multiply_adds: Option<u64>,
    /// Most multiplications with addition a second that a product of float32 matrices reached on the same threads.
    pub limit: f64,
}

impl Bench {
    /// Does it.
    ///
    /// # Errors
    /// [`JobError`] if the model can't be run.
    pub fn run(&self, control: &Control) -> Result<BenchResult, JobError> {
        let (runtime, model) = self.model.open(control, None, None)?;
        let mut ready = self.model.ready(control, runtime, model, None, u64::MAX)?;
        let plan = ready.plan;
        let half = self.time / 2;
        let multiply_adds = ready.model.multiply_adds(&ready.runtime);
        let mut limit = Limit::new(&self.model, &ready)?;

        // The bare engine before and after, so that a machine that slows down or speeds up favours neither.
        limit.measure(half / 4)?;
        let before = time_forward(&mut ready.instances, plan.batch, half)?;
        limit.measure(half / 4)?;
        let timed = time_certification(ready.instances, plan.batch, plan.noise_threads, 2 * half)?;
        let mut instances = timed.models;
        limit.measure(half / 4)?;
        let after = time_forward(&mut instances, plan.batch, half)?;
        limit.measure(half / 4)?;
        Ok(BenchResult {
            engine: engine(&ready.runtime),
            plan,
            engine_alone: f64::midpoint(before, after),
            certification: timed.samples_per_second,
            timings: timed.timings,
            first: timed.first,
            multiply_adds,
            limit: limit.per_second(),
        })
    }
}

impl BenchResult {
    /// Samples that all instances together do in a second of a part of the work, which took `time` of them.
    pub fn rate_of(&self, time: Duration) -> f64 {
        self.timings.samples as f64 * self.plan.sessions as f64 / time.as_secs_f64()
    }
}

/// The machine's arithmetic limit: a product of matrices in single precision by the same engine on the same threads.
struct Limit {
    instances: Instances,
    rates: Vec<f64>,
}

impl Limit {
    fn new(settings: &ModelSettings, ready: &ReadyModel) -> Result<Self, BackendError> {
        let model = matrix_product(&ready.runtime)?;
        let instance = |_| -> Result<Box<dyn VoteSampler>, BackendError> {
            Ok(Box::new(model.classifier(&ready.runtime, settings.device, ready.plan.threads)?))
        };
        let instances = (0..ready.plan.sessions).map(instance).collect::<Result<_, _>>()?;
        Ok(Self { instances, rates: Vec::new() })
    }

    fn measure(&mut self, time: Duration) -> Result<(), BackendError> {
        self.rates.push(time_forward(&mut self.instances, PRODUCT[0], time)?);
        Ok(())
    }

    /// Multiplications with addition a second: the most that was seen.
    fn per_second(&self) -> f64 {
        let rows = self.rates.iter().fold(0.0_f64, |most, &rate| most.max(rate));
        rows * (PRODUCT[1] * PRODUCT[2]) as f64
    }
}
