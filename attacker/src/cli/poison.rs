use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mithridate_runtime::{noise::seed_from_os, terminal};
use serde_json::json;

use super::{
    arguments::{CheckpointArguments, DataArguments, DeviceArguments, whole},
    screen::Screen,
    settings::{AttackFlags, SettingsArguments},
};
use crate::{
    events::{Event, Events},
    jobs::{Interrupted, PoisonJob, interrupted, make_poison},
    poison::{Generator, classes_in_words},
    resolve::erm_baseline,
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd poison --data data/mnist --images 6000 --class 8 --sigma 0.25 --epsilon 0.1 --out poison-8

Every setting of the attack has a name, as in the [attack] table of an experiment: --set gives one
by name, --config a file of them. Flags win over --set, --set over the file, and the file over the
preset. After an interruption the same command resumes at the last checkpoint and makes the same
poison.")]
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
    /// How the poison is made
    #[arg(long, value_enum, default_value = "bilevel")]
    attack: AttackArgument,
    #[command(flatten)]
    flags: AttackFlags,
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
    let settings = arguments.flags.settings(&arguments.settings)?;
    let training = arguments.data.open(None)?;
    settings.check(training.classes)?;
    let screen = Screen::default();
    let show = |event: Event<'_>| screen.show(event);
    let runner = arguments.checkpoint.runner(&arguments.device, Events::to(&show))?;
    // Without the flag, an interrupted attack resumes with the seed that it drew.
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
