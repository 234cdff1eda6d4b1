use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use mithridate_runtime::terminal;
use toml::Value;

use super::{
    arguments::{CheckpointArguments, DataArguments, DeviceArguments, decimal, one_of, whole},
    screen::Screen,
    settings::{SettingsArguments, number, value},
};
use crate::{
    events::{Event, Events},
    jobs::{VictimJob, names, train_victim},
    networks::Architecture,
    optimiser::OptimiserKind,
    poison::PoisonSet,
    resolve::{parse_toml, training_settings},
    training::{Method, Preset, Schedule, TrainingSettings},
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd train --data data/mnist --poison poison-8 --sigma 0.25 --seed 1 --out victim-1

Every setting has a name, as in the [victims.training] table of an experiment: --set gives one by
name (for example smoothadv.radius=0.5), --config a file of them. After an interruption the same
command resumes at the last checkpoint and makes the same network.")]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    settings: SettingsArguments,
    /// Folder for weights, ONNX model and report
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Poison set to train on; the data are then split as its manifest says
    #[arg(long, value_name = "FOLDER")]
    poison: Option<PathBuf>,
    #[arg(long, value_name = "PRESET", help = one_of("Settings to start from", Preset::ALL, None))]
    preset: Option<Preset>,
    #[arg(long, value_name = "NETWORK", help = one_of("Network", Architecture::ALL, Some(Architecture::LeNet)))]
    network: Option<Architecture>,
    #[arg(long, value_name = "METHOD", help = one_of("Training method", Method::ALL, Some(Method::Gaussian)))]
    method: Option<Method>,
    /// Standard deviation of the noise in training [default: 0.25]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true, value_parser = decimal)]
    sigma: Option<f64>,
    /// Passes over the training images [default: 12]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    epochs: Option<usize>,
    /// Images in a batch [default: 100]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    batch: Option<usize>,
    #[arg(long, value_name = "OPTIMISER", help = one_of("Optimiser", OptimiserKind::ALL, Some(OptimiserKind::Adam)))]
    optimiser: Option<OptimiserKind>,
    /// Learning rate [default: 0.001]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = decimal)]
    rate: Option<f64>,
    /// Weight decay [default: 0]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true, value_parser = decimal)]
    weight_decay: Option<f64>,
    #[arg(long, value_name = "SCHEDULE", help = one_of("How the learning rate falls", Schedule::ALL, Some(Schedule::Constant)))]
    schedule: Option<Schedule>,
    /// Zeros added on every side before images are cropped at random [default: 0]
    #[arg(long, value_name = "PIXELS", value_parser = whole::<usize>)]
    crop: Option<usize>,
    /// Mirror half of the images
    #[arg(long)]
    flip: bool,
    /// Seed of weights, order and noise
    #[arg(long, default_value_t = 0, value_name = "SEED", value_parser = whole::<u64>)]
    seed: u64,
    /// Print one JSON document instead of a sentence
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = settings(arguments)?;
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
    let screen = Screen::default();
    let show = |event: Event<'_>| screen.show(event);
    let runner = arguments.checkpoint.runner(&arguments.device, Events::to(&show))?;
    let job = VictimJob { settings, seed: arguments.seed };
    let report = train_victim(&job, &training, poison.as_ref(), &runner, &arguments.out, "training")?;
    if arguments.json {
        return Ok(terminal::print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?);
    }
    Ok(terminal::print(&format!(
        "{} trained by {} for {:.0} s, {:.2} % of test images right; weights and {} in {}\n",
        settings.network,
        settings.method,
        report.seconds,
        100.0 * report.accuracy(|_| true),
        names::MODEL,
        arguments.out.display()
    ))?)
}

fn settings(arguments: &Arguments) -> anyhow::Result<TrainingSettings> {
    let flags = [
        ("preset", value(arguments.preset)),
        ("network", value(arguments.network)),
        ("method", value(arguments.method)),
        ("sigma", arguments.sigma.map(Value::Float)),
        ("epochs", number(arguments.epochs)),
        ("batch", number(arguments.batch)),
        ("optimiser", value(arguments.optimiser)),
        ("rate", arguments.rate.map(Value::Float)),
        ("weight_decay", arguments.weight_decay.map(Value::Float)),
        ("schedule", value(arguments.schedule)),
        ("crop", number(arguments.crop)),
        ("flip", arguments.flip.then_some(Value::Boolean(true))),
    ];
    let table = arguments.settings.table(&flags, |text| parse_toml::<TrainingSettings>(text).map(|_| ()))?;
    training_settings(&table, None).map_err(anyhow::Error::msg)
}
