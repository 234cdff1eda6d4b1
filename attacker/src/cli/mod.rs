//! The command line of `pacd`: flags in, calls to the library, results out.

mod arguments;
mod bench;
mod boundary;
mod check;
mod experiment;
mod export;
mod inspect;
mod poison;
mod screen;
mod settings;
mod train;

use std::{panic, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use mithridate_runtime::{
    setting_names::with_flags,
    terminal::{self, say},
};

use crate::{Error, memory::keep_freed_memory};

/// Poison certified defences, train networks robustly, export them to ONNX.
#[derive(Parser)]
#[command(name = "pacd", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make poison for the training images of one class
    Poison(Box<poison::Arguments>),
    /// Train one network from scratch on clean or poisoned data; writes weights and ONNX model
    Train(Box<train::Arguments>),
    /// Check the hypergradients of a configuration against central differences and exact solutions
    Check(Box<check::Arguments>),
    /// Write a trained network as an ONNX model
    Export(export::Arguments),
    /// Run a whole experiment from a TOML file: poison, train, certify, report
    Experiment(experiment::Arguments),
    /// Describe a poison set or a trained network in words, numbers and pictures
    Inspect(inspect::Arguments),
    /// Draw the attack in two dimensions: decision boundary and certified radii, clean and poisoned
    Boundary(boundary::Arguments),
    /// Measure the speed of training steps and hypergradients, part by part
    Bench(bench::Arguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program. Exit status: 0 done, 1 an error, 2 wrong usage, 3 a failed check.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    keep_freed_memory();
    // The bindings of libtorch report its errors, such as running out of memory, by a panic. The user shall see the
    // sentence without the trace.
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(|| run(cli.command))
        .unwrap_or_else(|payload| Err(Error::computation(&*payload).into()));
    match result {
        Ok(status) => status,
        Err(error) => {
            let flag = error.downcast_ref::<Error>().and_then(flag).map(|flag| format!(" ({flag})"));
            // Errors of `runtime` name settings in backticks. `with_flags` turns them into flags of `rscert`, which `pacd` has too.
            let text = with_flags(&format!("{error:#}"));
            say(&format!("pacd: {text}{}", flag.unwrap_or_default()));
            ExitCode::FAILURE
        }
    }
}

/// The flag that helps with an error of the library, which does not know flags.
fn flag(error: &Error) -> Option<&'static str> {
    match error {
        Error::Device { .. } => Some("--device cpu"),
        Error::NoCertifier { .. } => Some("--rscert PROGRAM"),
        _ => None,
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Check(arguments) => return check::run(&arguments),
        Command::Poison(arguments) => poison::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Experiment(arguments) => experiment::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Boundary(arguments) => boundary::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pacd", &mut script);
            Ok(terminal::print(&String::from_utf8_lossy(&script))?)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::Architecture;

    #[test]
    fn help_lists_every_network() {
        for name in ["train", "poison", "bench"] {
            let command = Cli::command();
            let command = command.find_subcommand(name).unwrap();
            let network = command.get_arguments().find(|argument| argument.get_id() == "network").unwrap();
            let help = network.get_help().unwrap().to_string();
            let names: Vec<&str> = Architecture::ALL.iter().map(|network| network.name()).collect();
            assert!(help.contains(&names.join(", ")), "{name}: {help}");
        }
    }
}
