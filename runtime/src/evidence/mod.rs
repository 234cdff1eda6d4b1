//! The evidence file: what a certification run did, in enough detail that somebody else can check it.
//!
//! JSON lines: a [`Header`] with everything the certificates depend on, one [`Record`] an input in order, and a
//! [`Footer`] with totals and the SHA-256 of all lines before it. Lines are flushed as inputs finish, so an
//! interrupted run keeps what it has and can be resumed.

mod error;
mod format;
mod read;
mod write;

pub use error::EvidenceError;
pub use format::{
    DataSource, Execution, ExternalSource, Footer, Header, Machine, ModelSource, ModelUse, NoiseSource,
    Record, SCHEMA, Selection,
};
pub use read::{Evidence, read_evidence, read_header};
pub use write::EvidenceWriter;
