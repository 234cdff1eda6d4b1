//! The procedures CERTIFY and PREDICT of Cohen et al. (2019) over many inputs.
//!
//! Samples of different inputs are packed into full batches, so the engine always gets the batch size it is fastest
//! at; votes are sorted back to their inputs, and certificates come out in the order of the inputs whatever the
//! number of workers.

mod certificate;
mod certifier;
mod forward;
mod prediction;
mod schedule;
mod settings;
mod tune;
mod worker;

pub use certificate::{Certificate, Votes, decide};
pub use certifier::{Certifier, CertifyError, Input};
pub use forward::Notices;
pub use prediction::{Prediction, predict};
pub use settings::{Settings, SettingsError};
pub use tune::{Instances, Plan, plan, time_forward};
pub use worker::Timings;
