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

/// Why a job could not be done. Sentences name settings in backticks, as the fields of the jobs are called.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The model, or the engine.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The model's file.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Certification.
    #[error(transparent)]
    Certify(#[from] CertifyError),
    /// Settings of certification.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A number that is not of its unit.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The noise.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// The noise of this run failed its self-test.
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
    /// An evidence file.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Numbers that nothing follows from.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Settings that do not fit each other, the model or the data.
    #[error("{0}")]
    Refused(String),
    /// Evidence could not be written any further.
    #[error(
        "{evidence}: {problem}; what is finished is in it: make room, then run the same command with `resume`"
    )]
    Unfinished {
        /// What happened.
        evidence: String,
        /// Why.
        problem: io::Error,
    },
    /// Something else went wrong while a job did `doing`.
    #[error("{doing}")]
    While {
        /// What was done, such as "cannot write run.jsonl".
        doing: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// What the program's own way to load models says.
    #[error(transparent)]
    Load(Box<dyn Error + Send + Sync>),
}

impl JobError {
    /// For a path that nothing can be written to.
    pub(crate) fn cannot_write(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::While { doing: format!("cannot write {}", path.display()), source: source.into() }
    }

    /// An error of writing evidence, with how to go on where that is all there is to it.
    pub(super) fn unwritten(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Write { source, ref path } => {
                Self::Unfinished { evidence: format!("cannot write {}", path.display()), problem: source }
            }
            other => other.into(),
        }
    }
}

/// Fails with a sentence unless a condition is true.
macro_rules! ensure {
    ($condition:expr, $($sentence:tt)*) => {
        if !$condition {
            return Err($crate::jobs::JobError::Refused(format!($($sentence)*)));
        }
    };
}
pub(crate) use ensure;
