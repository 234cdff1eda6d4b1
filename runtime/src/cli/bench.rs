use std::time::Duration;

use clap::Args;

use super::{model::ModelArguments, observer::control};
use crate::{
    evidence::Machine,
    jobs::{Bench, BenchResult, file_name},
    terminal,
    units::parse_count,
};

#[derive(Args)]
#[command(after_help = "Example:\n  rscert bench --model lenet.onnx")]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Seconds for each of the two measurements; the limit of the machine is measured for half as long
    #[arg(long, default_value_t = 4, value_name = "S", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    seconds: u64,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let model = arguments.model.settings();
    let (name, provider) = (file_name(&model.path), model.device.provider.to_string());
    let job = Bench { model, time: Duration::from_secs(arguments.seconds) };
    let measured = job.run(&control(arguments.model.probe))?;
    Ok(terminal::print(&if arguments.json {
        format!("{:#}\n", job.to_json(&measured))
    } else {
        in_words(&name, &provider, &measured)
    })?)
}

fn in_words(name: &str, provider: &str, measured: &BenchResult) -> String {
    let BenchResult { plan, engine_alone, certification, timings, first, multiply_adds, limit, .. } =
        measured;
    let machine = Machine::this();
    format!(
        "{name} on {provider}, {} ({} threads)\n\
         plan: {} x {} threads, batch {}, {} threads for noise\n\
         samples per second\n  \
         engine alone   {engine_alone:>12.0}\n  \
         certification  {certification:>12.0}  ({:.1} % of the engine alone)\n  \
         - noise        {:>12.0}\n  \
         - forward pass {:>12.0}\n  \
         - counting     {:>12.0}\n\
         time outside the forward pass: {:.1} %, of which {:.2} % to answer {} samples again, alone or in another batch\n\
         once per run: {:.3} s to answer {} samples of the first input again\n\
         multiply-add operations, in 10^9 per second\n  \
         limit          {:>12.1}  (a product of float32 matrices on the same threads)\n  \
         certification  {}\n",
        machine.processor,
        machine.threads,
        plan.sessions,
        plan.threads,
        plan.batch,
        plan.noise_threads,
        100.0 * certification / engine_alone,
        measured.rate_of(timings.noise),
        measured.rate_of(timings.forward),
        measured.rate_of(timings.count),
        100.0 * timings.overhead(),
        100.0 * timings.share_of_comparison(),
        timings.compared,
        first.comparison.as_secs_f64(),
        first.compared,
        limit / 1e9,
        used(*multiply_adds, *certification, *limit),
    )
}

/// The share of the machine's arithmetic limit that certification reaches, as a line of text.
fn used(multiply_adds: Option<u64>, rate: f64, limit: f64) -> String {
    let Some(count) = multiply_adds else {
        return "     unknown  (the multiply-add operations of this model can't be counted)".into();
    };
    let used = rate * count as f64;
    let share = 100.0 * used / limit;
    format!("{:>12.1}  ({share:.1} % of the limit; {count} per sample)", used / 1e9)
}
