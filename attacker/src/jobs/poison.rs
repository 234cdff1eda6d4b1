use std::{fs, path::Path};

use serde::Serialize;

use super::{
    Runner,
    bilevel::{BilevelAttack, PoisonJobPosition},
    identity, names, remove, resume,
};
use crate::{
    Error,
    attack::{AttackSettings, check_classes, check_epsilon, check_share, random_signs, watermark},
    data::TrainingSet,
    poison::{Generator, Manifest, Origin, PoisonSet},
};

/// The settings of one poison set.
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
                    "classes from 0 to 255 (a poison set can hold no others)",
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
/// resumes at its last checkpoint and makes the same poison. `title` names the work in progress events.
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
    let identity = identity(&(job, source));
    let saved = resume::<PoisonJobPosition>(folder, &identity, runner.tensors)?;
    let indices = training.to_poison(&job.target_classes, job.poisoned_share);
    let clean: Vec<u8> = indices.iter().flat_map(|&index| training.data.pixels(index)).copied().collect();
    let (bytes, selected) = match &job.generator {
        Generator::Random => (random_signs(&clean, job.epsilon, job.seed), None),
        Generator::Watermark => {
            let others: Vec<&[u8]> = training
                .training
                .iter()
                .filter(|&&index| !job.target_classes.contains(&usize::from(training.data.labels()[index])))
                .map(|&index| training.data.pixels(index))
                .collect();
            if others.is_empty() {
                return Err(Error::setting(
                    "the number of training images of other classes",
                    "at least 1",
                    &0,
                ));
            }
            let size = training.data.shape().iter().product();
            (watermark(&clean, &others, size, job.epsilon, job.seed), None)
        }
        Generator::Bilevel(settings) => {
            let (seed, epsilon) = (job.seed, job.epsilon);
            let (indices, clean) = (&indices[..], &clean[..]);
            let attack = BilevelAttack {
                seed,
                epsilon,
                identity,
                settings,
                training,
                runner,
                folder,
                title,
                indices,
                clean,
            };
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
