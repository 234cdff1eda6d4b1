//! The evidence file: the record of a certification run, in enough detail that somebody else can check it.
//!
//! The file is in JSON lines: a [`Header`] with everything that the certificates depend on, one [`Record`] for each
//! input in order, and a [`Footer`] with totals and the SHA-256 of all lines before it. Lines are written as inputs
//! finish, so an interrupted run keeps its finished inputs and can be resumed ([`EvidenceWriter`]). A run can be
//! divided into shards ([`Shard`]), which [`merge`] joins. [`verify`] recomputes every number from the votes.
//!
//! The line of each input has a chain value: the SHA-256 of the chain value before it and of the record, with keys in
//! alphabetical order and without its time. The first chain value is the SHA-256 of the header without the fields that
//! concern only time and machine. So the last chain value, in the footer, identifies the result. It is the same for
//! every run with the same settings, model, data and votes, whether interrupted or not, in one file or merged from
//! shards.

mod challenge;
mod check;
mod encode;
mod error;
#[cfg(test)]
mod example;
mod format;
mod fresh;
#[cfg(feature = "ort")]
mod input_options;
mod line_checker;
mod merge;
mod read;
mod recertification;
mod resume;
mod shard;
mod simultaneous;
mod table;
mod verify;
mod votes;
mod write;

pub use crate::backend::ExternalSource;
pub use challenge::{challenge_seed, parse_challenge, seed_origin};
pub use error::EvidenceError;
#[cfg(test)]
pub(crate) use example::example_header;
pub use format::{
    DataSource, Execution, Footer, Header, InputSubset, Machine, ModelSource, ModelUse, NoiseSource, Record,
    SCHEMA,
};
pub use fresh::{FALSE_ALARM, FreshComparison, FreshInput, fresh_settings};
pub use merge::merge;
pub use read::{Evidence, parse_evidence, read_evidence};
pub use recertification::{Change, Recertification};
pub use resume::ResumableRun;
pub use shard::Shard;
pub use simultaneous::Simultaneous;
pub use table::{Results, Row, Table, is_table, parse_table, read_results, to_table};
#[cfg(feature = "ort")]
pub(crate) use verify::is_other_numbering;
pub use verify::{Claim, Problem, Replay, Verification, replayed, unfit, verify};
pub use votes::{KeptVotes, VotesWriter, votes_path};
pub use write::EvidenceWriter;
