//! The procedures CERTIFY and PREDICT of Cohen et al. (2019) over many inputs, with rules for when to stop.
//!
//! Samples of different inputs are packed into full batches, so the engine always gets the batch size it is fastest
//! at; votes are sorted back to their inputs, and certificates come out in the order of the inputs whatever the
//! number of workers.
//!
//! | file | subject |
//! | --- | --- |
//! | `settings`, `stopping` | what a certificate depends on |
//! | `procedure` | when to stop, and what the votes prove |
//! | `scheduler` | which samples come next, and what is known of every input |
//! | `buffer`, `pipeline`, `worker`, `forward` | buffers and threads that the samples go through |
//! | `comparison` | a share of the samples answered again, alone and in another batch |
//! | `certifier` | all of it for many inputs |
//! | `tune` | how to split the work |

mod batch_buffer;
mod certificate;
mod certifier;
mod comparison;
mod counted_votes;
mod forward;
mod pipeline;
mod prediction;
mod procedure;
mod scheduler;
mod settings;
mod stopping;
mod tune;
mod worker;

pub use certificate::Certificate;
pub use certifier::{Certifier, CertifyError, Input};
pub use counted_votes::{CountedVotes, VoteRequest};
pub use forward::Notices;
pub use prediction::{Answer, Prediction, predict};
pub(crate) use procedure::lower_bounds;
pub use procedure::{Decision, Procedure};
pub use settings::{Settings, SettingsError};
pub use stopping::{StoppingRule, UnknownRule, Width};
pub use tune::{Instances, Plan, TimedCertification, plan, time_certification, time_forward};
pub use worker::Timings;

pub use crate::votes::{INFINITE, MAX_CLASSES, NOT_A_NUMBER, Nobody, TIE, Vote, Votes};
