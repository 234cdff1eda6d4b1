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
    statistics::Norm,
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
    /// Norm of all radii: l1, l2 or linf [default: the norm of the runs' noise, which must be the same]
    #[arg(long, value_name = "NORM")]
    norm: Option<Norm>,
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
    let norm = match arguments.norm {
        Some(norm) => norm,
        None => common_norm(evidence.iter().chain(&baseline))?,
    };
    let audit = Audit {
        runs: evidence.iter().map(|(name, run)| summarize(name, run, &arguments.radii, norm)).collect(),
        comparisons: match &baseline {
            Some((baseline_name, baseline)) => evidence
                .iter()
                .map(|(name, run)| compare((name, run), (baseline_name, baseline), norm))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        },
        baseline: baseline.map(|(name, run)| summarize(&name, &run, &arguments.radii, norm)),
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

/// Runs at different α, or of different kinds of claims, prove different things; one table must not mix them.
fn check_alpha<'a>(runs: impl Iterator<Item = &'a (String, Evidence)>) -> anyhow::Result<()> {
    let claim = |run: &Evidence| match &run.header.simultaneous {
        Some(claim) => format!("at alpha {} for all inputs at once", claim.alpha),
        None => format!("at alpha {}", run.header.settings.alpha),
    };
    all_alike(runs, claim, "audit them apart")
}

/// The norm of the noise of all runs.
fn common_norm<'a>(runs: impl Iterator<Item = &'a (String, Evidence)> + Clone) -> anyhow::Result<Norm> {
    let norm = |run: &Evidence| run.header.settings.distribution.norm();
    let with = |run: &Evidence| format!("with {} noise in {}", run.header.settings.distribution, norm(run));
    let first = runs.clone().next().map_or_else(Norm::default, |(_, run)| norm(run));
    let differs = runs.clone().any(|(_, run)| norm(run) != first);
    if differs {
        all_alike(runs, with, "choose one norm for all radii with --norm l1, l2 or linf")?;
    }
    Ok(first)
}

/// Fails with what to do unless all runs were certified at or with the same.
fn all_alike<'a>(
    mut runs: impl Iterator<Item = &'a (String, Evidence)>,
    what: impl Fn(&Evidence) -> String,
    advice: &str,
) -> anyhow::Result<()> {
    let Some(first) = runs.next() else { return Ok(()) };
    for run in runs {
        let (there, here) = (what(&first.1), what(&run.1));
        ensure!(there == here, "{} was certified {there} and {} {here}; {advice}", first.0, run.0);
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}
