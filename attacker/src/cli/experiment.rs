use std::{fmt::Write, path::PathBuf};

use clap::Args;
use mithridate_runtime::{terminal, units::parse_count};
use serde_json::json;

use super::{
    arguments::{CheckpointArguments, DeviceArguments},
    screen::Screen,
};
use crate::{
    events::{Event, Events},
    experiment::{CertifierProgram, Experiment, Messages, PlannedStep, read_config, table},
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd experiment examples/mnist-quick.toml

Each result has a hash of everything it depends on in its name. A second run, also with more victims or
seeds in the file, therefore runs only the steps that are missing.")]
pub(super) struct Arguments {
    /// The experiment, a TOML file
    #[arg(value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    /// Folder for the experiment [default: runs/ and its name]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The program that certifies [default: rscert in the folder of this program]
    #[arg(long, value_name = "PROGRAM")]
    rscert: Option<PathBuf>,
    /// Print the steps and an estimate of their time, without running them
    #[arg(long)]
    dry_run: bool,
    /// Number of steps to run at the same time; they share the threads equally
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = parse_count::<usize>)]
    jobs: usize,
    /// Print one JSON document, the results or the plan, instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = read_config(&arguments.config)?;
    let folder = arguments.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&config.name));
    let experiment = Experiment::new(&config, &folder)?;
    let screen = Screen::default();
    let show = |event: Event<'_>| screen.show(event);
    let runner = arguments.checkpoint.runner(&arguments.device, Events::to(&show))?;
    if arguments.dry_run {
        let steps = experiment.planned(&runner)?;
        let total: f64 = steps.iter().map(|step| step.seconds).sum();
        let text = if arguments.json {
            format!("{:#}\n", json!({ "folder": folder, "steps": steps, "seconds": total }))
        } else {
            plan_table(&steps, total)
        };
        return Ok(terminal::print(&text)?);
    }
    let threads = arguments.device.threads.or_else(|| usize::try_from(tch::get_num_threads()).ok());
    let share = threads.map(|threads| (threads / arguments.jobs).max(1));
    if arguments.jobs > 1 {
        if let Some(share) = share {
            tch::set_num_threads(i32::try_from(share).unwrap_or(i32::MAX));
        }
        terminal::use_plain_lines();
    }
    let threads = if arguments.jobs > 1 { share } else { arguments.device.threads };
    // Lines of the certifier must not mix with those of this program.
    let messages = if terminal::lines_are_plain() { Messages::Noted } else { Messages::Inherited };
    let certifier = CertifierProgram::find(arguments.rscert.as_deref(), threads, messages)?;
    let outcome = experiment.run(&runner, &certifier, arguments.jobs)?;
    if arguments.json {
        return Ok(terminal::print(&format!("{}\n", serde_json::to_string_pretty(&outcome.results)?))?);
    }
    Ok(terminal::print(&format!("{}report: {}\n", table(&outcome.results), outcome.report.display()))?)
}

fn plan_table(steps: &[PlannedStep], total: f64) -> String {
    let mut text = format!("{:<7} {:>9}  {:<44} {}\n", "state", "time", "step", "place");
    for PlannedStep { name, place, state, seconds } in steps {
        let time = if *state == "done" { String::new() } else { duration(*seconds) };
        let _ = writeln!(text, "{state:<7} {time:>9}  {name:<44} {}", place.display());
    }
    let open = steps.iter().filter(|step| step.state != "done").count();
    let _ =
        writeln!(text, "{open} of {} steps to do, about {} on this machine", steps.len(), duration(total));
    text
}

/// Seconds as text, to about two digits.
fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 1.0 => "< 1 s".into(),
        short if short < 100.0 => format!("{short:.0} s"),
        middle if middle < 6000.0 => format!("{:.0} min", middle / 60.0),
        long if long < 172_800.0 => format!("{:.1} h", long / 3600.0),
        days => format!("{:.1} d", days / 86_400.0),
    }
}
