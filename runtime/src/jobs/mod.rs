//! The use cases of `rscert` as library calls. Each sub-command has a job here: a struct with its
//! settings, and another with its result. The command line only turns flags into settings and results into text.
//!
//! | job | does |
//! | --- | --- |
//! | [`Certify`] | certifies inputs of a data set and writes an evidence file |
//! | [`Predict`] | predicts the class of the smoothed classifier, or abstains |
//! | [`Recertify`] | certifies a changed model, based on the run of the earlier model |
//! | [`Verify`] | checks an evidence file, alone and against model, data, noise and signature |
//! | [`AuditRuns`] | summarises runs and compares them with a baseline run |
//! | [`Merge`] | joins the parts of a run |
//! | [`Keygen`], [`Sign`] | make a pair of keys, sign a finished run |
//! | [`Inspect`] | describes a model, and tests whether it can be certified |
//! | [`Bench`] | measures samples per second of certification and of the engine alone |
//!
//! [`run_by_name`] runs each of them with settings from JSON, for other languages.
//!
//! A job gets a [`Control`]: an observer for notes and progress, a flag that stops the job, and a function that loads
//! models.
//!
//! # Example
//! ```no_run
//! use mithridate_runtime::jobs::{Certify, Control, DataSettings, ModelSettings};
//!
//! let mut job = Certify::new(ModelSettings::new("lenet.onnx"), DataSettings::new("data/mnist"), "run.jsonl");
//! job.n = 10_000;
//! job.data.max = Some(100);
//! let done = job.run(&Control::default())?;
//! println!("result {}", done.evidence.footer.chain);
//! # Ok::<(), mithridate_runtime::jobs::JobError>(())
//! ```

mod audit;
mod bench;
mod certify;
mod control;
mod dataset;
mod error;
mod fresh;
mod inspect;
mod keywords;
mod merge;
mod model;
mod predict;
mod recertify;
mod replay;
mod run_header;
mod seed;
mod self_test;
mod sign;
mod verify;

pub use audit::AuditRuns;
pub use bench::{Bench, BenchResult};
#[cfg(feature = "cli")]
pub(crate) use certify::summary;
pub use certify::{Certified, Certify, SamplingTime};
#[cfg(feature = "cli")]
pub(crate) use control::first_that_runs;
pub use control::{Control, LoadModel, Observer, Work};
pub use dataset::DataSettings;
pub use error::{JobError, in_full};
pub use inspect::{Certifiable, Inspect, Inspected};
pub use merge::Merge;
pub use model::{ModelSettings, ReadyModel};
pub use predict::{Predict, Predicted, PredictionCounts};
pub use recertify::{Recertified, Recertify};
pub use replay::Share;
#[cfg(feature = "cli")]
pub(crate) use run_header::file_name;
pub use sign::{Keygen, Sign};
pub use verify::{Verified, Verify};

use serde_json::Value;

use self::keywords::{Keywords, NamedJob};

/// Runs a job with settings from keywords.
type Run = fn(Keywords, &Control) -> Result<Value, JobError>;

/// The table of jobs.
const JOBS: [(&str, Run); 10] = [
    entry::<AuditRuns>(),
    entry::<Bench>(),
    entry::<Certify>(),
    entry::<Inspect>(),
    entry::<Keygen>(),
    entry::<Merge>(),
    entry::<Predict>(),
    entry::<Recertify>(),
    entry::<Sign>(),
    entry::<Verify>(),
];

const fn entry<J: NamedJob>() -> (&'static str, Run) {
    (J::NAME, run::<J>)
}

fn run<J: NamedJob>(mut keywords: Keywords, control: &Control) -> Result<Value, JobError> {
    let job = J::from_keywords(&mut keywords)?;
    keywords.end(J::NAME)?;
    job.run_to_json(control)
}

/// Runs a job by its name, the one of the sub-command of `rscert`. `settings` is a JSON object: its keywords are named
/// as flags of `rscert`, with `_` for `-`, except that `classes` is `--class`, `table` is `--tsv`, and `distribution` is `--noise` and
/// `--exact-noise` (`gaussian`, `uniform` or `quantized-gaussian`). A keyword that is left out has the default of the
/// command line, except that `out` is required. The result is the document that `rscert` prints with `--json`.
///
/// # Errors
/// [`JobError`]; [`JobError::Refused`] for an unknown job, an unknown keyword or an invalid value.
///
/// # Example
/// ```
/// use mithridate_runtime::jobs::{Control, run_by_name};
///
/// let error = run_by_name("verify", r#"{"run": "none.jsonl", "key": 5}"#, &Control::default()).unwrap_err();
/// assert_eq!(error.to_string(), "`key` is 5: invalid type: integer `5`, expected path string");
/// ```
pub fn run_by_name(name: &str, settings: &str, control: &Control) -> Result<Value, JobError> {
    let Some((_, run)) = JOBS.iter().find(|(job, _)| *job == name) else {
        let names: Vec<&str> = JOBS.iter().map(|(job, _)| *job).collect();
        return Err(JobError::Refused(format!(
            "'{}' is not a job; the jobs are {}",
            name.escape_debug(),
            names.join(", ")
        )));
    };
    run(Keywords::parse(settings)?, control)
}
