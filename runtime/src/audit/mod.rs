//! Summary and comparison of evidence files: average certified radius (ACR), certified accuracy, and paired differences
//! between two runs on the same inputs.

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

/// An audit of one or several runs. Its JSON form is the output of `rscert audit --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Radii at which certified accuracy is reported, in the norm of the audit and units of the data set.
    pub radii: Vec<f64>,
    /// The runs, in the order in which they were given.
    pub runs: Vec<RunSummary>,
    /// The run with which the others are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<RunSummary>,
    /// Difference of each run to the baseline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
}
