use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use mithridate_runtime::{
    data::{read_idx, write_idx},
    files::write_atomically,
};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Runner, names, remove};
use crate::{
    Error,
    attack::{
        Attack, AttackData, AttackImages, AttackPosition, AttackSettings, AttackState, StepReport,
        certified_acr,
    },
    checkpoint::{self, Checkpoint, CheckpointTimer},
    data::{Images, TrainingSet, round_to_bytes, to_unit_range},
    poison::Selected,
    random::Domain,
    training::Training,
};

/// The counters in the checkpoint of an attack.
#[derive(Serialize, Deserialize)]
pub(super) struct PoisonJobPosition {
    /// Identity of the job.
    job: String,
    pub seed: u64,
    pub restarts: usize,
    /// Steps of a restart.
    pub steps: usize,
    /// Number of candidates at the end.
    pub candidates: usize,
    pub attack: AttackPosition,
}

/// A candidate poison set on disk.
struct Candidate {
    restart: usize,
    step: usize,
    bytes: Vec<u8>,
}

/// An attack by bilevel optimisation, in its folder.
pub(super) struct BilevelAttack<'a> {
    /// Seed of all random numbers.
    pub seed: u64,
    /// Largest change of a pixel, ℓ∞ in \[0, 1\].
    pub epsilon: f64,
    /// Identity of the job, as in [`identity`](super::identity).
    pub identity: String,
    pub settings: &'a AttackSettings,
    pub training: &'a TrainingSet,
    pub runner: &'a Runner<'a>,
    pub folder: &'a Path,
    pub title: &'a str,
    /// Images to poison, and their bytes.
    pub indices: &'a [usize],
    pub clean: &'a [u8],
}

impl BilevelAttack<'_> {
    /// Makes the attacks that are not finished. Returns the bytes of the best candidate, N×C×H×W, and how it was selected if
    /// there are several.
    pub fn run(
        &self,
        saved: Option<Checkpoint<PoisonJobPosition>>,
    ) -> Result<(Vec<u8>, Option<Selected>), Error> {
        let images = AttackImages::select(self.training, self.settings, self.runner.tensors);
        let data = images.data();
        let mut candidates = self.candidates(data, saved)?;
        if candidates.len() == 1 {
            return Ok((candidates.remove(0).bytes, None));
        }
        let selected = self.select(data, &candidates)?;
        let chosen = candidates
            .into_iter()
            .find(|candidate| (candidate.restart, candidate.step) == (selected.restart, selected.step));
        let bytes = chosen.map(|candidate| candidate.bytes).unwrap_or_default();
        Ok((bytes, Some(selected)))
    }

    /// Makes the attacks that are not finished, and returns the candidates of all.
    fn candidates(
        &self,
        data: AttackData<'_>,
        saved: Option<Checkpoint<PoisonJobPosition>>,
    ) -> Result<Vec<Candidate>, Error> {
        let place = self.folder.join(names::CHECKPOINT);
        let mut saved = saved.map(|saved| (saved.position.attack, saved.tensors));
        if saved.is_none() {
            // Without a checkpoint, the results of a selection belong to other candidates.
            remove(&self.folder.join(names::SELECTION))?;
        }
        self.cut_log(saved.as_ref().map_or((0, 0), |(position, _)| (position.restart, position.step)))?;
        let mut timer = CheckpointTimer::new(self.runner.checkpoint_every);
        let path = self.folder.join(names::LOG);
        let mut log =
            OpenOptions::new().create(true).append(true).open(&path).map_err(Error::write(&path))?;
        for restart in saved.as_ref().map_or(0, |(position, _)| position.restart)..self.settings.restarts {
            let mut attack = match saved.take() {
                Some((position, tensors)) => {
                    self.runner
                        .events
                        .note(&format!("{}: resuming after step {}", self.title, position.step));
                    Attack::resume(data, self.settings, self.seed, &position, tensors)?
                }
                None => Attack::new(data, self.settings, self.seed, restart)?,
            };
            let snapshots = self.snapshots(attack.steps());
            let title = if restart == 0 {
                self.title.to_owned()
            } else {
                format!("{}, restart {restart}", self.title)
            };
            let outcome = attack.run(self.runner.events.work(&title), |attack, report| {
                let mut line = serde_json::to_string(report).map_err(Error::write(&path))?;
                line.push('\n');
                log.write_all(line.as_bytes()).map_err(Error::write(&path))?;
                if snapshots.contains(&attack.steps_made()) {
                    self.keep(attack, restart)?;
                }
                // Also at the end: the selection that follows may take long and be interrupted.
                if timer.is_due() || attack.steps_made() == attack.steps() {
                    let AttackState { position, tensors } = attack.state();
                    checkpoint::write(&place, &self.saved(attack.steps(), position), &tensors)?;
                }
                Ok(())
            });
            match outcome {
                // Another restart may succeed.
                Err(Error::Ineffective) if self.settings.restarts > 1 => {
                    let note = format!("{title}: no step moved the poison; this restart is left out");
                    self.runner.events.note(&note);
                    for step in snapshots {
                        remove(&self.candidate(restart, step))?;
                    }
                }
                outcome => outcome?,
            }
        }
        let steps = self.settings.total_steps(self.indices.len());
        let mut candidates = Vec::new();
        for restart in 0..self.settings.restarts {
            for step in self.snapshots(steps) {
                let path = self.candidate(restart, step);
                if path.exists() || self.settings.restarts == 1 {
                    candidates.push(Candidate { restart, step, bytes: read_idx(&path)?.bytes });
                }
            }
        }
        if candidates.is_empty() { Err(Error::Ineffective) } else { Ok(candidates) }
    }

    /// The position to save in a checkpoint of an attack of `steps` steps.
    fn saved(&self, steps: usize, attack: AttackPosition) -> PoisonJobPosition {
        let restarts = self.settings.restarts;
        let candidates = restarts * self.snapshots(steps).len();
        PoisonJobPosition { job: self.identity.clone(), seed: self.seed, restarts, steps, candidates, attack }
    }

    /// Steps after which poison is kept as a candidate.
    fn snapshots(&self, steps: usize) -> Vec<usize> {
        let count = self.settings.snapshots.min(steps);
        (1..=count).map(|part| steps * part / count).collect()
    }

    /// Path of the candidate of a restart and step.
    fn candidate(&self, restart: usize, step: usize) -> std::path::PathBuf {
        self.folder.join(names::CANDIDATES).join(format!("{restart}-{step}-images-idx4-ubyte"))
    }

    /// Writes the poison of an attack as a candidate.
    fn keep(&self, attack: &Attack<'_>, restart: usize) -> Result<(), Error> {
        let bytes = round_to_bytes(attack.poison(), self.clean, self.epsilon);
        let folder = self.folder.join(names::CANDIDATES);
        fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
        let [c, h, w] = self.training.data.shape();
        write_idx(&self.candidate(restart, attack.steps_made()), &[self.indices.len(), c, h, w], &bytes)?;
        Ok(())
    }

    /// Removes the lines of the log that the attack will write again: those from `position`, a restart and a step, on.
    fn cut_log(&self, position: (usize, usize)) -> Result<(), Error> {
        let path = self.folder.join(names::LOG);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
        let is_kept = |line: &&str| {
            serde_json::from_str::<StepReport>(line)
                .is_ok_and(|report| (report.restart, report.step) < position)
        };
        let kept: String = text.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect();
        write_atomically(&path, |file| file.write_all(kept.as_bytes())).map_err(Error::write(&path))
    }

    /// Trains networks on each candidate, certifies them on validation images, and returns the candidate with the
    /// smallest mean certified radius.
    fn select(&self, data: AttackData<'_>, candidates: &[Candidate]) -> Result<Selected, Error> {
        let path = self.folder.join(names::SELECTION);
        let before: Vec<Selected> = fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let selection = &self.settings.selection;
        let settings = self.settings.retraining();
        let mut results = Vec::new();
        for (number, candidate) in candidates.iter().enumerate() {
            let known = before
                .iter()
                .find(|known| (known.restart, known.step) == (candidate.restart, candidate.step));
            if let Some(known) = known.filter(|known| known.acr.len() == selection.victims) {
                results.push(known.clone());
                continue;
            }
            let pixels = to_unit_range(&candidate.bytes, self.indices.len(), self.training.data.shape());
            let pixels = pixels.to_device(self.runner.tensors);
            let images = Images {
                pixels: Tensor::cat(&[&data.clean.pixels, &pixels], 0),
                labels: Tensor::cat(&[&data.clean.labels, &data.target.labels], 0),
            };
            let mut acr = Vec::new();
            for victim in 0..selection.victims {
                let seed = self.seed.wrapping_add(victim as u64);
                let title = format!("trying candidate {} of {}", number + 1, candidates.len());
                let mut training = Training::new(&images, data.classes, settings, Domain::Selection, seed)?;
                training.run(self.runner.events.work(&title), |_| Ok(()))?;
                acr.push(certified_acr(
                    training.network(),
                    data.validation,
                    settings.sigma,
                    selection,
                    self.seed,
                )?);
            }
            let result = Selected { restart: candidate.restart, step: candidate.step, acr };
            results.push(result);
            let lines: Result<String, serde_json::Error> =
                results.iter().map(|result| Ok(serde_json::to_string(result)? + "\n")).collect();
            let lines = lines.map_err(Error::write(&path))?;
            write_atomically(&path, |file: &mut File| file.write_all(lines.as_bytes()))
                .map_err(Error::write(&path))?;
        }
        results
            .into_iter()
            .min_by(|a, b| a.mean_acr().total_cmp(&b.mean_acr()))
            .ok_or_else(|| Error::setting("restarts", "at least 1", &0))
    }
}
