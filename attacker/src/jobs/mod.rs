//! The two long jobs of commands and experiments: make a poison set, train a victim. Both read and write files, and save
//! checkpoints; the same job on the same folder resumes at the last one.

mod bilevel;
mod interrupted;
mod poison;
mod victim;

use std::{fs, io, path::Path, time::Duration};

use mithridate_runtime::{data::sha256, files::remove_partial};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use interrupted::{Interrupted, interrupted};
pub use poison::{PoisonJob, make_poison};
pub use victim::{VictimJob, VictimReport, train_victim};

use crate::{
    Error,
    checkpoint::{self, Checkpoint},
    device::DeviceChoice,
    events::Events,
};

/// Names of the files that jobs write into their folders.
pub mod names {
    /// Weights of the network.
    pub const WEIGHTS: &str = "weights.safetensors";
    /// The exported model.
    pub const MODEL: &str = "model.onnx";
    /// Report of a training; it is written last.
    pub const REPORT: &str = "train.json";
    /// Run log of an attack, in JSON lines.
    pub const LOG: &str = "log.jsonl";
    /// State of an interrupted run; removed when the run is finished.
    pub const CHECKPOINT: &str = "checkpoint.safetensors";
    /// Folder of candidate poison sets, one file each.
    pub const CANDIDATES: &str = "candidates";
    /// Certified radii of networks trained on each candidate, in JSON lines.
    pub const SELECTION: &str = "selection.jsonl";
}

/// The device, checkpoints and events of a job. Nothing here changes results, except that another device rounds sums
/// differently.
#[derive(Clone, Copy, Debug)]
pub struct Runner<'a> {
    /// The device by name.
    pub device: DeviceChoice,
    /// The device, prepared for tensors.
    pub tensors: tch::Device,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
    /// The callback for progress and notes.
    pub events: Events<'a>,
}

/// SHA-256 of everything that defines a job: equal for equal jobs.
pub(crate) fn identity(job: &impl Serialize) -> String {
    // All settings are numbers, names and lists, so this does not fail.
    sha256(serde_json::to_string(job).unwrap_or_default().as_bytes())
}

/// Reads the checkpoint of an interrupted run; `None` if there is none. `job` is the identity that it must have.
///
/// # Errors
/// [`Error::Write`] if the run belongs to another job, [`Error::Read`] if its checkpoint is incomplete.
fn resume<T: DeserializeOwned>(
    folder: &Path,
    job: &str,
    device: tch::Device,
) -> Result<Option<Checkpoint<T>>, Error> {
    remove_partial(folder).map_err(Error::write(folder))?;
    let place = folder.join(names::CHECKPOINT);
    if !place.is_file() {
        return Ok(None);
    }
    // The identity comes first: the position of another kind of job has other fields.
    let Checkpoint { position, tensors } = checkpoint::read::<Value>(&place, device)?;
    if position.get("job").and_then(Value::as_str) != Some(job) {
        return Err(Error::write(folder)(
            "it holds an interrupted run with other settings, seed or data; finish that one, remove its \
             checkpoint.safetensors, or choose another folder",
        ));
    }
    let position = serde_json::from_value(position).map_err(|error| checkpoint::broken(&place, &error))?;
    Ok(Some(Checkpoint { position, tensors }))
}

/// Removes a file if it exists.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        _ => Ok(()),
    }
}
