//! What the commands and experiments do, from files to files: make poison, train a victim. Both save their state as
//! they go, and the same job on the same folder goes on where it stopped.

mod poison;
mod victim;

use std::{fs, io, path::Path, time::Duration};

use mithridate_runtime::data::sha256;
use serde::Serialize;

pub use poison::{PoisonJob, make_poison};
pub use victim::{ClassAccuracy, VictimJob, VictimReport, train_victim};

use crate::{Error, device::DeviceChoice};

/// Names of the files that jobs leave in their folders.
pub mod names {
    /// Parameters.
    pub const WEIGHTS: &str = "weights.safetensors";
    /// The exported model.
    pub const MODEL: &str = "model.onnx";
    /// How a victim was trained and what it gets right; written last.
    pub const REPORT: &str = "train.json";
    /// Run log of an attack, JSON lines.
    pub const LOG: &str = "log.jsonl";
    /// State of an interrupted run; gone when it is finished.
    pub const CHECKPOINT: &str = "checkpoint.safetensors";
    /// Poison sets to choose from, one file each.
    pub const CANDIDATES: &str = "candidates";
    /// What networks trained on each candidate came to, JSON lines.
    pub const SELECTION: &str = "selection.jsonl";
}

/// Where and how jobs run; nothing here changes what they make, but for the last bit of a sum.
#[derive(Clone, Copy, Debug)]
pub struct Runner {
    /// The device, as asked for.
    pub device: DeviceChoice,
    /// The device, ready.
    pub tensors: tch::Device,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
}

/// SHA-256 of what defines a job, to tell whether two are the same.
pub(crate) fn identity(job: &impl Serialize) -> String {
    // A setting that is no JSON does not exist: all are numbers, names and lists.
    sha256(serde_json::to_string(job).unwrap_or_default().as_bytes())
}

/// Fails if a checkpoint found in a folder belongs to another job.
fn check_identity(found: &str, expected: &str, folder: &Path) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::write(folder)(
        "it holds an interrupted run with other settings, seed or data; finish that one, remove its \
         checkpoint.safetensors, or choose another folder",
    ))
}

/// Removes a file that may be there.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        _ => Ok(()),
    }
}
