use std::error::Error;

use mithridate_runtime::{
    backend::BackendError,
    certify::{CertifyError, SettingsError},
    embed::EmbedError,
    jobs::{JobError, in_full},
    setting_names::with_c_fields,
    units::UnitError,
};

/// Result of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Success.
    Ok = 0,
    /// An argument is invalid: a null pointer, a number out of range, a frame of the wrong length.
    InvalidArgument = 1,
    /// The model or ONNX Runtime can't be loaded.
    LoadFailed = 2,
    /// The model failed while it ran, or gave another answer when a sample was run again.
    RunFailed = 3,
    /// A fault of this library. The certifier can only be freed.
    InternalError = 4,
    /// A file can't be read or written, or does not hold what it should.
    FileFailed = 5,
    /// The observer stopped the job.
    Stopped = 6,
}

/// A failed call: its status and a message.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    pub status: Status,
    text: String,
}

impl Failure {
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub fn argument(text: impl Into<String>) -> Self {
        Self::new(Status::InvalidArgument, text)
    }
}

/// An error with all its causes as one sentence, with fields of `mithridate_options` in place of settings.
fn sentence(error: &dyn Error) -> String {
    with_c_fields(&in_full(error))
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::argument(sentence(&error))
    }
}

impl From<UnitError> for Failure {
    fn from(error: UnitError) -> Self {
        Self::argument(sentence(&error))
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::new(status_of(&error), sentence(&error))
    }
}

fn status_of(error: &BackendError) -> Status {
    match error {
        BackendError::Run { .. } | BackendError::OutOfMemory { .. } | BackendError::Dependent { .. } => {
            Status::RunFailed
        }
        _ => Status::LoadFailed,
    }
}

/// Settings of jobs are named as they are: they are the keywords that the caller wrote.
impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let status = match &error {
            JobError::Backend(error) | JobError::Certify(CertifyError::Backend(error)) => status_of(error),
            JobError::Onnx(_) | JobError::Load(_) => Status::LoadFailed,
            JobError::Certify(CertifyError::Interrupted) => Status::Stopped,
            JobError::Certify(CertifyError::Output(_))
            | JobError::Data(_)
            | JobError::Evidence(_)
            | JobError::Signature(_)
            | JobError::Unfinished { .. }
            | JobError::While { .. } => Status::FileFailed,
            JobError::SelfTest(_) => Status::RunFailed,
            JobError::Certify(_)
            | JobError::Settings(_)
            | JobError::Unit(_)
            | JobError::Noise(_)
            | JobError::Statistics(_)
            | JobError::Refused(_) => Status::InvalidArgument,
        };
        Self::new(status, in_full(&error))
    }
}

impl From<EmbedError> for Failure {
    fn from(error: EmbedError) -> Self {
        match error {
            EmbedError::Certify(CertifyError::Backend(error)) => error.into(),
            EmbedError::Certify(
                error @ (CertifyError::Settings(_)
                | CertifyError::InputLength { .. }
                | CertifyError::OffGrid { .. }
                | CertifyError::UnfitValue { .. }),
            ) => Self::argument(sentence(&error)),
            EmbedError::Rule(_) => Self::argument(sentence(&error)),
            error => Self::new(Status::InternalError, sentence(&error)),
        }
    }
}
