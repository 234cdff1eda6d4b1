use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::Args;

use crate::{
    audit::{Audit, Run, TableSettings, compare, is_html, summarize, to_html, to_text},
    evidence::{Results, read_results},
    files::{check_replaceable, write_atomically},
    statistics::Norm,
    terminal,
    units::{Alpha, Sigma, parse_count},
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert audit poisoned.jsonl --baseline clean.jsonl --radii 0.25,0.5 --html audit.html")]
pub(super) struct Arguments {
    /// Evidence files, or tables with the columns idx, label, predict and radius, separated by tabs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Evidence file or table to compare them with, input by input
    #[arg(long, value_name = "RUN")]
    baseline: Option<PathBuf>,
    /// Radii at which to give certified accuracy
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "0.25,0.5,0.75,1",
        value_name = "RADII",
        allow_negative_numbers = true
    )]
    radii: Vec<f64>,
    /// Norm of all radii: l1, l2 or linf [default: the norm of the runs' noise, which must be the same]
    #[arg(long, value_name = "NORM")]
    norm: Option<Norm>,
    /// Noise level of the tables, which don't say: for the largest radius that is possible
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    sigma: Option<Sigma>,
    /// Alpha of the tables
    #[arg(long, default_value = "0.001", value_name = "ALPHA", allow_negative_numbers = true)]
    alpha: Alpha,
    /// Samples behind each bound of the tables
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    n: u64,
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
    if let Some(page) = &arguments.html {
        check_replaceable(page, "page of an audit", is_html)
            .with_context(|| format!("cannot write {}", page.display()))?;
    }
    let tables = TableSettings { sigma: arguments.sigma, alpha: arguments.alpha, n: arguments.n };
    let runs = arguments.runs.iter().map(|path| open(path, tables)).collect::<anyhow::Result<Vec<Run>>>()?;
    let baseline = arguments.baseline.as_ref().map(|path| open(path, tables)).transpose()?;
    let all: Vec<&Run> = runs.iter().chain(&baseline).collect();
    check_alpha(&all)?;
    let norm = match arguments.norm {
        Some(norm) => norm,
        None => common_norm(&all)?,
    };
    if let Some(run) = all.iter().find(|run| norm > run.noise.norm() && run.values().is_none()) {
        anyhow::bail!(
            "{} doesn't say how large its inputs are, so that its radii in {norm} are not known",
            run.name
        );
    }
    let comparisons =
        baseline.iter().flat_map(|baseline| runs.iter().map(|run| compare(run, baseline, norm)));
    let audit = Audit {
        comparisons: comparisons.collect::<Result<_, _>>()?,
        runs: runs.iter().map(|run| summarize(run, &arguments.radii, norm)).collect(),
        baseline: baseline.as_ref().map(|run| summarize(run, &arguments.radii, norm)),
        radii: arguments.radii,
    };
    if let Some(path) = &arguments.html {
        let page = to_html(&audit).with_context(|| format!("cannot draw {}", path.display()))?;
        write_atomically(path, |file| file.write_all(page.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.json {
        return Ok(terminal::print(&format!("{}\n", serde_json::to_string_pretty(&audit)?))?);
    }
    Ok(terminal::print(&to_text(&audit))?)
}

/// Reads a run from evidence or from a table.
fn open(path: &Path, tables: TableSettings) -> anyhow::Result<Run> {
    let name = path
        .file_stem()
        .map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
    Ok(match read_results(path)? {
        Results::Table(table) => Run::of_table(&name, &table, tables),
        Results::Evidence(evidence) => Run::of_evidence(&name, &evidence),
    })
}

/// Runs at different α, or of different kinds of claims, prove different things; one table must not mix them.
fn check_alpha(runs: &[&Run]) -> anyhow::Result<()> {
    let claim = |run: &Run| match run.family_alpha {
        Some(alpha) => format!("at alpha {alpha} for all inputs at once"),
        None => format!("at alpha {}", run.alpha),
    };
    all_alike(runs, claim, "audit them apart")
}

/// The norm of the noise of all runs.
fn common_norm(runs: &[&Run]) -> anyhow::Result<Norm> {
    let with = |run: &Run| format!("with {} noise in {}", run.noise, run.noise.norm());
    let first = runs.first().map_or_else(Norm::default, |run| run.noise.norm());
    if runs.iter().any(|run| run.noise.norm() != first) {
        all_alike(runs, with, "choose one norm for all radii with --norm l1, l2 or linf")?;
    }
    Ok(first)
}

/// Fails with what to do unless all runs were certified at or with the same.
fn all_alike(runs: &[&Run], what: impl Fn(&Run) -> String, advice: &str) -> anyhow::Result<()> {
    let Some((first, others)) = runs.split_first() else { return Ok(()) };
    for run in others {
        let (there, here) = (what(first), what(run));
        ensure!(there == here, "{} was certified {there} and {} {here}; {advice}", first.name, run.name);
    }
    Ok(())
}
