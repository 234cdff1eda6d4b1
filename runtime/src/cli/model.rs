use std::{path::PathBuf, thread};

use clap::Args;

use crate::{
    backend::{BackendError, Classifier, MAX_VALUES, OnnxClassifier, OnnxRuntime, Provider},
    certify::{Instances, Plan, plan},
    units::parse_count,
};

/// More threads than any machine has use for.
const MAX_THREADS: usize = 1024;

/// Which model to run, and how.
#[derive(Args)]
pub(super) struct ModelArguments {
    /// The classifier, an ONNX file
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// What runs it: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", value_name = "PROVIDER")]
    pub provider: Provider,
    /// Noisy inputs given to the model at once [default: the fastest, measured at the start]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>)]
    pub batch: Option<usize>,
    /// Threads to use on the processor [default: all]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>)]
    pub threads: Option<usize>,
}

/// A model ready to run in the way that was measured to be fastest.
pub(super) struct ReadyModel {
    pub runtime: OnnxRuntime,
    pub input_shape: Vec<usize>,
    pub plan: Plan,
    pub instances: Instances,
}

impl ModelArguments {
    /// Loads the model once, to know its shape before anything else is done.
    pub fn open(&self) -> Result<(OnnxRuntime, OnnxClassifier), BackendError> {
        // A file that is no model is the more helpful news than a missing library.
        mithridate_onnx::read(&self.model)?;
        let runtime = OnnxRuntime::load()?;
        let classifier = OnnxClassifier::load(&runtime, &self.model, self.provider, 1)?;
        Ok((runtime, classifier))
    }

    /// Finds the fastest way to run it.
    pub fn ready(&self, runtime: OnnxRuntime, first: OnnxClassifier) -> Result<ReadyModel, BackendError> {
        let input_shape = first.input_shape().to_vec();
        let unusable = |problem: String| BackendError::Unsupported { path: self.model.clone(), problem };
        let most = MAX_VALUES / input_shape.iter().product::<usize>();
        if let Some(batch) = self.batch.filter(|&batch| batch > most) {
            return Err(unusable(format!("--batch {batch} is too large for its inputs; use at most {most}")));
        }
        if let Some(threads) = self.threads.filter(|&threads| threads > MAX_THREADS) {
            return Err(unusable(format!("--threads {threads} is too many; use at most {MAX_THREADS}")));
        }
        let available = thread::available_parallelism().map_or(1, usize::from);
        // On a GPU one instance keeps the device busy.
        let threads = if self.provider.is_cpu() { self.threads.unwrap_or(available) } else { 1 };
        let mut first = Some(first);
        let load = |inner: usize| -> Result<Box<dyn Classifier>, BackendError> {
            match first.take().filter(|_| inner == 1) {
                Some(loaded) => Ok(Box::new(loaded)),
                None => Ok(Box::new(OnnxClassifier::load(&runtime, &self.model, self.provider, inner)?)),
            }
        };
        let (plan, instances) = plan(load, threads, self.batch)?;
        Ok(ReadyModel { runtime, input_shape, plan, instances })
    }
}
