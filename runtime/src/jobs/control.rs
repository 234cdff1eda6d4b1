use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use mithridate_onnx::ModelFile;

use super::JobError;
use crate::{
    backend::{BackendError, InputOptions, OnnxModel, OnnxRuntime},
    certify::Notices,
};

/// Hears of a job while it goes on. All methods may be called from other threads than the job's own.
pub trait Observer: Send + Sync {
    /// Something that is not in the result and no error, but that the user should know: one sentence. Settings are named
    /// in backticks.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// Work with a known number of steps begins.
    fn begin(&self, work: &Work<'_>) {
        let _ = work;
    }

    /// Steps of that work were done.
    fn advance(&self, steps: u64) {
        let _ = steps;
    }

    /// That work has ended, also by an error.
    fn end(&self) {}
}

/// Work that an [`Observer`] hears of.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// What is done, such as "certifying lenet.onnx".
    pub title: &'a str,
    /// Number of steps in all.
    pub steps: u64,
    /// Steps that an earlier, interrupted run did.
    pub done: u64,
    /// What a step is: "samples" or "inputs".
    pub unit: &'static str,
    /// File that has what is finished, if the job can be stopped and resumed.
    pub out: Option<&'a Path>,
}

/// Loads a model in the first of several ways to use its input with which it runs.
pub type LoadModel =
    Arc<dyn Fn(ModelFile, &[InputOptions]) -> Result<(OnnxRuntime, OnnxModel), JobError> + Send + Sync>;

/// How a job speaks to the program that runs it. The default hears nothing, never stops, and loads models in this process.
#[derive(Clone)]
pub struct Control {
    /// Hears of the work.
    pub observer: Arc<dyn Observer>,
    /// Ends a job with [`CertifyError::Interrupted`](crate::certify::CertifyError::Interrupted) once it is true.
    pub stop: Arc<AtomicBool>,
    /// Loads models. A model of a stranger may run for ever, take all memory or crash the engine, so a program may have a
    /// process of its own try it first, as `rscert` does.
    pub load: LoadModel,
}

/// Hears nothing.
struct Silent;

impl Observer for Silent {}

impl Default for Control {
    fn default() -> Self {
        Self {
            observer: Arc::new(Silent),
            stop: Arc::new(AtomicBool::new(false)),
            load: Arc::new(|file, options| {
                let runtime = OnnxRuntime::load()?;
                let (_, model) = first_that_runs(&runtime, file, options)?;
                Ok((runtime, model))
            }),
        }
    }
}

impl Control {
    pub(super) fn note(&self, text: &str) {
        self.observer.note(text);
    }

    /// The same for the threads of a certifier.
    pub(super) fn notices(&self) -> Notices {
        let observer = self.observer.clone();
        Arc::new(move |text: &str| observer.note(text))
    }

    /// Does work between the observer's `begin` and `end`.
    pub(super) fn during<T>(&self, work: &Work<'_>, run: impl FnOnce() -> T) -> T {
        self.observer.begin(work);
        let result = run();
        self.observer.end();
        result
    }
}

/// Loads a model in the first of `options` that does not end in a failure to run, and says which that is.
///
/// # Errors
/// [`BackendError`] of the last one.
pub(crate) fn first_that_runs(
    runtime: &OnnxRuntime,
    file: ModelFile,
    options: &[InputOptions],
) -> Result<(usize, OnnxModel), BackendError> {
    let last = options.len().saturating_sub(1);
    for (number, options) in options.iter().enumerate().take(last) {
        match OnnxModel::from_file(runtime, file.clone(), options) {
            Err(BackendError::Run { .. }) => {}
            other => return other.map(|model| (number, model)),
        }
    }
    let options = options.last().cloned().unwrap_or_default();
    OnnxModel::from_file(runtime, file, &options).map(|model| (last, model))
}
