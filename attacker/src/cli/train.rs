use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use mithridate_runtime::terminal;

use super::arguments::{DataArguments, DeviceArguments};
use crate::{
    jobs::{VictimJob, names, train_victim},
    networks::Architecture,
    poison::PoisonSet,
    training::{Method, VictimSettings},
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd train --data data/mnist --poison poison-8 --sigma 0.25 --seed 1 --out victim-1")]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    device: DeviceArguments,
    /// Folder for weights, ONNX model and report
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Poison set to train on; the data are then split as it says
    #[arg(long, value_name = "FOLDER")]
    poison: Option<PathBuf>,
    /// Network: lenet, mlp, linear, wide-cnn, resnet20, resnet32, resnet110
    #[arg(long, default_value = "lenet", value_name = "NETWORK")]
    network: Architecture,
    /// Training method: erm, gaussian
    #[arg(long, default_value = "gaussian", value_name = "METHOD")]
    method: Method,
    /// Standard deviation of the noise in training
    #[arg(long, default_value_t = 0.25, value_name = "SIGMA", allow_negative_numbers = true)]
    sigma: f64,
    /// Passes over the training images
    #[arg(long, default_value_t = 12, value_name = "N")]
    epochs: usize,
    /// Images in a batch
    #[arg(long, default_value_t = 100, value_name = "N")]
    batch: usize,
    /// Learning rate of Adam
    #[arg(long, default_value_t = 1e-3, value_name = "RATE", allow_negative_numbers = true)]
    rate: f64,
    /// Seed of weights, order and noise
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    seed: u64,
    /// Print one JSON document instead of a sentence
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { network, method, sigma, epochs, batch, rate, .. } = *arguments;
    let settings = VictimSettings { network, method, sigma, epochs, batch, rate };
    settings.check()?;
    let report = arguments.out.join(names::REPORT);
    ensure!(
        !report.exists(),
        "{} holds a trained network already; choose another folder",
        arguments.out.display()
    );
    let split = match &arguments.poison {
        Some(folder) => Some(PoisonSet::read_manifest(folder)?.split),
        None => None,
    };
    let training = arguments.data.open(split)?;
    let poison = match &arguments.poison {
        Some(folder) => Some(PoisonSet::read(folder, &training)?),
        None => None,
    };
    ensure!(
        poison.as_ref().is_none_or(|poison| poison.manifest.seed != arguments.seed),
        "the victim would share its noise with the attack, whose seed was {} too; choose another --seed",
        arguments.seed
    );
    let device = arguments.device.prepare()?;
    let job = VictimJob { settings, seed: arguments.seed, device: arguments.device.device };
    let report = train_victim(&job, &training, poison.as_ref(), device, &arguments.out, "training")?;
    if arguments.json {
        return Ok(terminal::print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?);
    }
    Ok(terminal::print(&format!(
        "{network} trained by {method} for {:.0} s, {:.2} % of test images right; weights and {} in {}\n",
        report.seconds,
        100.0 * report.accuracy(|_| true),
        names::MODEL,
        arguments.out.display()
    ))?)
}
