//! The procedures CERTIFY and PREDICT of Cohen et al. (2019) over many inputs, with stopping rules.
//!
//! Samples of different inputs are packed into full batches, so the engine always gets the batch size at which it is
//! fastest. The votes are then assigned to their inputs again. Certificates come out in the order of the inputs, for
//! any number of workers.
//!
//! | file | subject |
//! | --- | --- |
//! | `settings`, `stopping` | everything that a certificate depends on besides model and input |
//! | `procedure` | CERTIFY without the sampling: when to stop, and the bound and radius that the votes prove |
//! | `scheduler` | chooses the samples of the next batch, and counts the votes of the inputs in flight |
//! | `batch_buffer`, `pipeline`, `worker`, `forward` | buffers and threads that the samples pass through |
//! | `comparison` | runs a share of the samples again, alone and in another batch, and compares the answers |
//! | `certifier` | the public entry point: certify, predict or count votes for many inputs |
//! | `plan`, `tune` | instances, threads and batch size of a run; finds the fastest number of instances, threads and batch size |

mod batch_buffer;
mod certificate;
mod certifier;
mod comparison;
mod counted_votes;
mod error;
mod forward;
mod input;
mod pipeline;
mod plan;
mod prediction;
mod procedure;
mod scheduler;
mod settings;
mod stopping;
mod tune;
mod worker;

pub use certificate::Certificate;
pub use certifier::Certifier;
pub use counted_votes::{CountedVotes, VoteRequest};
pub use error::CertifyError;
pub use forward::Notices;
pub use input::Input;
pub(crate) use input::check_image;
pub use plan::{Instances, Plan};
pub use prediction::{Answer, Prediction, predict};
pub(crate) use procedure::lower_bounds;
pub use procedure::{Decision, Procedure};
pub use settings::{Settings, SettingsError};
pub use stopping::{StoppingRule, UnknownRule, Width};
pub use tune::{TimedCertification, plan, time_certification, time_forward};
pub use worker::Timings;

pub use crate::votes::{INFINITE, MAX_CLASSES, NOT_A_NUMBER, Nobody, TIE, Vote, Votes};
