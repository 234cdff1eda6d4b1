use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{inspect_report, model::InputArguments, observer::control, probe::ProbeArguments};
use crate::{jobs::Inspect, terminal};

#[derive(Args)]
#[command(after_help = "Example:\n  rscert inspect lenet.onnx")]
pub(super) struct Arguments {
    /// The ONNX file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    input: InputArguments,
    #[command(flatten)]
    probe: ProbeArguments,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let job = Inspect { model: arguments.model.clone(), input: arguments.input.options() };
    let inspected = job.run(&control(arguments.probe))?;
    Ok(terminal::print(&if arguments.json {
        format!("{:#}\n", job.to_json(&inspected))
    } else {
        inspect_report::in_words(&inspected)
    })?)
}
