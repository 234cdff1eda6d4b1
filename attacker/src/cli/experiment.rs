use std::path::PathBuf;

use clap::Args;
use mithridate_runtime::terminal;

use super::arguments::DeviceArguments;
use crate::experiment::{Certifier, read_config, run as run_experiment, table};

#[derive(Args)]
#[command(after_help = "Example:
  pacd experiment examples/mnist-quick.toml")]
pub(super) struct Arguments {
    /// The experiment, a TOML file
    #[arg(value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    device: DeviceArguments,
    /// Folder for the experiment [default: runs/ and its name]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The program that certifies [default: rscert beside this program]
    #[arg(long, value_name = "PROGRAM")]
    rscert: Option<PathBuf>,
    /// Print one JSON document, the results, instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = read_config(&arguments.config)?;
    let certifier = Certifier::find(arguments.rscert.as_deref(), arguments.device.threads)?;
    let folder = arguments.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&config.name));
    arguments.device.prepare()?;
    let outcome = run_experiment(&config, &folder, arguments.device.device, &certifier)?;
    if arguments.json {
        return Ok(terminal::print(&format!("{}\n", serde_json::to_string_pretty(&outcome.results)?))?);
    }
    Ok(terminal::print(&format!("{}report: {}\n", table(&outcome.results), outcome.report.display()))?)
}
