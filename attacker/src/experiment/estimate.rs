use std::time::Instant;

use tch::{Tensor, no_grad};

use super::{
    Config,
    plan::{Action, Step},
};
use crate::{
    Error,
    attack::{Attack, AttackImages, AttackSettings},
    data::{Images, TrainingSet},
    jobs::Runner,
    networks::Network,
    poison::Generator,
    random::{Domain, Purpose, Random},
    training::{Training, TrainingSettings},
};

/// Estimates the time that the steps of an experiment take on this machine, from short measurements.
pub(super) struct Costs<'a> {
    config: &'a Config,
    training: &'a TrainingSet,
    /// The training images.
    images: Images,
    runner: &'a Runner<'a>,
}

impl<'a> Costs<'a> {
    pub fn new(config: &'a Config, training: &'a TrainingSet, runner: &'a Runner) -> Self {
        let images = Images::select(&training.data, &training.training, runner.tensors);
        Self { config, training, images, runner }
    }

    /// Seconds that each step takes from its beginning; equal operations are measured once.
    ///
    /// # Errors
    /// [`Error`] if an operation fails.
    pub fn of(&self, steps: &[Step]) -> Result<Vec<f64>, Error> {
        let mut train = None;
        let mut sample = None;
        steps
            .iter()
            .map(|step| {
                Ok(match &step.action {
                    Action::Poison(_, job) => match &job.generator {
                        Generator::Bilevel(settings) => self.attack(settings)?,
                        Generator::Random | Generator::Watermark => 0.1,
                    },
                    Action::Train(_, job) => {
                        let step = match train {
                            Some(step) => step,
                            None => *train.insert(self.training_step(&job.settings)?),
                        };
                        step * (job.settings.epochs * self.images.len().div_ceil(job.settings.batch)) as f64
                    }
                    Action::Certify(_, group) => {
                        let sample = match sample {
                            Some(sample) => sample,
                            None => *sample.insert(self.sample(&self.config.victims.training)?),
                        };
                        sample * (group.inputs as u64 * (group.n + self.config.certify.n0)) as f64
                    }
                })
            })
            .collect()
    }

    /// Seconds of a training step of a victim.
    fn training_step(&self, settings: &TrainingSettings) -> Result<f64, Error> {
        let numbers: Vec<i64> = (0..settings.batch.min(self.images.len()) as i64).collect();
        let mut training = Training::new(&self.images, self.training.classes, *settings, Domain::Victim, 0)?;
        Ok(median_seconds(3, || {
            finish(&training.step(&numbers, usize::MAX / 2));
        }))
    }

    /// Seconds of an attack with all its restarts and warm-ups, and with the retraining that selects a candidate.
    fn attack(&self, settings: &AttackSettings) -> Result<f64, Error> {
        let images = AttackImages::select(self.training, settings, self.runner.tensors);
        let short = AttackSettings { warm_up: 0, networks: 1, ..settings.clone() };
        let mut attack = Attack::new(images.data(), &short, 0, 0)?;
        attack.step()?;
        let step = attack.step()?.seconds;
        // The same measurement serves for the lower level and for the retraining.
        let of_network = TrainingSettings { batch: settings.batch, ..settings.retraining() };
        let inner = self.training_step(&of_network)?;
        let renewals = attack.renewals();
        let warm_ups = settings.warm_up * (settings.networks * (settings.networks + 1) / 2 + renewals);
        let one = step * attack.steps() as f64 + inner * warm_ups as f64;
        let candidates = settings.restarts * settings.snapshots;
        let chosen = if candidates > 1 { candidates * settings.selection.victims } else { 0 };
        let retraining =
            inner * (settings.selection.epochs * self.images.len().div_ceil(settings.batch)) as f64;
        let samples = settings.selection.images as u64 * (settings.selection.samples + 100);
        let certification = if chosen > 0 { self.sample(&of_network)? * samples as f64 } else { 0.0 };
        Ok(one * settings.restarts as f64 + (retraining + certification) * chosen as f64)
    }

    /// Seconds of the forward pass for one noisy sample in a batch.
    fn sample(&self, settings: &TrainingSettings) -> Result<f64, Error> {
        const BATCH: i64 = 64;
        let random = Random::new(Domain::Victim, 0);
        let device = self.images.pixels.device();
        let network =
            Network::new(settings.network, self.images.shape(), self.training.classes, random, device)?;
        let image = self.images.pixels.narrow(0, 0, 1);
        let mut size = image.size();
        size[0] = BATCH;
        let mut key = 0;
        let seconds = median_seconds(5, || {
            key += 1;
            let noise = random.normal(Purpose::ValidationNoise, key, &size, device);
            finish(&no_grad(|| network.forward(&(&image + noise))));
        });
        Ok(seconds / BATCH as f64)
    }
}

/// Waits until a tensor is computed.
fn finish(tensor: &Tensor) {
    let _ = tensor.sum(tch::Kind::Double).double_value(&[]);
}

/// Median seconds of `runs` runs, after one to warm up.
fn median_seconds(runs: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_unstable_by(f64::total_cmp);
    seconds[runs / 2]
}
