//! What evidence files say: average certified radius, certified accuracy, and whether one run is better than
//! another on the same inputs.

mod compare;
mod high_probability;
mod html;
mod run;
mod summary;
mod text;

pub use compare::{CompareError, Comparison, Difference, compare};
pub use high_probability::HighProbabilityBound;
pub use html::{is_html, to_html};
pub use run::{Outcome, Run, TableSettings};
pub use summary::{Answer, CertifiedAccuracy, GroupSummary, RunSummary, summarize};
pub use text::to_text;

use serde::Serialize;

/// An audit of one or several runs: what `rscert audit --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Radii at which certified accuracy is given.
    pub radii: Vec<f64>,
    /// The runs, in the order they were named.
    pub runs: Vec<RunSummary>,
    /// The run the others are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<RunSummary>,
    /// For each run, how it differs from the baseline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
}
