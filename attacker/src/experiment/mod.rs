//! A whole experiment from one TOML file: poison, victims trained from scratch, certification by `rscert`, results
//! and report, all in one folder. Interrupted, it goes on where it stopped.

mod certifier;
mod config;
mod report;
mod results;
mod run;

pub use certifier::Certifier;
pub(crate) use config::parse_toml;
pub use config::{
    CertifySettings, Config, DataSettings, GroupSettings, VictimKind, VictimsSettings, read_config,
};
pub use results::{GroupResult, KindResult, Results, table};
pub use run::{Outcome, run};
