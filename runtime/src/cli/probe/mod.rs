//! A model of a stranger is loaded and tried by a process of its own before this one loads it.
//!
//! A model may never end (a `Loop`), take all memory or crash the engine, and nobody can tell that from its file. So
//! `rscert` runs itself once more, as `rscert probe-model`, under limits of time and memory; that process does what this
//! one is about to do, [`OnnxModel::from_file`], and says how that went. What this process then loads are bytes with the
//! SHA-256 that the other one had. A program that embeds this library has no such second self: it loads models of strangers
//! after `rscert inspect --json` did.

mod child;
mod process;
mod request;

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

/// Seconds that a model of any size is loaded and tried in.
const SECONDS: u64 = 60;

/// Limits of the process that loads a model first.
#[derive(Args, Clone, Copy)]
pub(super) struct ProbeArguments {
    /// Most seconds for loading and trying the model, which a process of its own does first; 0: load it without that
    #[arg(long, default_value_t = SECONDS, value_name = "S")]
    probe_seconds: u64,
    /// Most memory for loading and trying the model, such as 800M or 8G [default: three quarters of what is available]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    probe_memory: Option<usize>,
}

impl ProbeArguments {
    /// Loads a model with the first of these options that the model runs with, once a process of its own did.
    ///
    /// # Errors
    /// What [`OnnxModel::from_file`] says, or how that process failed.
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
        // This one's library is loaded meanwhile.
        let runtime = OnnxRuntime::load()?;
        let path = file.path.display();
        let place = match probe.wait()? {
            Answer::Taken { place, hashes } => {
                ensure!(
                    hashes == Hashes::of(&file),
                    "{path} was changed while it was read; run this again once nothing writes to it"
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
