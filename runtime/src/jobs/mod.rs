//! What the program `rscert` does, as calls of this library: each sub-command has a job here, with its settings as a
//! struct and its result as another. The command line only turns flags into settings and results into text.
//!
//! | job | does |
//! | --- | --- |
//! | [`Certify`] | certifies inputs of a data set and leaves evidence |
//! | [`Predict`] | answers with the class of the smoothed model, or abstains |
//! | [`Recertify`] | certifies a changed model from the run of the model before |
//! | [`Verify`] | checks evidence, alone and against model, data, noise and signature |
//! | [`AuditRuns`] | sums up runs and compares them |
//! | [`Bench`] | measures samples a second against the bare engine |
//!
//! A job says what it does through a [`Control`]: notes for the user, progress, and a flag that stops it.
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
mod model;
mod predict;
mod recertify;
mod replay;
mod run_header;
mod seed;
mod self_test;
mod verify;

pub use audit::AuditRuns;
pub use bench::{Bench, BenchResult};
pub use certify::{Certified, Certify, SamplingTime};
#[cfg(feature = "cli")]
pub(crate) use control::first_that_runs;
pub use control::{Control, LoadModel, Observer, Work};
pub use dataset::DataSettings;
pub use error::JobError;
pub use model::{ModelSettings, ReadyModel};
pub use predict::{Predict, Predicted};
pub use recertify::{Recertified, Recertify};
pub use replay::Share;
#[cfg(feature = "cli")]
pub(crate) use run_header::file_name;
pub use verify::{Verified, Verify};
