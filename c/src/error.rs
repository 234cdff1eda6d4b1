use std::error::Error;

use mithridate_runtime::{
    backend::BackendError, certify::CertifyError, embed::EmbedError, setting_names::with_c_fields,
    units::UnitError,
};

/// How a call ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Ok = 0,
    /// An argument can't be used: a null pointer, a number out of range, a frame of another length.
    InvalidArgument = 1,
    /// The model or ONNX Runtime can't be loaded.
    LoadFailed = 2,
    /// The model failed while it ran, or answered a sample otherwise when it was asked again.
    RunFailed = 3,
    /// A fault of this library. The certifier can't be used any more, only freed.
    InternalError = 4,
}

/// What a call failed with: its status, and a sentence.
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

/// An error with everything that caused it, as one sentence.
fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // A transparent error says what its source says.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    with_c_fields(&text)
}

impl From<UnitError> for Failure {
    fn from(error: UnitError) -> Self {
        Self::argument(sentence(&error))
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let status = match error {
            BackendError::Run { .. } | BackendError::OutOfMemory { .. } | BackendError::Dependent { .. } => {
                Status::RunFailed
            }
            _ => Status::LoadFailed,
        };
        Self::new(status, sentence(&error))
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
