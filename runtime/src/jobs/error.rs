use std::{error::Error, io, path::Path};

use mithridate_onnx::OnnxError;

use crate::{
    backend::BackendError,
    certify::{CertifyError, SettingsError},
    data::DataError,
    evidence::EvidenceError,
    noise::{NoiseError, SelfTestError},
    signature::SignatureError,
    statistics::StatisticsError,
    units::UnitError,
};

/// Why a job failed. Messages name settings in backticks, by the names of the fields of the jobs.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Error of the model or the engine.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Error of the model file.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// Error of the data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Error during certification.
    #[error(transparent)]
    Certify(#[from] CertifyError),
    /// Invalid settings of certification.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A number outside the range of its unit.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The noise can't be drawn.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// The noise of this run failed its self-test.
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
    /// Error of an evidence file.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// Error of a signature or key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Vote counts or settings from which no bound can be computed.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Settings that do not fit together, or do not fit the model or the data.
    #[error("{0}")]
    Refused(String),
    /// The evidence file could not be written to its end.
    #[error(
        "{evidence}: {problem}; the finished inputs are in this file: free space on the disk, then run the same command \
         with `resume`"
    )]
    Unfinished {
        /// The failed action, with the path.
        evidence: String,
        /// The error of the operating system.
        problem: io::Error,
    },
    /// Another error, with the action that failed.
    #[error("{doing}")]
    While {
        /// The failed action, such as "cannot write run.jsonl".
        doing: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Error of the program's own [`LoadModel`](super::LoadModel).
    #[error(transparent)]
    Load(Box<dyn Error + Send + Sync>),
}

impl JobError {
    /// The error for a path that can't be written to.
    pub(crate) fn cannot_write(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::While { doing: format!("cannot write {}", path.display()), source: source.into() }
    }

    /// The error for evidence that could not be written, with advice if the run can be resumed.
    pub(super) fn unwritten(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Write { source, ref path } => {
                Self::Unfinished { evidence: format!("cannot write {}", path.display()), problem: source }
            }
            other => other.into(),
        }
    }
}

/// An error with all its causes as one sentence.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // A transparent error has the same text as its source.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Returns a function for callbacks that can fail only with an [`io::Error`]. It stores the error that it gets in
/// `failure`, and returns an [`io::Error`] that ends the run. The caller of the run looks at `failure` first, then at
/// the result of the run.
pub(super) fn set_aside<E: std::fmt::Display>(failure: &mut Option<E>) -> impl FnOnce(E) -> io::Error {
    |error| {
        let message = error.to_string();
        *failure = Some(error);
        io::Error::other(message)
    }
}

/// Returns [`JobError::Refused`] with a message unless a condition is true.
macro_rules! ensure {
    ($condition:expr, $($sentence:tt)*) => {
        if !$condition {
            return Err($crate::jobs::JobError::Refused(format!($($sentence)*)));
        }
    };
}
pub(crate) use ensure;
