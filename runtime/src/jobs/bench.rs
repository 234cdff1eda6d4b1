use std::{num::NonZeroU32, time::Duration};

use serde_json::{Value, json};

use super::{
    Control, JobError, ModelSettings, ReadyModel,
    keywords::{Keywords, NamedJob},
    run_header::{engine, file_name},
};
use crate::{
    backend::{BackendError, PRODUCT, VoteSampler, matrix_product},
    certify::{Instances, Plan, Timings, time_certification, time_forward},
    evidence::Machine,
};

/// Measures samples per second: certification as a whole, the engine alone, and the arithmetic limit of the machine.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The model.
    pub model: ModelSettings,
    /// Time for each of the two measurements; the limit of the machine is measured for half of it.
    pub time: Duration,
}

/// Result of [`Bench`].
#[derive(Clone, Debug)]
pub struct BenchResult {
    /// Name and version of the engine.
    pub engine: String,
    /// The plan by which the model was run.
    pub plan: Plan,
    /// Samples per second of the engine alone: mean of a measurement before certification and one after it.
    pub engine_alone: f64,
    /// Samples per second of certification.
    pub certification: f64,
    /// Time of certification for each part of the work.
    pub timings: Timings,
    /// Time of the first batches for each part of the work. `timings` does not contain these batches.
    pub first: Timings,
    /// Number of multiply–add operations for a sample, if it can be determined.
    pub multiply_adds: Option<u64>,
    /// Largest number of multiply–add operations per second that a product of float32 matrices reached on the same
    /// threads.
    pub limit: f64,
}

impl Bench {
    /// Runs the job.
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

        // The engine alone is measured before and after, so that a machine that slows down or speeds up favours
        // neither.
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

    /// The result as one JSON document.
    pub fn to_json(&self, measured: &BenchResult) -> Value {
        let BenchResult { engine, plan, engine_alone, certification, timings, first, multiply_adds, limit } =
            measured;
        json!({
            "model": file_name(&self.model.path),
            "engine": engine,
            "provider": self.model.device.provider.to_string(),
            "plan": plan,
            "machine": Machine::this(),
            "samples_per_second": {
                "engine_alone": engine_alone,
                "whole": certification,
                "noise": measured.rate_of(timings.noise),
                "forward": measured.rate_of(timings.forward),
                "count": measured.rate_of(timings.count),
            },
            "comparison": {
                "samples": timings.compared,
                "share_of_time": timings.share_of_comparison(),
                "first_input": {
                    "samples": first.compared,
                    "seconds": first.comparison.as_secs_f64(),
                },
            },
            "ratio_to_engine": certification / engine_alone,
            "outside_forward": timings.overhead(),
            "arithmetic": {
                "multiply_adds_per_sample": multiply_adds,
                "limit_multiply_adds_per_second": limit,
                "share_of_limit": multiply_adds.map(|count| certification * count as f64 / limit),
            },
        })
    }
}

impl NamedJob for Bench {
    const NAME: &'static str = "bench";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        let model = ModelSettings::from_keywords(keywords)?;
        let seconds = keywords.get::<NonZeroU32>("seconds")?.map_or(4, NonZeroU32::get);
        Ok(Self { model, time: Duration::from_secs(seconds.into()) })
    }

    fn run_to_json(&self, control: &Control) -> Result<Value, JobError> {
        Ok(self.to_json(&self.run(control)?))
    }
}

impl BenchResult {
    /// Samples per second of all instances together for a part of the work that took `time`, summed over the instances.
    pub fn rate_of(&self, time: Duration) -> f64 {
        self.timings.samples as f64 * self.plan.sessions as f64 / time.as_secs_f64()
    }
}

/// The arithmetic limit of the machine: a product of matrices in single precision, by the same engine on the same
/// threads.
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

    /// Largest number of multiply–add operations per second measured so far.
    fn per_second(&self) -> f64 {
        let rows = self.rates.iter().fold(0.0_f64, |most, &rate| most.max(rate));
        rows * (PRODUCT[1] * PRODUCT[2]) as f64
    }
}
