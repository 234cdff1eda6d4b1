use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use super::names;
use crate::{
    Error,
    attack::{AttackData, check_epsilon, optimise, random_signs},
    data::{Images, TrainingSet},
    device::DeviceChoice,
    poison::{Generator, Manifest, PoisonSet, SourceData, round_to_bytes},
};

/// One poison set to make.
#[derive(Clone, Debug)]
pub struct PoisonJob {
    /// How.
    pub generator: Generator,
    /// Class to poison.
    pub target_class: usize,
    /// Largest change of a pixel, ℓ∞ in \[0, 1\].
    pub epsilon: f64,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Device.
    pub device: DeviceChoice,
}

impl PoisonJob {
    /// Whether a set was made by this job, on whatever device.
    pub fn made(&self, manifest: &Manifest) -> bool {
        (&self.generator, self.target_class, self.epsilon, self.seed)
            == (&manifest.generator, manifest.target_class, manifest.epsilon, manifest.seed)
    }
}

/// Makes a poison set in a folder, with a run log beside it if it is optimised.
///
/// # Errors
/// [`Error`]; nothing is left in the folder that could be taken for a poison set.
pub fn make_poison(
    job: &PoisonJob,
    training: &TrainingSet,
    device: tch::Device,
    folder: &Path,
) -> Result<PoisonSet, Error> {
    check_epsilon(job.epsilon)?;
    if PoisonSet::is_in(folder) {
        return Err(Error::write(folder)("it holds a poison set already; choose another folder"));
    }
    let indices = training.of_class(&training.training, job.target_class);
    if job.target_class >= training.classes || indices.is_empty() {
        let expected = format!("a class with training images (0 to {})", training.classes - 1);
        return Err(Error::setting("target_class", expected, &job.target_class));
    }
    // Known before the work starts, not after it.
    fs::create_dir_all(folder).map_err(Error::write(folder))?;
    let clean: Vec<u8> = indices.iter().flat_map(|&index| training.data.pixels(index)).copied().collect();
    let bytes = match &job.generator {
        Generator::Random => random_signs(&clean, job.epsilon, job.seed),
        Generator::Bilevel(settings) => {
            let path = folder.join(names::LOG);
            let mut log = File::create(&path).map_err(Error::write(&path))?;
            let others: Vec<usize> = training
                .training
                .iter()
                .copied()
                .filter(|index| indices.binary_search(index).is_err())
                .collect();
            let validation = training.of_class(&training.validation, job.target_class);
            let images = |indices: &[usize]| Images::select(&training.data, indices, device);
            let (clean_images, target, validation) = (images(&others), images(&indices), images(&validation));
            let data = AttackData {
                clean: &clean_images,
                target: &target.pixels,
                validation: &validation.pixels,
                classes: training.classes,
            };
            let poison = optimise(data, settings, job.seed, |report| {
                let line = serde_json::to_string(report).map_err(Error::write(&path))?;
                writeln!(log, "{line}").map_err(Error::write(&path))
            })?;
            round_to_bytes(&poison, &clean, job.epsilon)
        }
    };
    let manifest = Manifest {
        schema: String::new(),
        tool: String::new(),
        data: SourceData { images_sha256: String::new(), labels_sha256: String::new() },
        split: training.split,
        target_class: job.target_class,
        epsilon: job.epsilon,
        largest_change: 0,
        generator: job.generator.clone(),
        seed: job.seed,
        device: job.device.to_string(),
        threads: tch::get_num_threads().try_into().unwrap_or(0),
        indices,
        images_sha256: String::new(),
    };
    let mut set = PoisonSet::new(manifest, training, bytes)?;
    set.write(folder)?;
    Ok(set)
}
