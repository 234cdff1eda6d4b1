//! Process probe: a separate process loads and tests an untrusted model before this process loads it.
//!
//! A model may never end (a `Loop`), take all memory or crash the engine, and its file does not show this. So `rscert`
//! starts itself again as `rscert probe-model`, with limits of time and memory. That process calls
//! [`OnnxModel::from_file`], as this one is about to, and reports the result. This process then loads only bytes with
//! the same SHA-256. A program that embeds this library can run `rscert inspect --json` before it loads an untrusted
//! model.

mod child;
mod process;
mod request;
mod watched;

pub(super) use child::{Arguments as ChildArguments, run};

use anyhow::{bail, ensure};
use clap::Args;
use mithridate_onnx::ModelFile;

use self::request::{Answer, Hashes, Request};
use super::device::parse_bytes;
use crate::{
    backend::{BackendError, InputOptions, OnnxModel, OnnxRuntime},
    jobs::{JobError, first_that_runs},
    memory,
};

/// Default time limit in seconds for loading and testing a model.
const SECONDS: u64 = 60;

/// Limits of the process that loads a model first.
#[derive(Args, Clone, Copy)]
pub(super) struct ProbeArguments {
    /// Time limit, in seconds, for the separate process that first loads and tests the model; 0: no such process
    #[arg(long, default_value_t = SECONDS, value_name = "S")]
    probe_seconds: u64,
    /// Memory limit of that process, such as 800M or 8G [default: three quarters of the available memory]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    probe_memory: Option<usize>,
}

impl ProbeArguments {
    /// Loads a model with the first of `options` with which it runs, after a separate process has done so.
    ///
    /// # Errors
    /// Errors of [`OnnxModel::from_file`], or the failure of that process.
    pub fn load(
        self,
        file: ModelFile,
        options: &[InputOptions],
    ) -> Result<(OnnxRuntime, OnnxModel), JobError> {
        if self.probe_seconds == 0 {
            let runtime = OnnxRuntime::load()?;
            let (_, model) = first_that_runs(&runtime, file, options)?;
            return Ok((runtime, model));
        }
        self.load_after_probe(file, options).map_err(|error| match error.downcast() {
            Ok(error) => JobError::Backend(error),
            Err(error) => JobError::Load(error.into()),
        })
    }

    fn load_after_probe(
        self,
        file: ModelFile,
        options: &[InputOptions],
    ) -> anyhow::Result<(OnnxRuntime, OnnxModel)> {
        let memory = self.probe_memory.map(|bytes| bytes as u64);
        let memory = memory.or_else(|| memory::available().map(|bytes| bytes / 4 * 3));
        let probe = process::Probe::start(&file.path, &Request::new(options, self.probe_seconds, memory))?;
        // Meanwhile this process loads the library.
        let runtime = OnnxRuntime::load()?;
        let path = file.path.display();
        let place = match probe.wait()? {
            Answer::Taken { place, hashes } => {
                ensure!(
                    hashes == Hashes::of(&file),
                    "{path} was changed while it was read; run this command again when no other program writes to this file"
                );
                place
            }
            Answer::Unsupported { problem } => {
                return Err(BackendError::Unsupported { path: file.path, problem }.into());
            }
            Answer::Refused { problem, lacks_memory: false } => bail!("{problem}"),
            Answer::Refused { problem, lacks_memory: true } => {
                return Err(process::too_little(&file.path, memory, &problem));
            }
        };
        let options = options.get(place).cloned().unwrap_or_default();
        let model = OnnxModel::from_file(&runtime, file, &options)?;
        Ok((runtime, model))
    }
}

impl Default for ProbeArguments {
    fn default() -> Self {
        Self { probe_seconds: SECONDS, probe_memory: None }
    }
}
