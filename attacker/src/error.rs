use std::path::PathBuf;

use mithridate_onnx::OnnxError;
use mithridate_runtime::{data::DataError, evidence::EvidenceError};

/// An error of the attacker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The chosen device can't be used.
    #[error("the device {device} can't be used: {problem}")]
    Device {
        /// The device.
        device: String,
        /// The reason, and what to do.
        problem: String,
    },
    /// A setting is out of range.
    #[error("{name} must be {expected} and is {value}")]
    Setting {
        /// Its name, as in files.
        name: &'static str,
        /// The values allowed.
        expected: String,
        /// Its value.
        value: String,
    },
    /// A data set can't be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model can't be built or written.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A file can't be read.
    #[error("cannot read {}: {problem}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
    /// A file or folder can't be written.
    #[error("cannot write {}: {problem}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
    /// A poison set contradicts its manifest or does not fit the data.
    #[error("the poison set {} can't be used: {problem}", path.display())]
    Poison {
        /// Its folder.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
    /// Training reached numbers that are not finite.
    #[error("training diverged in epoch {epoch}: the loss is {loss}; use a smaller rate")]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The loss.
        loss: f64,
    },
    /// The attack did not move the poison in any step.
    #[error(
        "the poison was not moved in any step, as the run log says; use another warm_up, a larger validation_batch, \
         a smaller beta, or another sigma"
    )]
    Ineffective,
    /// The lower level of a bilevel problem could not be solved.
    #[error(
        "the lower level could not be solved in step {step}: the norm of its gradient stays at {gradient_norm:e}, \
         above {tolerance:e}; it must be smooth and convex, and may need more Newton steps"
    )]
    Bilevel {
        /// Step on the upper level, from 0.
        step: usize,
        /// Norm of the gradient at the end.
        gradient_norm: f64,
        /// Norm that it should have reached.
        tolerance: f64,
    },
    /// A network doesn't fit the images.
    #[error("the network {network} can't take images of {shape:?}: {problem}")]
    Network {
        /// The network.
        network: &'static str,
        /// Channels, height, width.
        shape: [usize; 3],
        /// The reason.
        problem: String,
    },
    /// A figure can't be drawn.
    #[error("the figure can't be drawn: {0}")]
    Figure(String),
    /// An experiment file is wrong.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The line and the mistake in it.
        problem: String,
    },
    /// The speed of an attack can't be measured.
    #[error("{0}")]
    Measurement(String),
    /// An evidence file can't be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// libtorch could not compute something, for example because memory ran out.
    #[error("the computation failed; finished steps are kept: {0}")]
    Computation(String),
    /// A report can't be drawn.
    #[error("the report can't be drawn: {0}")]
    Report(String),
    /// There is no program to certify with.
    #[error(
        "there is no certifier at {}; build it with `cargo build --release -p mithridate-runtime`, or name another \
         program", path.display()
    )]
    NoCertifier {
        /// The path where it was expected.
        path: PathBuf,
    },
    /// The certifier can't be run or failed.
    #[error("{0}")]
    Certifier(String),
}

impl Error {
    /// The error for a panic of libtorch's bindings, which is how they report errors of libtorch.
    pub(crate) fn computation(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Self::Computation(text.lines().next().unwrap_or(text).to_owned())
    }

    /// An [`Error::Setting`].
    pub(crate) fn setting(name: &'static str, expected: impl Into<String>, value: &impl ToString) -> Self {
        Self::Setting { name, expected: expected.into(), value: value.to_string() }
    }

    /// A closure for `map_err` that makes an [`Error::Read`].
    pub(crate) fn read<E: ToString>(path: &std::path::Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |problem| Self::Read { path, problem: problem.to_string() }
    }

    /// A closure for `map_err` that makes an [`Error::Write`].
    pub(crate) fn write<E: ToString>(path: &std::path::Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |problem| Self::Write { path, problem: problem.to_string() }
    }
}
