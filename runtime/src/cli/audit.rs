use std::path::PathBuf;

use clap::Args;

use crate::{
    audit::{TableSettings, to_text},
    jobs::AuditRuns,
    statistics::Norm,
    terminal,
    units::{Alpha, Sigma, parse_count},
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert audit poisoned.jsonl --baseline clean.jsonl --radii 0.25,0.5 --html audit.html")]
pub(super) struct Arguments {
    /// Evidence files, or tab-separated tables with the columns idx, label, predict and radius
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Evidence file or table of the baseline run, to compare with input by input
    #[arg(long, value_name = "RUN")]
    baseline: Option<PathBuf>,
    /// Radii at which to print certified accuracy
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
    /// Sigma of the tables, which do not contain it; it limits the largest possible radius
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    sigma: Option<Sigma>,
    /// Alpha of the tables, which do not contain it
    #[arg(long, default_value = "0.001", value_name = "ALPHA", allow_negative_numbers = true)]
    alpha: Alpha,
    /// Number of samples of each bound in the tables
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    n: u64,
    /// Also write an HTML page with figures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let job = AuditRuns {
        runs: arguments.runs,
        baseline: arguments.baseline,
        radii: arguments.radii,
        norm: arguments.norm,
        tables: TableSettings { sigma: arguments.sigma, alpha: arguments.alpha, n: arguments.n },
        html: arguments.html,
    };
    let audit = job.run()?;
    if arguments.json {
        return Ok(terminal::print(&format!("{}\n", serde_json::to_string_pretty(&audit)?))?);
    }
    Ok(terminal::print(&to_text(&audit))?)
}
