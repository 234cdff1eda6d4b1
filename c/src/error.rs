use std::error::Error;

use mithridate_runtime::{
    backend::BackendError, certify::CertifyError, embed::EmbedError, setting_names::with_c_fields,
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

/// An error with all its causes as one message.
fn sentence(error: &dyn Error) -> String {
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
