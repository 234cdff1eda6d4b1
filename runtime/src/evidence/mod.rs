//! The evidence file: what a certification run did, in enough detail that somebody else can check it.
//!
//! JSON lines: a [`Header`] with everything the certificates depend on, one [`Record`] an input in order, and a
//! [`Footer`] with totals and the SHA-256 of all lines before it. Lines are flushed as inputs finish, so an
//! interrupted run keeps what it has and can be resumed.

mod error;
#[cfg(test)]
mod example;
mod format;
mod read;
mod simultaneous;
mod write;

pub use error::EvidenceError;
#[cfg(test)]
pub(crate) use example::example_header;
pub use format::{
    DataSource, Execution, Footer, Header, Machine, ModelSource, NoiseSource, Record, SCHEMA, Selection,
};
pub use read::{Evidence, read_evidence, read_header};
pub use simultaneous::Simultaneous;
pub use write::EvidenceWriter;
