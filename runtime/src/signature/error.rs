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
        /// Why.
        source: std::io::Error,
    },
    /// A file can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is a file where a key would be written.
    #[error("{} exists, and a key is never written over a file; choose another name with `out`", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The random generator of the operating system failed.
    #[error("cannot draw a key: {0}")]
    NoRandomNumbers(String),
    /// The text is not a usable key.
    #[error("it is no key that can be used: {0}")]
    Key(String),
    /// The file is not a valid envelope.
    #[error("it is no signature that can be read: {0}")]
    Envelope(String),
    /// A signature has the id of the key but is not a valid signature of the payload by it.
    #[error(
        "the signature that names key {key_id} is not over this payload: the envelope was changed, or the name of the key is false"
    )]
    Broken {
        /// Id of the key.
        key_id: String,
    },
    /// The envelope has no signature by the key.
    #[error("it holds no signature by key {key_id}; {}", by(signers))]
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
    #[error("{} does not hold, and is not signed: {problem}; `rscert verify` lists everything", path.display())]
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
