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

/// Receives notes and progress of a job while it runs. All methods may be called from any thread.
pub trait Observer: Send + Sync {
    /// A note for the user that is neither an error nor part of the result: one sentence. Settings are named in
    /// backticks.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// Work with a known number of steps begins.
    fn begin(&self, work: &Work<'_>) {
        let _ = work;
    }

    /// `steps` more steps of that work were done.
    fn advance(&self, steps: u64) {
        let _ = steps;
    }

    /// That work has ended, successfully or by an error.
    fn end(&self) {}
}

/// Work whose progress an [`Observer`] receives.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// Title for the user, such as "certifying lenet.onnx".
    pub title: &'a str,
    /// Total number of steps.
    pub steps: u64,
    /// Number of steps that an earlier, interrupted run did.
    pub done: u64,
    /// Unit of the steps: "samples" or "inputs".
    pub unit: &'static str,
    /// File with the finished part, if the job can be stopped and resumed.
    pub out: Option<&'a Path>,
}

/// A function that loads a model with the first of several [`InputOptions`] with which it runs.
pub type LoadModel =
    Arc<dyn Fn(ModelFile, &[InputOptions]) -> Result<(OnnxRuntime, OnnxModel), JobError> + Send + Sync>;

/// Connects a job with the program that runs it. The default has no observer, never stops the job, and loads models in
/// this process.
#[derive(Clone)]
pub struct Control {
    /// Receives notes and progress.
    pub observer: Arc<dyn Observer>,
    /// Stops a job with [`CertifyError::Interrupted`](crate::certify::CertifyError::Interrupted) once it is true.
    pub stop: Arc<AtomicBool>,
    /// Loads models. An untrusted model may never end, take all memory or crash the engine. So a program may test it in
    /// a separate process first, as `rscert` does.
    pub load: LoadModel,
}

/// An observer that ignores everything.
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

    /// The notes as a callback for the threads of a certifier.
    pub(super) fn notices(&self) -> Notices {
        let observer = self.observer.clone();
        Arc::new(move |text: &str| observer.note(text))
    }

    /// Calls `run` between the observer's `begin` and `end`.
    pub(super) fn during<T>(&self, work: &Work<'_>, run: impl FnOnce() -> T) -> T {
        self.observer.begin(work);
        let result = run();
        self.observer.end();
        result
    }
}

/// Loads a model with the first of `options` with which it runs. Returns the index of these options and the model.
///
/// # Errors
/// [`BackendError`] of the last of `options`, or the first error other than [`BackendError::Run`].
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
