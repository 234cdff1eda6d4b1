use std::path::PathBuf;

use crate::evidence::EvidenceError;

/// Errors of keys, signatures and signed evidence.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// A file can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// There is a file where a key would be written.
    #[error("{} exists, and no file is ever overwritten by a key; choose another name with `out`", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The random generator of the operating system failed.
    #[error("cannot draw a key: {0}")]
    NoRandomNumbers(String),
    /// The text is not a usable key.
    #[error("it is not a usable key: {0}")]
    Key(String),
    /// The file is not a valid envelope.
    #[error("it is not a valid file of signatures: {0}")]
    Envelope(String),
    /// A signature has the id of the key but is not a valid signature of the payload by it.
    #[error(
        "the signature with the key id {key_id} is not a valid signature of this payload: the envelope or the key id was changed"
    )]
    Broken {
        /// Id of the key.
        key_id: String,
    },
    /// The envelope has no signature by the key.
    #[error("it contains no signature by key {key_id}; {}", by(signers))]
    OtherKey {
        /// Id of the key.
        key_id: String,
        /// Key ids of the signatures in the envelope.
        signers: Vec<String>,
    },
    /// The signed statement differs from the run.
    #[error("the signed statement is not about this run: {}", differences.join("; "))]
    OtherRun {
        /// The fields that differ, with both values; after a few, the number of others.
        differences: Vec<String>,
    },
    /// The evidence file can't be read, or the run is not finished.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The evidence file is not valid.
    #[error("{} was not signed, because it is not valid: {problem}; `rscert verify` lists all problems", path.display())]
    Invalid {
        /// The evidence file.
        path: PathBuf,
        /// The first problem found.
        problem: String,
    },
}

fn by(signers: &[String]) -> String {
    if signers.is_empty() {
        "its signatures name no key".to_owned()
    } else {
        format!("its signatures name {}", signers.join(", "))
    }
}
