use super::SettingsError;
use crate::{
    backend::{BackendError, UnfitValue},
    statistics::StatisticsError,
};

/// Why a certification failed.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The engine failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The vote counts are impossible, such as more votes than samples.
    #[error("no bound can be computed from the votes of input {index}")]
    Statistics {
        /// Index of the input.
        index: u64,
        /// The problem.
        source: StatisticsError,
    },
    /// An input has the wrong number of values.
    #[error("input {index} has {found} values and the model takes {expected}")]
    InputLength {
        /// Index of the input.
        index: u64,
        /// Number of values of the input.
        found: usize,
        /// Number of values that the model takes.
        expected: usize,
    },
    /// An input with values off the grid k/255, for noise that is rounded to this grid.
    #[error(
        "value {position} of input {index} is {value}, which is not k/255 for a whole k from 0 to 255; noise on that \
         grid (`exact_noise`) is for 8-bit images"
    )]
    OffGrid {
        /// Index of the input.
        index: u64,
        /// Position of the value in the input.
        position: usize,
        /// The value.
        value: f32,
    },
    /// The run was asked to stop, see [`Certifier::stop_when`](super::Certifier::stop_when).
    #[error("the run was stopped before its end")]
    Interrupted,
    /// An input with a value that is not finite, or so large that the noise would be lost in rounding.
    #[error("value {position} of input {index} is {value}, {problem}")]
    UnfitValue {
        /// Index of the input.
        index: u64,
        /// Position of the value in the input.
        position: usize,
        /// The value.
        value: f32,
        /// The problem, and advice for the user.
        problem: String,
    },
    /// The caller could not take a finished certificate, for example because its disk is full.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

impl CertifyError {
    /// The error for an input with a value to which noise can't be added.
    pub(crate) fn unfit(index: u64, UnfitValue { position, value, problem }: UnfitValue) -> Self {
        Self::UnfitValue { index, position, value, problem }
    }
}
