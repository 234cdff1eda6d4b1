//! The use cases of `rscert` as library calls. Each long-running sub-command has a job here: a struct with its
//! settings, and another with its result. The command line only turns flags into settings and results into text.
//!
//! | job | does |
//! | --- | --- |
//! | [`Certify`] | certifies inputs of a data set and writes an evidence file |
//! | [`Predict`] | predicts the class of the smoothed classifier, or abstains |
//! | [`Recertify`] | certifies a changed model, based on the run of the earlier model |
//! | [`Verify`] | checks an evidence file, alone and against model, data, noise and signature |
//! | [`AuditRuns`] | summarises runs and compares them with a baseline run |
//! | [`Bench`] | measures samples per second of certification and of the engine alone |
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
