use std::{fs, path::Path};

use serde::Serialize;

use super::{bilevel, names, victim};
use crate::{Error, attack::StepReport, checkpoint};

/// An interrupted attack or training, as read from its checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "job")]
pub enum Interrupted {
    /// An attack.
    Attack {
        /// Seed of all random numbers.
        seed: u64,
        /// Number of the present restart, from 0.
        restart: usize,
        /// Restarts in total.
        restarts: usize,
        /// Steps made in the present restart.
        step: usize,
        /// Steps of a restart.
        steps: usize,
        /// Candidates that are already tried in the selection.
        tried: usize,
        /// Candidates in total.
        candidates: usize,
        /// Last line of the run log, which may be ahead of the checkpoint.
        last: Option<Box<StepReport>>,
    },
    /// A training.
    Training {
        /// Seed of weights, order and noise.
        seed: u64,
        /// Steps made.
        step: u64,
        /// Steps in total.
        steps: u64,
    },
}

/// The interrupted run in a folder; `None` if the folder has no checkpoint.
///
/// # Errors
/// [`Error::Read`] if the checkpoint is incomplete.
pub fn interrupted(folder: &Path) -> Result<Option<Interrupted>, Error> {
    let place = folder.join(names::CHECKPOINT);
    if !place.is_file() {
        return Ok(None);
    }
    let value: serde_json::Value = checkpoint::read_position(&place)?;
    let broken = |error: serde_json::Error| checkpoint::broken(&place, &error);
    if value.get("training").is_some() {
        let saved: victim::VictimJobPosition = serde_json::from_value(value).map_err(broken)?;
        let (step, steps) = (saved.training.done, saved.steps);
        return Ok(Some(Interrupted::Training { seed: saved.seed, step, steps }));
    }
    let saved: bilevel::PoisonJobPosition = serde_json::from_value(value).map_err(broken)?;
    let lines = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let log = lines(names::LOG);
    Ok(Some(Interrupted::Attack {
        seed: saved.seed,
        restart: saved.attack.restart,
        restarts: saved.restarts,
        step: saved.attack.step,
        steps: saved.steps,
        tried: lines(names::SELECTION).lines().count(),
        candidates: saved.candidates,
        // The last line may be incomplete.
        last: log.lines().rev().find_map(|line| serde_json::from_str(line).ok()).map(Box::new),
    }))
}
