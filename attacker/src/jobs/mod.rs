//! What the commands and experiments do, from files to files: make poison, train a victim. Both save their state as
//! they go, and the same job on the same folder goes on where it stopped.

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
pub struct Runner<'a> {
    /// The device, as asked for.
    pub device: DeviceChoice,
    /// The device, ready.
    pub tensors: tch::Device,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
    /// Who is told of progress.
    pub events: Events<'a>,
}

/// SHA-256 of what defines a job, to tell whether two are the same.
pub(crate) fn identity(job: &impl Serialize) -> String {
    // A setting that is no JSON does not exist: all are numbers, names and lists.
    sha256(serde_json::to_string(job).unwrap_or_default().as_bytes())
}

/// Where an interrupted run in a folder stands, with its tensors; none if there is no checkpoint.
///
/// # Errors
/// [`Error::Write`] if the run belongs to another job, [`Error::Read`] if its checkpoint is not whole.
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
    // Whose it is comes first: another kind of job says where it stands in other words.
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

/// Removes a file that may be there.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        _ => Ok(()),
    }
}
