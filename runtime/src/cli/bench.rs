use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{
    certify::file_name,
    model::{ModelArguments, ReadyModel},
};
use crate::{
    backend::{BackendError, Classifier, PRODUCT, matrix_product},
    certify::{Instances, time_certification, time_forward},
    evidence::Machine,
    terminal,
    units::parse_count,
};

#[derive(Args)]
#[command(after_help = "Example:\n  rscert bench --model lenet.onnx")]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Seconds for each of the two measurements; half as many for the machine's limit
    #[arg(long, default_value_t = 4, value_name = "S", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    seconds: u64,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (runtime, model) = arguments.model.open()?;
    let mut ready = arguments.model.ready(runtime, model, None, u64::MAX)?;
    let plan = ready.plan;
    let half = Duration::from_secs(arguments.seconds) / 2;
    let multiply_adds = ready.model.multiply_adds(&ready.runtime);
    let mut limit = Limit::new(arguments, &ready)?;

    // The bare engine before and after, so that a machine that slows down or speeds up favours neither.
    limit.measure(half / 4)?;
    let before = time_forward(&mut ready.instances, plan.batch, half)?;
    limit.measure(half / 4)?;
    let timed = time_certification(ready.instances, plan.batch, plan.noise_threads, 2 * half)?;
    let (whole, timings, first, mut instances) =
        (timed.samples_per_second, timed.timings, timed.first, timed.models);
    limit.measure(half / 4)?;
    let after = time_forward(&mut instances, plan.batch, half)?;
    limit.measure(half / 4)?;

    let raw = f64::midpoint(before, after);
    let part = |time: Duration| timings.samples as f64 * plan.sessions as f64 / time.as_secs_f64();
    let machine = Machine::this();
    let limit = limit.per_second();
    let share = multiply_adds.map(|count| whole * count as f64 / limit);
    if arguments.json {
        let document = json!({
            "model": file_name(&arguments.model.model),
            "engine": format!("ONNX Runtime {}", ready.runtime.version()),
            "provider": arguments.model.device.provider.to_string(),
            "plan": plan,
            "machine": machine,
            "samples_per_second": {
                "engine_alone": raw,
                "whole": whole,
                "noise": part(timings.noise),
                "forward": part(timings.forward),
                "count": part(timings.count),
            },
            "comparison": {
                "samples": timings.compared,
                "share_of_time": timings.share_of_comparison(),
                "first_input": {
                    "samples": first.compared,
                    "seconds": first.comparison.as_secs_f64(),
                },
            },
            "ratio_to_engine": whole / raw,
            "outside_forward": timings.overhead(),
            "arithmetic": {
                "multiply_adds_per_sample": multiply_adds,
                "limit_multiply_adds_per_second": limit,
                "share_of_limit": share,
            },
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let text = format!(
        "{} on {}, {} ({} threads)\n\
         plan: {} x {} threads, batch {}, {} threads for noise\n\
         samples a second\n  \
         engine alone   {raw:>12.0}\n  \
         certification  {whole:>12.0}  ({:.1} % of the engine alone)\n  \
         - noise        {:>12.0}\n  \
         - forward pass {:>12.0}\n  \
         - counting     {:>12.0}\n\
         time outside the forward pass: {:.1} %, of which {:.2} % to answer {} samples again, alone or in another batch\n\
         once a run: {:.3} s to answer {} samples of the first input again\n\
         multiplications with addition, in 10^9 a second\n  \
         limit          {:>12.1}  (a product of float32 matrices on the same threads)\n  \
         certification  {}\n",
        file_name(&arguments.model.model),
        arguments.model.device.provider,
        machine.processor,
        machine.threads,
        plan.sessions,
        plan.threads,
        plan.batch,
        plan.noise_threads,
        100.0 * whole / raw,
        part(timings.noise),
        part(timings.forward),
        part(timings.count),
        100.0 * timings.overhead(),
        100.0 * timings.share_of_comparison(),
        timings.compared,
        first.comparison.as_secs_f64(),
        first.compared,
        limit / 1e9,
        used(multiply_adds, whole, limit),
    );
    Ok(terminal::print(&text)?)
}

/// What certification makes of the machine's arithmetic, as a line of text.
fn used(multiply_adds: Option<u64>, rate: f64, limit: f64) -> String {
    let Some(count) = multiply_adds else {
        return "     unknown  (the model's products can't be counted)".into();
    };
    let used = rate * count as f64;
    let share = 100.0 * used / limit;
    format!("{:>12.1}  ({share:.1} % of the limit; {count} a sample)", used / 1e9)
}

/// The machine's arithmetic limit: a product of matrices in single precision by the same engine on the same threads.
struct Limit {
    instances: Instances,
    rates: Vec<f64>,
}

impl Limit {
    fn new(arguments: &Arguments, ready: &ReadyModel) -> Result<Self, BackendError> {
        let model = matrix_product(&ready.runtime)?;
        let instance = |_| -> Result<Box<dyn Classifier>, BackendError> {
            Ok(Box::new(model.classifier(
                &ready.runtime,
                arguments.model.device.device(ready.plan.sessions),
                ready.plan.threads,
            )?))
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
