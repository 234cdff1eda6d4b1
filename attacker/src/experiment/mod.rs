//! A whole experiment from one TOML file: poison, victims trained from scratch, certification by `rscert`, results
//! and report, all in one folder. A second run does only the steps whose results are missing.

mod certifier;
mod config;
mod estimate;
mod plan;
mod report;
mod results;
mod run;
mod schedule;

pub use certifier::{CertifierProgram, Messages};
pub use config::{
    CertifySettings, Config, GroupSettings, TrainingDataSettings, VictimKind, VictimsSettings, read_config,
};
pub use results::{ExperimentResults, GroupResult, KindResult, table};
pub use run::{Experiment, ExperimentOutput, PlannedStep};
