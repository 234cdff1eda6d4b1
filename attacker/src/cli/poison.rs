use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mithridate_runtime::{noise::seed_from_os, terminal};
use serde_json::json;
use toml::Value;

use super::{
    arguments::{CheckpointArguments, DataArguments, DeviceArguments, decimal, whole},
    settings::{SettingsArguments, number, value},
};
use crate::{
    Error,
    attack::{AttackSettings, Curvature, Preset},
    bilevel::Solver,
    jobs::{Interrupted, PoisonJob, interrupted, make_poison},
    networks::Architecture,
    poison::{Generator, classes_in_words},
    resolve::{attack_settings, erm_baseline, parse_toml},
    training::Method,
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd poison --data data/mnist --images 6000 --class 8 --sigma 0.25 --epsilon 0.1 --out poison-8

Every setting of the attack has a name, that of an experiment's [attack] table: --set gives one by name, --config a
file of them. Flags win over --set, that over the file, that over the preset. Interrupted, the same command goes on
at the last checkpoint and makes the same poison.")]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    settings: SettingsArguments,
    /// Folder for the poison set
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// How to make it
    #[arg(long, value_enum, default_value = "bilevel")]
    attack: AttackArgument,
    /// Settings to start from: default, official-mnist, official-cifar10
    #[arg(long, value_name = "PRESET")]
    preset: Option<Preset>,
    /// Classes to poison, separated by commas [default: 8]
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', value_parser = whole::<usize>)]
    class: Option<Vec<usize>>,
    /// Share of their training images to poison [default: 1]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = decimal)]
    share: Option<f64>,
    /// Largest change of a pixel, in [0, 1] [default: 0.1]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true, value_parser = decimal)]
    epsilon: Option<f64>,
    /// Standard deviation of the noise of training and certification [default: 0.25]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true, value_parser = decimal)]
    sigma: Option<f64>,
    /// Training method attacked: erm, gaussian, smoothadv, macer [default: gaussian]
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// Network attacked: lenet, mlp, linear, wide-cnn, resnet20, resnet32, resnet110 [default: lenet]
    #[arg(long, value_name = "NETWORK")]
    network: Option<Architecture>,
    /// Steps on the poison [default: 120]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    steps: Option<usize>,
    /// Learning rate of the poison [default: 0.02]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = decimal)]
    rate: Option<f64>,
    /// Matrix of the linear system: hessian, gauss-newton [default: gauss-newton]
    #[arg(long, value_name = "MATRIX")]
    curvature: Option<Curvature>,
    /// Linear solver: cg, normal-cg, minres, least-squares-adam, neumann [default: cg]
    #[arg(long, value_name = "SOLVER")]
    solver: Option<Solver>,
    /// Most iterations of a solve [default: 10]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    solver_steps: Option<usize>,
    /// Attacks to make and choose from, by retraining [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    restarts: Option<usize>,
    /// Seed of all random numbers [default: from the operating system, written into the manifest]
    #[arg(long, value_name = "SEED", value_parser = whole::<u64>)]
    seed: Option<u64>,
    /// Print one JSON document instead of a sentence
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum AttackArgument {
    /// Bilevel optimisation against robust training
    Bilevel,
    /// Bilevel optimisation against plain training and accuracy, a baseline
    Erm,
    /// Random signs times epsilon, a baseline
    Random,
    /// Blending with images of other classes, a baseline
    Watermark,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = settings(arguments)?;
    let training = arguments.data.open(None)?;
    settings.check(training.classes)?;
    let runner = arguments.checkpoint.runner(&arguments.device)?;
    // Without a flag the same command has to find the seed that an interrupted attack drew.
    let seed = match (arguments.seed, interrupted(&arguments.out)?) {
        (Some(seed), _) | (None, Some(Interrupted::Attack { seed, .. })) => seed,
        (None, _) => seed_from_os()?,
    };
    let generator = match arguments.attack {
        AttackArgument::Bilevel => Generator::Bilevel(Box::new(settings.clone())),
        AttackArgument::Erm => Generator::Bilevel(Box::new(erm_baseline(&settings))),
        AttackArgument::Random => Generator::Random,
        AttackArgument::Watermark => Generator::Watermark,
    };
    let job = PoisonJob::with(generator, &settings, seed);
    let set = make_poison(&job, &training, &runner, &arguments.out, "making poison")?;
    let manifest = &set.manifest;
    if arguments.json {
        let document = json!({ "folder": arguments.out, "manifest": manifest });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    Ok(terminal::print(&format!(
        "{} images of {} poisoned, no pixel moved by more than {}/255 (epsilon {}), seed {}; poison set in {}\n",
        set.len(),
        classes_in_words(&manifest.origin.target_classes),
        manifest.largest_change,
        manifest.origin.epsilon,
        manifest.origin.seed,
        arguments.out.display()
    ))?)
}

fn settings(arguments: &Arguments) -> Result<AttackSettings, Error> {
    let classes = arguments.class.as_ref().map(|classes| {
        Value::Array(
            classes.iter().map(|&class| Value::Integer(i64::try_from(class).unwrap_or(i64::MAX))).collect(),
        )
    });
    let flags = [
        ("preset", value(arguments.preset)),
        ("target_classes", classes),
        ("poisoned_share", arguments.share.map(Value::Float)),
        ("epsilon", arguments.epsilon.map(Value::Float)),
        ("sigma", arguments.sigma.map(Value::Float)),
        ("method", value(arguments.method)),
        ("network", value(arguments.network)),
        ("steps", number(arguments.steps)),
        ("poison_rate", arguments.rate.map(Value::Float)),
        ("curvature", value(arguments.curvature)),
        ("solver", value(arguments.solver)),
        ("solver_steps", number(arguments.solver_steps)),
        ("restarts", number(arguments.restarts)),
    ];
    let table = arguments.settings.table(&flags, |text| parse_toml::<AttackSettings>(text).map(|_| ()))?;
    attack_settings(&table).map_err(Error::Usage)
}
