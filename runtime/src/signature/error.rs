use std::path::PathBuf;

use crate::evidence::EvidenceError;

/// What can be wrong with a key, a signature or what was signed.
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
    /// The operating system gave no random numbers.
    #[error("cannot draw a key: {0}")]
    NoRandomNumbers(String),
    /// No key that can be used.
    #[error("it is no key that can be used: {0}")]
    Key(String),
    /// No envelope, or one that is not written as it must be.
    #[error("it is no signature that can be read: {0}")]
    Envelope(String),
    /// The key signed something else.
    #[error(
        "the signature that names key {key_id} is not over this payload: the envelope was changed, or the name of the key is false"
    )]
    Broken {
        /// Id of the key.
        key_id: String,
    },
    /// No signature by the key.
    #[error("it holds no signature by key {key_id}; {}", by(signers))]
    OtherKey {
        /// Id of the key.
        key_id: String,
        /// Ids that the signatures name.
        signers: Vec<String>,
    },
    /// What was signed is not what the run says.
    #[error("the signed statement is not about this run: {}", differences.join("; "))]
    OtherRun {
        /// Every field that differs, with both values.
        differences: Vec<String>,
    },
    /// The run can't be read, or is not finished.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The run does not hold by itself.
    #[error("{} does not hold, and is not signed: {problem}; `rscert verify` lists everything", path.display())]
    Invalid {
        /// The evidence file.
        path: PathBuf,
        /// The first thing that does not hold.
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
