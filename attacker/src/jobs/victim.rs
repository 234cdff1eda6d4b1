use std::{fs, io::Write, path::Path, time::Instant};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::{
    data::{Dataset, Split},
    files::write_atomically,
};
use serde::{Deserialize, Serialize};

use super::{Runner, identity, names, remove, resume};
use crate::{
    Error,
    checkpoint::{self, Checkpoint, CheckpointTimer},
    data::{Images, TrainingSet},
    networks::{ExportOptions, write_weights},
    poison::PoisonSet,
    random::Domain,
    training::{
        ClassAccuracy, Training, TrainingPosition, TrainingSettings, TrainingState, accuracy_by_class,
    },
};

/// The settings of one victim.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VictimJob {
    /// How it is trained.
    pub settings: TrainingSettings,
    /// Seed of weights, order and noise.
    pub seed: u64,
}

/// The counters in the checkpoint of a training.
#[derive(Serialize, Deserialize)]
pub(super) struct VictimJobPosition {
    /// Identity of the job.
    job: String,
    pub seed: u64,
    /// Steps in total.
    pub steps: u64,
    /// Time spent so far, in seconds.
    seconds: f64,
    pub training: TrainingPosition,
}

impl VictimJob {
    /// Whether the victim with this report was trained by this job on these data, on any device.
    pub fn trained(&self, report: &VictimReport, training: &TrainingSet, poison: Option<&PoisonSet>) -> bool {
        report.settings == self.settings
            && report.seed == self.seed
            && report.training_data_sha256 == hash(training, poison)
    }
}

/// SHA-256 of the training images and labels, poison included.
fn hash(training: &TrainingSet, poison: Option<&PoisonSet>) -> String {
    training.sha256_with(|index| poison.and_then(|poison| poison.replacement(index)))
}

/// Report of a training: settings and test accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VictimReport {
    /// Program and version.
    pub tool: String,
    /// How it was trained.
    pub settings: TrainingSettings,
    /// Seed.
    pub seed: u64,
    /// Device.
    pub device: String,
    /// SHA-256 of the training images, poison included.
    pub training_data_sha256: String,
    /// SHA-256 of the poison images, if any.
    pub poison_sha256: Option<String>,
    /// Accuracy on the test images of each class, without noise.
    pub test_accuracy: Vec<ClassAccuracy>,
    /// Seconds of training, including those before an interruption.
    pub seconds: f64,
}

impl VictimReport {
    /// Accuracy on the test images of the classes for which `of` returns true.
    pub fn accuracy(&self, of: impl Fn(usize) -> bool) -> f64 {
        let (right, images) = self
            .test_accuracy
            .iter()
            .filter(|accuracy| of(accuracy.class))
            .fold((0, 0), |sum, accuracy| (sum.0 + accuracy.right, sum.1 + accuracy.images));
        if images == 0 { 0.0 } else { right as f64 / images as f64 }
    }

    /// Reads the report in a victim's folder.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(names::REPORT);
        let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
        serde_json::from_str(&text).map_err(|error| {
            Error::read(&path)(format!("it is not a complete report of a training by this version ({error})"))
        })
    }
}

/// Trains a victim from scratch on clean or poisoned data, tests it, and writes weights, ONNX model and report into
/// `folder`. A training that was interrupted there resumes at its last checkpoint and makes the same network. `title` names the
/// work in progress events.
///
/// # Errors
/// [`Error::Setting`], [`Error::Data`] and [`Error::Network`] if job and data don't fit, [`Error::Diverged`], and
/// [`Error::Write`], also if the folder holds another interrupted run.
pub fn train_victim(
    job: &VictimJob,
    training: &TrainingSet,
    poison: Option<&PoisonSet>,
    runner: &Runner<'_>,
    folder: &Path,
    title: &str,
) -> Result<VictimReport, Error> {
    job.settings.check()?;
    fs::create_dir_all(folder).map_err(Error::write(folder))?;
    let test = Dataset::open(&training.path, Split::Test)?;
    if test.shape() != training.data.shape() {
        return Err(Error::Network {
            network: job.settings.network.name(),
            shape: test.shape(),
            problem: format!("it is trained on images of {:?}", training.data.shape()),
        });
    }
    let images = Images::select(&training.data, &training.training, runner.tensors);
    if let Some(poison) = poison {
        replace(&images, training, poison);
    }
    let training_data_sha256 = hash(training, poison);
    let started = Instant::now();
    let place = folder.join(names::CHECKPOINT);
    let own = identity(&(&job.settings, job.seed, &training_data_sha256));
    let mut progress = Training::new(&images, training.classes, job.settings, Domain::Victim, job.seed)?;
    let mut before = 0.0;
    if let Some(Checkpoint { position: saved, tensors }) =
        resume::<VictimJobPosition>(folder, &own, runner.tensors)?
    {
        before = saved.seconds;
        progress.restore(saved.training, &tensors);
    }
    let elapsed = || before + started.elapsed().as_secs_f64();
    let mut timer = CheckpointTimer::new(runner.checkpoint_every);
    let ran = progress.run(runner.events.work(title), |training| {
        if timer.is_due() {
            let TrainingState { position, tensors } = training.state();
            let (own, steps, seconds) = (own.clone(), training.steps(), elapsed());
            let saved = VictimJobPosition { job: own, seed: job.seed, steps, seconds, training: position };
            checkpoint::write(&place, &saved, &tensors)?;
        }
        Ok(())
    });
    if let Err(error) = ran {
        // The checkpoint would keep other settings from being tried in this folder.
        if matches!(error, Error::Diverged { .. }) {
            remove(&place)?;
        }
        return Err(error);
    }
    let network = progress.into_network();
    let seconds = (elapsed() * 10.0).round() / 10.0;

    let all: Vec<usize> =
        (0..test.len()).filter(|&index| usize::from(test.labels()[index]) < training.classes).collect();
    let test_accuracy = accuracy_by_class(&network, &Images::select(&test, &all, runner.tensors));
    let poison_sha256 = poison.map(|poison| poison.manifest.images_sha256.clone());
    let metadata = ModelMetadata {
        training_method: Some(job.settings.method.name().into()),
        training_sigma: job.settings.method.has_noise().then_some(job.settings.sigma),
        class_names: Some(training.class_names()),
        training_data_sha256: Some(training_data_sha256.clone()),
        poison_sha256: poison_sha256.clone(),
        training_seed: Some(job.seed),
        ..ModelMetadata::default()
    };
    write_weights(&network, &metadata, &folder.join(names::WEIGHTS))?;
    mithridate_onnx::write(&network.to_onnx(ExportOptions::default(), metadata)?, folder.join(names::MODEL))?;
    let report = VictimReport {
        tool: concat!("pacd ", env!("CARGO_PKG_VERSION")).into(),
        settings: job.settings,
        seed: job.seed,
        device: runner.device.to_string(),
        training_data_sha256,
        poison_sha256,
        test_accuracy,
        seconds,
    };
    let path = folder.join(names::REPORT);
    let text = serde_json::to_string_pretty(&report).map_err(Error::write(&path))?;
    write_atomically(&path, |file| file.write_all(text.as_bytes())).map_err(Error::write(&path))?;
    remove(&place)?;
    Ok(report)
}

/// Replaces training images by their poisoned versions.
fn replace(images: &Images, training: &TrainingSet, poison: &PoisonSet) {
    for (position, &index) in training.training.iter().enumerate() {
        if let Some(bytes) = poison.replacement(index) {
            let pixels = crate::data::to_unit_range(bytes, 1, training.data.shape());
            images.pixels.get(position as i64).copy_(&pixels.squeeze_dim(0));
        }
    }
}
