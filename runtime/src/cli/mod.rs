//! The command line of `rscert`: it turns flags into calls of the library, and results into text. Nothing here
//! certifies anything.

mod audit;
mod bench;
mod certify;
mod data;
mod device;
mod fresh;
mod inspect;
mod inspect_report;
mod interruption;
mod keygen;
mod merge;
mod model;
mod observer;
mod predict;
mod probe;
mod recertify;
mod sign;
mod smoothing;
mod verify;
mod verify_report;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    backend::{BackendError, forbid_telemetry},
    setting_names::with_flags,
    terminal,
};

/// Certify ONNX classifiers by randomized smoothing, and audit what was certified.
#[derive(Parser)]
#[command(name = "rscert", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Certify inputs of a data set under an ONNX model; writes the evidence file
    Certify(certify::Arguments),
    /// Predict the class of inputs under the smoothed model, or abstain
    Predict(predict::Arguments),
    /// Certify a changed model, based on the run of the earlier model, with far fewer samples
    Recertify(recertify::Arguments),
    /// Merge the parts of a run that was divided by --shard
    Merge(merge::Arguments),
    /// Verify an evidence file: recompute every number, compare hashes, replay noise through the model
    Verify(verify::Arguments),
    /// Generate a pair of keys to sign runs
    Keygen(keygen::Arguments),
    /// Sign a finished run with an Ed25519 key
    Sign(sign::Arguments),
    /// Summarise evidence files and compare them with a baseline run
    Audit(audit::Arguments),
    /// Describe an ONNX model and how to certify it
    Inspect(inspect::Arguments),
    /// Measure samples per second of noise, forward pass and counting, and of certification against the engine alone
    Bench(bench::Arguments),
    /// Test a model for the parent process
    #[command(hide = true)]
    ProbeModel(probe::ChildArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program: exit status 0 done, 1 an error, 2 wrong usage, 3 a verification that failed, 128 + signal if a signal
/// ended it.
pub fn main() -> ExitCode {
    forbid_telemetry();
    match run(Cli::parse()) {
        Ok(status) => status,
        Err(error) => interruption::interrupted(&error).unwrap_or_else(|| {
            terminal::say(&format!("rscert: {}", with_flags(&format!("{error:#}"))));
            ExitCode::FAILURE
        }),
    }
}

/// Prints a note for the user that is neither an error nor part of the results.
fn note(text: &str) {
    terminal::say(&format!("rscert: note: {}", with_flags(text)));
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // The process that tests a model needs no signal handling: it ends with the process that started it.
    if !matches!(cli.command, Command::ProbeModel(_)) {
        interruption::listen().map_err(|error| BackendError::thread(&error))?;
    }
    let done = match cli.command {
        Command::Verify(arguments) => return verify::run(&arguments),
        Command::Certify(arguments) => certify::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Recertify(arguments) => recertify::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Keygen(arguments) => keygen::run(&arguments),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Audit(arguments) => audit::run(arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::ProbeModel(arguments) => probe::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rscert", &mut script);
            Ok(terminal::print(&String::from_utf8_lossy(&script))?)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
