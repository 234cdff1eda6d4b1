use std::{
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Control, JobError,
    error::ensure,
    keywords::{Keywords, NamedJob},
};
use crate::{
    audit::{Audit, Run, TableSettings, compare, is_html, summarize, to_html},
    evidence::{Results, read_results},
    files::{check_replaceable, write_atomically},
    statistics::Norm,
};

/// Summarises runs and compares them with a baseline run, input by input.
///
/// # Example
/// ```no_run
/// use mithridate_runtime::{audit::to_text, jobs::AuditRuns};
///
/// let audit = AuditRuns::new(["poisoned.jsonl"]).compared_with("clean.jsonl").run()?;
/// println!("{}", to_text(&audit));
/// # Ok::<(), mithridate_runtime::jobs::JobError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AuditRuns {
    /// Evidence files, or tables of other tools.
    pub runs: Vec<PathBuf>,
    /// The baseline run.
    pub baseline: Option<PathBuf>,
    /// Radii, in data-set units, at which certified accuracy is given.
    pub radii: Vec<f64>,
    /// Norm of all radii; `None`: the norm of the noise, which must be the same in all runs.
    pub norm: Option<Norm>,
    /// Settings of tables, which do not contain them.
    pub tables: TableSettings,
    /// File to which an HTML page with figures is written; `None`: no page.
    pub html: Option<PathBuf>,
}

impl AuditRuns {
    /// An audit of these runs at the radii ¼, ½, ¾ and 1.
    pub fn new(runs: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            runs: runs.into_iter().map(Into::into).collect(),
            baseline: None,
            radii: vec![0.25, 0.5, 0.75, 1.0],
            norm: None,
            tables: TableSettings::default(),
            html: None,
        }
    }

    /// Adds a baseline run.
    #[must_use]
    pub fn compared_with(self, baseline: impl Into<PathBuf>) -> Self {
        Self { baseline: Some(baseline.into()), ..self }
    }

    /// Runs the job.
    ///
    /// # Errors
    /// [`JobError`] if a file can't be read, its certificates do not follow from its votes, the runs can't be
    /// compared, or the page can't be written.
    pub fn run(&self) -> Result<Audit, JobError> {
        if let Some(page) = &self.html {
            check_replaceable(page, "page of an audit", is_html)
                .map_err(|error| JobError::cannot_write(page, error))?;
        }
        let audit = self.audit()?;
        if let Some(path) = &self.html {
            let page = to_html(&audit).map_err(|error| JobError::While {
                doing: format!("cannot draw {}", path.display()),
                source: error.into(),
            })?;
            write_atomically(path, |file| file.write_all(page.as_bytes()))
                .map_err(|error| JobError::cannot_write(path, error))?;
        }
        Ok(audit)
    }

    fn audit(&self) -> Result<Audit, JobError> {
        if let Some(radius) = self.radii.iter().find(|radius| !radius.is_finite() || **radius < 0.0) {
            ensure!(false, "`radii` contains {radius}, and a radius must be a number of at least 0");
        }
        let runs =
            self.runs.iter().map(|path| open(path, self.tables)).collect::<Result<Vec<Run>, JobError>>()?;
        let baseline = self.baseline.as_ref().map(|path| open(path, self.tables)).transpose()?;
        let all: Vec<&Run> = runs.iter().chain(&baseline).collect();
        check_alpha(&all)?;
        let norm = match self.norm {
            Some(norm) => norm,
            None => common_norm(&all)?,
        };
        if let Some(run) = all.iter().find(|run| norm > run.noise.norm() && run.values().is_none()) {
            let name = &run.name;
            ensure!(
                false,
                "{name} does not state the number of values of an input, so its radii can't be converted to {norm}"
            );
        }
        let comparisons =
            baseline.iter().flat_map(|baseline| runs.iter().map(|run| compare(run, baseline, norm)));
        Ok(Audit {
            comparisons: comparisons
                .collect::<Result<_, _>>()
                .map_err(|error| JobError::Refused(error.to_string()))?,
            runs: runs.iter().map(|run| summarize(run, &self.radii, norm)).collect(),
            baseline: baseline.as_ref().map(|run| summarize(run, &self.radii, norm)),
            radii: self.radii.clone(),
        })
    }
}

impl NamedJob for AuditRuns {
    const NAME: &'static str = "audit";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        let mut job = Self::new(keywords.need::<Vec<PathBuf>>("runs")?);
        job.baseline = keywords.get("baseline")?;
        keywords.set("radii", &mut job.radii)?;
        job.norm = keywords.get("norm")?;
        job.tables.sigma = keywords.get("sigma")?;
        keywords.set("alpha", &mut job.tables.alpha)?;
        keywords.set("n", &mut job.tables.n)?;
        job.html = keywords.get("html")?;
        Ok(job)
    }

    fn run_to_json(&self, _: &Control) -> Result<Value, JobError> {
        serde_json::to_value(self.run()?)
            .map_err(|error| JobError::While { doing: "cannot write JSON".into(), source: error.into() })
    }
}

/// Reads a run from evidence or from a table.
fn open(path: &Path, tables: TableSettings) -> Result<Run, JobError> {
    let name = path
        .file_stem()
        .map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
    Ok(match read_results(path)? {
        Results::Table(table) => Run::of_table(&name, &table, tables),
        Results::Evidence(evidence) => Run::of_evidence(&name, &evidence),
    })
}

/// Checks that all runs have the same α and kind of claim. One table must not mix runs that prove different things.
fn check_alpha(runs: &[&Run]) -> Result<(), JobError> {
    let claim = |run: &Run| match run.family_alpha {
        Some(alpha) => format!("at alpha {alpha} for all inputs at once"),
        None => format!("at alpha {}", run.alpha),
    };
    all_alike(runs, claim, "audit them separately")
}

/// The norm of the noise, after a check that it is the same in all runs.
fn common_norm(runs: &[&Run]) -> Result<Norm, JobError> {
    let with = |run: &Run| format!("with {} noise in {}", run.noise, run.noise.norm());
    let first = runs.first().map_or_else(Norm::default, |run| run.noise.norm());
    if runs.iter().any(|run| run.noise.norm() != first) {
        all_alike(runs, with, "choose one norm for all radii with `norm` l1, l2 or linf")?;
    }
    Ok(first)
}

/// Fails with `advice` unless `what` returns the same text for all runs.
fn all_alike(runs: &[&Run], what: impl Fn(&Run) -> String, advice: &str) -> Result<(), JobError> {
    let Some((first, others)) = runs.split_first() else { return Ok(()) };
    for run in others {
        let (there, here) = (what(first), what(run));
        ensure!(there == here, "{} was certified {there} and {} {here}; {advice}", first.name, run.name);
    }
    Ok(())
}
