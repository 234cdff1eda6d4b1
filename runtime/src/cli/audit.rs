use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::Args;

use crate::{
    audit::{Audit, compare, summarize, to_html, to_text},
    evidence::{Evidence, read_evidence},
    files::write_atomically,
    terminal,
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert audit poisoned.jsonl --baseline clean.jsonl --radii 0.25,0.5 --html audit.html")]
pub(super) struct Arguments {
    /// Evidence files
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Evidence file to compare them with, input by input
    #[arg(long, value_name = "RUN")]
    baseline: Option<PathBuf>,
    /// Radii at which to give certified accuracy
    #[arg(long, value_delimiter = ',', default_value = "0.25,0.5,0.75,1", value_name = "RADII")]
    radii: Vec<f64>,
    /// Write a page with figures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(radius) = arguments.radii.iter().find(|radius| !radius.is_finite() || **radius < 0.0) {
        anyhow::bail!("a radius is a number that is not negative, unlike {radius} in --radii");
    }
    let evidence = arguments
        .runs
        .iter()
        .map(|path| Ok((name(path), read_evidence(path)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let baseline = match &arguments.baseline {
        Some(path) => Some((name(path), read_evidence(path)?)),
        None => None,
    };
    check_alpha(evidence.iter().chain(&baseline))?;
    let audit = Audit {
        runs: evidence.iter().map(|(name, run)| summarize(name, run, &arguments.radii)).collect(),
        comparisons: match &baseline {
            Some((baseline_name, baseline)) => evidence
                .iter()
                .map(|(name, run)| compare((name, run), (baseline_name, baseline)))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        },
        baseline: baseline.map(|(name, run)| summarize(&name, &run, &arguments.radii)),
        radii: arguments.radii,
    };
    if let Some(path) = &arguments.html {
        write_atomically(path, |file| file.write_all(to_html(&audit).as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.json {
        return Ok(terminal::print(&format!("{}\n", serde_json::to_string_pretty(&audit)?))?);
    }
    Ok(terminal::print(&to_text(&audit))?)
}

/// Runs at different α prove different things; one table must not mix them.
fn check_alpha<'a>(runs: impl Iterator<Item = &'a (String, Evidence)>) -> anyhow::Result<()> {
    let mut first: Option<&(String, Evidence)> = None;
    for run in runs {
        let Some(first) = first else {
            first = Some(run);
            continue;
        };
        let alphas = [first, run].map(|run| run.1.header.settings.alpha);
        ensure!(
            alphas[0] == alphas[1],
            "{} was certified at alpha {} and {} at alpha {}; audit them apart",
            first.0,
            alphas[0],
            run.0,
            alphas[1]
        );
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}
