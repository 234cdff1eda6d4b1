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

pub use certifier::{Certifier, Messages};
pub use config::{
    CertifySettings, Config, DataSettings, GroupSettings, VictimKind, VictimsSettings, read_config,
};
pub use results::{GroupResult, KindResult, Results, table};
pub use run::{Experiment, Outcome, PlannedStep};
