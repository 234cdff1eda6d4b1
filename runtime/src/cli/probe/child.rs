use std::{
    error::Error,
    io::{self, Read},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use mithridate_onnx::ModelFile;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::request::{Answer, Hashes, Request};
use crate::{
    backend::{BackendError, OnnxRuntime},
    jobs::first_that_runs,
    terminal,
};

/// Largest size of a request in bytes.
const LONGEST: u64 = 16 << 20;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The ONNX file
    model: PathBuf,
}

/// Tests a model by the request on standard input, within its limits, and writes the answer to standard output.
pub(in crate::cli) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let request: Request = serde_json::from_reader(io::stdin().lock().take(LONGEST))
        .context("`rscert` starts this command by itself to test a model; use `rscert inspect`")?;
    limit(&request)
        .context("the time and memory of the process that tests a model can't be limited; give --probe-seconds 0 to load a model that you trust without this process")?;
    let answer = answer(arguments, &request).unwrap_or_else(|error| match error {
        BackendError::Unsupported { problem, .. } => Answer::Unsupported { problem },
        error => Answer::Refused {
            lacks_memory: lacks_memory(&error),
            problem: format!("{:#}", anyhow::Error::new(error)),
        },
    });
    Ok(terminal::print(&serde_json::to_string(&answer)?)?)
}

fn answer(arguments: &Arguments, request: &Request) -> Result<Answer, BackendError> {
    let file = ModelFile::read(&arguments.model)?;
    let hashes = Hashes::of(&file);
    let (place, _) = first_that_runs(&OnnxRuntime::load()?, file, &request.options())?;
    Ok(Answer::Taken { place, hashes })
}

/// Whether memory was too small, for the engine or for reading files.
fn lacks_memory(error: &BackendError) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        let of_file = error.downcast_ref::<io::Error>();
        if of_file.is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory) {
            return true;
        }
        cause = error.source();
    }
    matches!(error, BackendError::OutOfMemory { .. })
}

/// Sets limits that this process can't raise again, and makes it end with the process that started it.
fn limit(request: &Request) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};

        set_parent_process_death_signal(Some(Signal::KILL))?;
        let parent = getppid().map(|parent| parent.as_raw_nonzero().get() as u32);
        if parent != Some(request.parent) {
            return Err(io::Error::other("the process that asked for it has ended"));
        }
    }
    // A crash leaves no core file.
    lower(Resource::Core, 0)?;
    // The parent process measures the elapsed time. This limit applies if the parent can't any more; it is wider
    // because some processor time is that of the system.
    lower(Resource::Cpu, request.seconds.saturating_mul(2).saturating_add(10))?;
    // This limits written memory, not memory that is only mapped, such as libraries.
    request.memory.map_or(Ok(()), |bytes| lower(Resource::Data, bytes))
}

/// Lowers a limit, unless it is lower already.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    Ok(setrlimit(resource, Rlimit { current: least(current), maximum: least(maximum) })?)
}
