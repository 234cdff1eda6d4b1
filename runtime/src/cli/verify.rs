use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    data::SplitArgument, device::DeviceArguments, observer::control, probe::ProbeArguments, verify_report,
};
use crate::{
    jobs::{ModelSettings, Share, Verify},
    terminal,
    units::parse_count,
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert verify run.jsonl --model lenet.onnx --data data/mnist --replay 5

Exit status: 0 everything holds, 1 an error, 2 wrong usage, 3 something does not hold")]
pub(super) struct Arguments {
    /// The evidence file
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The model: check that it is the certified one
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The data set: check that it has the certified images and the inputs that the header names
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Part of the data set, if it is a folder
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// For a recertification, the run of the earlier model: check that it is the right one, and its bounds
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// The earlier model: check that it is the one of the run --from. With --replay, also replay that run
    #[arg(long, value_name = "FILE", requires = "from")]
    from_model: Option<PathBuf>,
    /// Replay K inputs, chosen at random, or all: run their noise through the model again and compare the votes
    #[arg(long, value_name = "K|all", requires_all = ["model", "data"])]
    replay: Option<Share>,
    /// Allow up to N votes of a replayed input to differ, because another provider or version of the engine may round
    /// differently
    #[arg(long, value_name = "N", default_value_t = 0, requires = "replay")]
    differing: u64,
    /// Refuse a replay of more than N samples before it begins
    #[arg(long, value_name = "N", default_value_t = 10_000_000_000, requires = "replay", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    samples_limit: u64,
    /// Certify K inputs, chosen at random, or all, again with a fresh seed and compare the votes
    #[arg(long, value_name = "K|all", requires_all = ["model", "data"])]
    fresh_seed: Option<Share>,
    /// A public key: check that its holder signed this run
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The file of signatures [default: the run's name with .dsse.json]
    #[arg(long, value_name = "FILE", requires = "key")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArguments,
    /// Number of threads on the processor [default: all]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    threads: Option<usize>,
    #[command(flatten)]
    probe: ProbeArguments,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let job = Verify {
        model: arguments.model.as_ref().map(|path| ModelSettings {
            device: arguments.device.device(),
            smoothing_graph: arguments.device.smoothing_graph,
            threads: arguments.threads,
            ..ModelSettings::new(path)
        }),
        data: arguments.data.clone(),
        split: arguments.split.into(),
        from: arguments.from.clone(),
        from_model: arguments.from_model.clone(),
        replay: arguments.replay,
        differing: arguments.differing,
        samples_limit: arguments.samples_limit,
        fresh_seed: arguments.fresh_seed,
        key: arguments.key.clone(),
        signature: arguments.signature.clone(),
        ..Verify::new(&arguments.run)
    };
    let found = job.run(&control(arguments.probe))?;
    terminal::print(&if arguments.json {
        verify_report::as_json(&job, &found)
    } else {
        verify_report::in_words(&job, &found)
    })?;
    Ok(if found.verification.holds() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
