use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};
use mithridate_runtime::{noise::seed_from_os, terminal};
use serde_json::json;

use super::arguments::{DataArguments, DeviceArguments};
use crate::{
    Error,
    attack::{AttackSettings, Curvature},
    bilevel::Solver,
    experiment::parse_toml,
    jobs::{PoisonJob, make_poison},
    networks::Architecture,
    poison::Generator,
    training::Method,
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd poison --data data/mnist --images 6000 --class 8 --sigma 0.25 --epsilon 0.1 --out poison-8

Settings without a flag of their own (batch sizes, damping, clamp, networks attacked in turn) can be
given by --config, a TOML file of the keys of an experiment's [attack] table; flags win over it.")]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    device: DeviceArguments,
    /// Folder for the poison set
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// How to make it
    #[arg(long, value_enum, default_value = "bilevel")]
    attack: AttackArgument,
    /// TOML file with settings of the attack
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Class to poison [default: 8]
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
    /// Largest change of a pixel, in [0, 1] [default: 0.1]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    epsilon: Option<f64>,
    /// Standard deviation of the noise of training and certification [default: 0.25]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    sigma: Option<f64>,
    /// Training method attacked: erm, gaussian [default: gaussian]
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// Network attacked: lenet, mlp, linear, wide-cnn, resnet20, resnet32, resnet110 [default: lenet]
    #[arg(long, value_name = "NETWORK")]
    network: Option<Architecture>,
    /// Steps on the poison [default: 120]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Learning rate of the poison [default: 0.02]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Matrix of the linear system: hessian, gauss-newton [default: gauss-newton]
    #[arg(long, value_name = "MATRIX")]
    curvature: Option<Curvature>,
    /// Linear solver: cg, normal-cg, least-squares-adam, neumann [default: cg]
    #[arg(long, value_name = "SOLVER")]
    solver: Option<Solver>,
    /// Most iterations of a solve [default: 10]
    #[arg(long, value_name = "N")]
    solver_steps: Option<usize>,
    /// Seed of all random numbers [default: from the operating system, written into the manifest]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Print one JSON document instead of a sentence
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum AttackArgument {
    /// Bilevel optimisation against robust training
    Bilevel,
    /// Random signs times epsilon, the baseline
    Random,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = settings(arguments)?;
    let training = arguments.data.open(None)?;
    settings.check(training.classes)?;
    let device = arguments.device.prepare()?;
    let job = PoisonJob {
        target_class: settings.target_class,
        epsilon: settings.epsilon,
        seed: match arguments.seed {
            Some(seed) => seed,
            None => seed_from_os()?,
        },
        device: arguments.device.device,
        generator: match arguments.attack {
            AttackArgument::Bilevel => Generator::Bilevel(Box::new(settings)),
            AttackArgument::Random => Generator::Random,
        },
    };
    let set = make_poison(&job, &training, device, &arguments.out)?;
    let manifest = &set.manifest;
    if arguments.json {
        let document = json!({ "folder": arguments.out, "manifest": manifest });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    Ok(terminal::print(&format!(
        "{} images of class {} poisoned, no pixel moved by more than {}/255 (epsilon {}), seed {}; poison set in {}\n",
        set.len(),
        manifest.target_class,
        manifest.largest_change,
        manifest.epsilon,
        manifest.seed,
        arguments.out.display()
    ))?)
}

/// Flags over file over default.
fn settings(arguments: &Arguments) -> Result<AttackSettings, Error> {
    let base = match &arguments.config {
        None => AttackSettings::default(),
        Some(path) => {
            let text = fs::read_to_string(path).map_err(Error::read(path))?;
            parse_toml(&text).map_err(|problem| Error::Config { path: path.clone(), problem })?
        }
    };
    Ok(AttackSettings {
        target_class: arguments.class.unwrap_or(base.target_class),
        epsilon: arguments.epsilon.unwrap_or(base.epsilon),
        sigma: arguments.sigma.unwrap_or(base.sigma),
        method: arguments.method.unwrap_or(base.method),
        network: arguments.network.unwrap_or(base.network),
        steps: arguments.steps.unwrap_or(base.steps),
        poison_rate: arguments.rate.unwrap_or(base.poison_rate),
        curvature: arguments.curvature.unwrap_or(base.curvature),
        solver: arguments.solver.unwrap_or(base.solver),
        solver_steps: arguments.solver_steps.unwrap_or(base.solver_steps),
        ..base
    })
}
