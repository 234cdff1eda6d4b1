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

use super::{Runner, identity, names, remove, resume};
use crate::{
    Error,
    attack::{
        Attack, AttackData, AttackImages, AttackPosition, AttackSettings, AttackState, StepReport,
        certified_acr, check_classes, check_epsilon, check_share, random_signs, watermark,
    },
    checkpoint::{self, Checkpoint, Clock},
    data::{Images, TrainingSet, round_to_bytes, to_unit_range},
    poison::{Generator, Manifest, Origin, PoisonSet, Selected},
    random::Domain,
    training::Training,
};

/// One poison set to make.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoisonJob {
    /// How the poison is made.
    pub generator: Generator,
    /// Classes to poison.
    pub target_classes: Vec<usize>,
    /// Share of their training images to poison.
    pub poisoned_share: f64,
    /// Largest change of a pixel, ℓ∞ in \[0, 1\].
    pub epsilon: f64,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// The counters in the checkpoint of an attack.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
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

/// The bytes of poisoned images, and the candidate they are if one was selected.
struct Made {
    bytes: Vec<u8>,
    selected: Option<Selected>,
}

impl Made {
    /// Images that were not selected from candidates.
    fn only(bytes: Vec<u8>) -> Self {
        Self { bytes, selected: None }
    }
}

/// A candidate poison set on disk.
struct Candidate {
    restart: usize,
    step: usize,
    bytes: Vec<u8>,
}

impl PoisonJob {
    /// A job with the target classes, share and ε of an attack's settings.
    pub fn with(generator: Generator, settings: &AttackSettings, seed: u64) -> Self {
        let AttackSettings { target_classes, poisoned_share, epsilon, .. } = settings;
        let (poisoned_share, epsilon) = (*poisoned_share, *epsilon);
        Self { generator, target_classes: target_classes.clone(), poisoned_share, epsilon, seed }
    }

    /// Whether the set with this manifest was made by this job, on any device.
    pub fn made(&self, manifest: &Manifest) -> bool {
        let Origin { generator, target_classes, poisoned_share, epsilon, seed, .. } = &manifest.origin;
        let (poisoned_share, epsilon, seed) = (*poisoned_share, *epsilon, *seed);
        *self
            == Self {
                generator: generator.clone(),
                target_classes: target_classes.clone(),
                poisoned_share,
                epsilon,
                seed,
            }
    }

    /// Checks that the job can be done on these data.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self, training: &TrainingSet) -> Result<(), Error> {
        check_epsilon(self.epsilon)?;
        check_share("poisoned_share", self.poisoned_share)?;
        check_classes(&self.target_classes, training.classes)?;
        for &class in &self.target_classes {
            if class > usize::from(u8::MAX) {
                return Err(Error::setting(
                    "target_classes",
                    "classes from 0 to 255, which a poison set can hold",
                    &class,
                ));
            }
            if training.of_classes(&training.training, &[class]).is_empty() {
                let expected = "classes with training images";
                return Err(Error::setting("target_classes", expected, &class));
            }
        }
        match &self.generator {
            Generator::Bilevel(settings) => settings.check(training.classes),
            Generator::Random | Generator::Watermark => Ok(()),
        }
    }
}

/// Makes a poison set in `folder`, and a run log if it is made by optimisation. An attack that was interrupted there
/// resumes at its last checkpoint and makes the same poison. `title` names the task in progress events.
///
/// # Errors
/// [`Error::Setting`] if the job does not fit the data, [`Error::Write`] if the folder holds a poison set or another
/// interrupted run, [`Error::Ineffective`] if the attack moved nothing, and all errors of the steps in between. After an
/// error the folder holds no manifest.
pub fn make_poison(
    job: &PoisonJob,
    training: &TrainingSet,
    runner: &Runner<'_>,
    folder: &Path,
    title: &str,
) -> Result<PoisonSet, Error> {
    job.check(training)?;
    if PoisonSet::is_in(folder) {
        return Err(Error::write(folder)("it holds a poison set already; choose another folder"));
    }
    // Fails now rather than after hours of work.
    fs::create_dir_all(folder).map_err(Error::write(folder))?;
    let source = (&training.data.images_sha256, &training.data.labels_sha256, training.split);
    let own = identity(&(job, source));
    let saved = resume(folder, &own, runner.tensors)?;
    let indices = training.to_poison(&job.target_classes, job.poisoned_share);
    let clean: Vec<u8> = indices.iter().flat_map(|&index| training.data.pixels(index)).copied().collect();
    let Made { bytes, selected } = match &job.generator {
        Generator::Random => Made::only(random_signs(&clean, job.epsilon, job.seed)),
        Generator::Watermark => {
            let others: Vec<&[u8]> = training
                .training
                .iter()
                .filter(|&&index| !job.target_classes.contains(&usize::from(training.data.labels()[index])))
                .map(|&index| training.data.pixels(index))
                .collect();
            if others.is_empty() {
                return Err(Error::setting("the number of other training images", "at least 1", &0));
            }
            let size = training.data.shape().iter().product();
            Made::only(watermark(&clean, &others, size, job.epsilon, job.seed))
        }
        Generator::Bilevel(settings) => {
            let (indices, clean) = (&indices[..], &clean[..]);
            let attack = Bilevel { job, own, settings, training, runner, folder, title, indices, clean };
            attack.run(saved).inspect_err(|error| {
                // The checkpoint would keep other settings from being tried in this folder.
                if matches!(error, Error::Ineffective) {
                    let _ = remove(&folder.join(names::CHECKPOINT));
                }
            })?
        }
    };
    let origin = Origin {
        target_classes: job.target_classes.clone(),
        poisoned_share: job.poisoned_share,
        epsilon: job.epsilon,
        generator: job.generator.clone(),
        selected,
        seed: job.seed,
        device: runner.device.to_string(),
        threads: tch::get_num_threads().try_into().unwrap_or(0),
        indices,
    };
    let mut set = PoisonSet::new(origin, training, bytes)?;
    set.write(folder, training)?;
    remove(&folder.join(names::CHECKPOINT))?;
    Ok(set)
}

/// An attack by bilevel optimisation, in its folder.
struct Bilevel<'a> {
    job: &'a PoisonJob,
    /// Identity of the job.
    own: String,
    settings: &'a AttackSettings,
    training: &'a TrainingSet,
    runner: &'a Runner<'a>,
    folder: &'a Path,
    title: &'a str,
    /// Images to poison, and their bytes.
    indices: &'a [usize],
    clean: &'a [u8],
}

impl Bilevel<'_> {
    fn run(&self, saved: Option<Checkpoint<Saved>>) -> Result<Made, Error> {
        let images = AttackImages::select(self.training, self.settings, self.runner.tensors);
        let data = images.data();
        let mut candidates = self.candidates(data, saved)?;
        if candidates.len() == 1 {
            return Ok(Made::only(candidates.remove(0).bytes));
        }
        let selected = self.select(data, &candidates)?;
        let chosen = candidates
            .into_iter()
            .find(|candidate| (candidate.restart, candidate.step) == (selected.restart, selected.step));
        let bytes = chosen.map(|candidate| candidate.bytes).unwrap_or_default();
        Ok(Made { bytes, selected: Some(selected) })
    }

    /// Makes the attacks that are not finished, and returns the candidates of all.
    fn candidates(
        &self,
        data: AttackData<'_>,
        saved: Option<Checkpoint<Saved>>,
    ) -> Result<Vec<Candidate>, Error> {
        let place = self.folder.join(names::CHECKPOINT);
        let mut saved = saved.map(|saved| (saved.position.attack, saved.tensors));
        if saved.is_none() {
            // Without a checkpoint, the results of a selection belong to other candidates.
            remove(&self.folder.join(names::SELECTION))?;
        }
        self.cut_log(saved.as_ref().map_or((0, 0), |(position, _)| (position.restart, position.step)))?;
        let mut clock = Clock::new(self.runner.checkpoint_every);
        let path = self.folder.join(names::LOG);
        let mut log =
            OpenOptions::new().create(true).append(true).open(&path).map_err(Error::write(&path))?;
        for restart in saved.as_ref().map_or(0, |(position, _)| position.restart)..self.settings.restarts {
            let mut attack = match saved.take() {
                Some((position, tensors)) => {
                    self.runner
                        .events
                        .note(&format!("{}: going on after step {}", self.title, position.step));
                    Attack::resume(data, self.settings, self.job.seed, &position, tensors)?
                }
                None => Attack::new(data, self.settings, self.job.seed, restart)?,
            };
            let snapshots = self.snapshots(attack.steps());
            let title = if restart == 0 {
                self.title.to_owned()
            } else {
                format!("{}, restart {restart}", self.title)
            };
            let outcome = attack.run(self.runner.events.task(&title), |attack, report| {
                let mut line = serde_json::to_string(report).map_err(Error::write(&path))?;
                line.push('\n');
                log.write_all(line.as_bytes()).map_err(Error::write(&path))?;
                if snapshots.contains(&attack.steps_made()) {
                    self.keep(attack, restart)?;
                }
                // Also at the end: the selection that follows may take long and be interrupted.
                if clock.is_due() || attack.steps_made() == attack.steps() {
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

    fn saved(&self, steps: usize, attack: AttackPosition) -> Saved {
        let restarts = self.settings.restarts;
        let candidates = restarts * self.snapshots(steps).len();
        Saved { job: self.own.clone(), seed: self.job.seed, restarts, steps, candidates, attack }
    }

    /// Steps after which poison is kept as a candidate.
    fn snapshots(&self, steps: usize) -> Vec<usize> {
        let count = self.settings.snapshots.min(steps);
        (1..=count).map(|part| steps * part / count).collect()
    }

    fn candidate(&self, restart: usize, step: usize) -> std::path::PathBuf {
        self.folder.join(names::CANDIDATES).join(format!("{restart}-{step}-images-idx4-ubyte"))
    }

    fn keep(&self, attack: &Attack<'_>, restart: usize) -> Result<(), Error> {
        let bytes = round_to_bytes(attack.poison(), self.clean, self.job.epsilon);
        let folder = self.folder.join(names::CANDIDATES);
        fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
        let [c, h, w] = self.training.data.shape();
        write_idx(&self.candidate(restart, attack.steps_made()), &[self.indices.len(), c, h, w], &bytes)?;
        Ok(())
    }

    /// Removes the lines of the log that the run will write again: those from restart and step `position` on.
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
                let seed = self.job.seed.wrapping_add(victim as u64);
                let title = format!("trying candidate {} of {}", number + 1, candidates.len());
                let mut training = Training::new(&images, data.classes, settings, Domain::Selection, seed)?;
                training.run(self.runner.events.task(&title), |_| Ok(()))?;
                acr.push(certified_acr(
                    training.network(),
                    data.validation,
                    settings.sigma,
                    selection,
                    self.job.seed,
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
