use std::{fs, path::PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use mithridate_runtime::{terminal, units::parse_count};
use serde_json::json;

use super::arguments::tell_changes;
use crate::{
    Error,
    data::TrainingSet,
    figure,
    inspect::{export_images, interrupted_in_words, panel, poison_in_words, summarize, victim_in_words},
    jobs::{Interrupted, VictimReport, interrupted, names},
    poison::PoisonSet,
};

/// Default number of images in a picture.
const SHOWN: usize = 6;

#[derive(Args)]
#[command(after_help = "Example:
  pacd inspect poison-8 --data data/mnist --picture poison-8.svg")]
pub(super) struct Arguments {
    /// A poison set made by `pacd poison`, or a network trained by `pacd train`; finished or interrupted
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The data set that a poison set was made from
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Write a picture of clean and poisoned images, their differences, and a histogram; .svg or .png
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Write clean and poisoned images as PNG files, named by the index of the training image
    #[arg(long, value_name = "FOLDER")]
    export: Option<PathBuf>,
    /// Number of images: in the picture, spread over the set [default: 6]; to export, the first ones [default: all]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>)]
    images: Option<usize>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    if let Some(path) = &arguments.picture {
        figure::FigureFormat::of(path)?;
    }
    let kind = fs::metadata(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    ensure!(
        kind.is_dir(),
        "{} is a file; inspect reads the folder of a poison set or a network",
        folder.display()
    );
    if PoisonSet::is_in(folder) {
        return inspect_poison(arguments);
    }
    if folder.join(names::REPORT).is_file() {
        return inspect_victim(arguments);
    }
    if let Some(run) = interrupted(folder)? {
        return inspect_interrupted(arguments, &run);
    }
    bail!(
        "{} holds neither a poison set (manifest.json) nor a trained network ({}), finished or interrupted; choose another folder",
        folder.display(),
        names::REPORT
    )
}

fn inspect_interrupted(arguments: &Arguments, run: &Interrupted) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    ensure!(
        arguments.picture.is_none() && arguments.export.is_none(),
        "{} is not finished; --picture and --export are for finished poison sets",
        folder.display()
    );
    if arguments.json {
        let document = json!({ "kind": "interrupted", "folder": folder, "run": run });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    Ok(terminal::print(&interrupted_in_words(folder, run))?)
}

fn inspect_poison(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    let manifest = PoisonSet::read_manifest(folder)?;
    let Some(data) = &arguments.data else {
        bail!("{} is a poison set; name the data it was made from with --data", folder.display());
    };
    let training = TrainingSet::open(data, manifest.split).map_err(|error| match error {
        // The split is that of the poison set, not one that the user gave.
        Error::Setting { .. } => Error::Poison {
            path: folder.clone(),
            problem: format!("it was made for other data than {}", data.display()),
        },
        other => other,
    })?;
    tell_changes(&training.data);
    let set = PoisonSet::read(folder, &training)?;
    let summary = summarize(&set, &training);
    if let Some(path) = &arguments.picture {
        figure::write(path, &panel(&set, &training, &summary, arguments.images.unwrap_or(SHOWN))?)?;
    }
    let exported = match &arguments.export {
        Some(path) => Some(export_images(&set, &training, arguments.images.unwrap_or(set.len()), path)?),
        None => None,
    };
    if arguments.json {
        let document = json!({
            "kind": "poison",
            "folder": folder,
            "summary": summary,
            "manifest": set.manifest,
            "picture": arguments.picture,
            "export": arguments.export,
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let mut text = poison_in_words(folder, &set.manifest, &summary);
    if let Some(path) = &arguments.picture {
        text.push_str(&format!("{:<13} {}\n", "picture:", path.display()));
    }
    if let (Some(path), Some(count)) = (&arguments.export, exported) {
        text.push_str(&format!(
            "{:<13} {count} clean and {count} poisoned images in {}\n",
            "export:",
            path.display()
        ));
    }
    Ok(terminal::print(&text)?)
}

fn inspect_victim(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    ensure!(
        arguments.picture.is_none() && arguments.export.is_none(),
        "{} is a trained network; --picture and --export are for poison sets",
        folder.display()
    );
    let report = VictimReport::read(folder)?;
    if arguments.json {
        let document = json!({ "kind": "network", "folder": folder, "report": report });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    Ok(terminal::print(&victim_in_words(folder, &report))?)
}
