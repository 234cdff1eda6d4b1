use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::{Mutex, mpsc},
    thread,
};

use super::{
    Certificate, Instances, Notices, Prediction, Settings, SettingsError, Timings, Votes, decide, predict,
    schedule::{Batch, Phase, Schedule},
    worker::{PieceVotes, Worker},
};
use crate::{
    backend::{BackendError, Classifier},
    noise::{Distribution, NoiseMode, Role, off_grid},
    statistics::StatisticsError,
};

/// Inputs that may be under way at once, so that memory does not grow with the number of inputs.
const MAX_OPEN_INPUTS: usize = 1024;

/// An input to certify.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Index in its data set: part of the key of its noise.
    pub index: u64,
    /// True class, if known.
    pub label: Option<usize>,
    /// Values in units of the data set.
    pub image: Vec<f32>,
}

/// What can go wrong during certification.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// The settings are no good.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The engine failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The votes can't be right.
    #[error("the votes of input {index} prove nothing")]
    Statistics {
        /// Index of the input.
        index: u64,
        /// What is wrong.
        source: StatisticsError,
    },
    /// An input has the wrong number of values.
    #[error("input {index} has {found} values and the model takes {expected}")]
    InputLength {
        /// Index of the input.
        index: u64,
        /// Values it has.
        found: usize,
        /// Values the model takes.
        expected: usize,
    },
    /// An input that noise on the grid can't be added to.
    #[error(
        "value {position} of input {index} is {value}, which is not k/255 for a whole k from 0 to 255; noise on that \
         grid (--exact-noise) is for 8-bit images"
    )]
    OffGrid {
        /// Index of the input.
        index: u64,
        /// Place of the value.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A finished certificate could not be handed on, such as to a full disk.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// Certifies inputs with one or several instances of a model, each on a thread of its own.
///
/// See the [crate documentation](crate) for an example.
pub struct Certifier {
    workers: Vec<Worker>,
    settings: Settings,
    noise_mode: NoiseMode,
    batch: usize,
}

impl Certifier {
    /// `batch` is the number of noisy inputs the model is given at once.
    ///
    /// # Errors
    /// [`CertifyError::Settings`].
    pub fn new(models: Instances, settings: Settings, batch: usize) -> Result<Self, CertifyError> {
        settings.check()?;
        if models.is_empty() || batch == 0 {
            return Err(SettingsError::NoWorkers.into());
        }
        let shape = |model: &dyn Classifier| (model.input_len(), model.classes(), model.fixed_batch());
        if models.iter().any(|model| shape(&**model) != shape(&*models[0])) {
            return Err(SettingsError::DifferentModels.into());
        }
        let noise = settings.noise()?;
        let workers = models.into_iter().map(|model| Worker::new(model, noise.clone(), batch)).collect();
        Ok(Self { workers, settings, noise_mode: NoiseMode::Independent, batch })
    }

    /// Which inputs get which noise; independent noise unless said otherwise.
    pub fn set_noise_mode(&mut self, mode: NoiseMode) {
        self.noise_mode = mode;
    }

    /// `notices` hears, from the threads of the workers, what the user should know while a run goes on: that memory
    /// was too small for a batch and smaller ones are used.
    pub fn on_notice(&mut self, notices: &Notices) {
        for worker in &mut self.workers {
            worker.notices = Some(notices.clone());
        }
    }

    /// Number of classes of the model.
    pub fn classes(&self) -> usize {
        self.workers[0].model().classes()
    }

    /// Where the time of all workers went so far.
    pub fn timings(&self) -> Timings {
        let mut sum = Timings::default();
        for worker in &self.workers {
            sum += worker.timings;
        }
        sum
    }

    /// Gives the instances of the model back.
    pub fn into_models(self) -> Instances {
        self.workers.into_iter().map(Worker::into_model).collect()
    }

    /// Certifies one input.
    ///
    /// # Errors
    /// [`CertifyError`].
    pub fn certify_one(&mut self, input: &Input) -> Result<Certificate, CertifyError> {
        let mut certificate = None;
        self.certify_all(
            std::iter::once(input.clone()),
            |_| {},
            |done| {
                certificate = Some(done);
                Ok(())
            },
        )?;
        certificate.ok_or(CertifyError::Settings(SettingsError::NoWorkers))
    }

    /// Certifies inputs; `on_samples` hears of every batch of samples done, `on_certificate` gets each certificate
    /// in the order of the inputs.
    ///
    /// # Errors
    /// [`CertifyError`]; certificates handed on before are good.
    pub fn certify_all(
        &mut self,
        inputs: impl Iterator<Item = Input>,
        on_samples: impl FnMut(u64),
        mut on_certificate: impl FnMut(Certificate) -> std::io::Result<()>,
    ) -> Result<(), CertifyError> {
        let settings = self.settings;
        let phases = vec![(Role::Selection, settings.n0), (Role::Estimation, settings.n)];
        self.sample_all(inputs, phases, on_samples, |sampled| {
            let Sampled { index, label, first: selection, last: estimation, seconds, .. } = sampled;
            let (class, p_lower, radius) = decide(&selection, &estimation, &settings)
                .map_err(|source| CertifyError::Statistics { index, source })?;
            Ok(on_certificate(Certificate {
                index,
                label,
                class,
                selection,
                estimation,
                p_lower,
                radius,
                seconds,
            })?)
        })
    }

    /// Predicts the class of inputs by n samples each (PREDICT); `on_samples` and `on_prediction` as for
    /// [`certify_all`](Self::certify_all).
    ///
    /// # Errors
    /// [`CertifyError`].
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use mithridate_runtime::{
    ///     backend::LinearClassifier,
    ///     certify::{Certifier, Input, Settings},
    ///     units::Sigma,
    /// };
    ///
    /// let model = LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0]);
    /// let settings = Settings { n: 1000, ..Settings::new(Sigma::new(0.5)?, 7) };
    /// let mut certifier = Certifier::new(vec![Box::new(model)], settings, 256)?;
    /// let inputs = [0.4, 0.0].map(|value| Input { index: 0, label: None, image: vec![value] });
    /// let mut classes = Vec::new();
    /// certifier.predict_all(inputs.into_iter(), |_| {}, |prediction| {
    ///     classes.push(prediction.class);
    ///     Ok(())
    /// })?;
    /// // The second input lies on the boundary: both classes are equally likely.
    /// assert_eq!(classes, [Some(0), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn predict_all(
        &mut self,
        inputs: impl Iterator<Item = Input>,
        on_samples: impl FnMut(u64),
        mut on_prediction: impl FnMut(Prediction) -> std::io::Result<()>,
    ) -> Result<(), CertifyError> {
        let settings = self.settings;
        self.sample_all(inputs, vec![(Role::Prediction, settings.n)], on_samples, |sampled| {
            let Sampled { index, label, last: votes, seconds, .. } = sampled;
            let (class, p_value) = predict(&votes, settings.n, settings.alpha)
                .map_err(|source| CertifyError::Statistics { index, source })?;
            Ok(on_prediction(Prediction { index, label, class, votes, p_value, seconds })?)
        })
    }

    /// Counts the votes of every phase of every input and hands them on in the order of the inputs.
    fn sample_all(
        &mut self,
        inputs: impl Iterator<Item = Input>,
        phases: Vec<Phase>,
        mut on_samples: impl FnMut(u64),
        mut on_sampled: impl FnMut(Sampled) -> Result<(), CertifyError>,
    ) -> Result<(), CertifyError> {
        let (settings, expected, classes) =
            (self.settings, self.workers[0].model().input_len(), self.classes());
        let samples = phases.iter().map(|(_, samples)| samples).sum();
        let mut schedule = Schedule::new(inputs, phases, (settings.seed, self.noise_mode), self.batch);
        let most_batches = self.workers.len() + 1;
        let (to_workers, batches) = mpsc::sync_channel::<Batch>(most_batches);
        let (to_here, results) = mpsc::channel::<Result<Vec<PieceVotes>, BackendError>>();
        let batches = Mutex::new(batches);
        thread::scope(|scope| {
            for worker in &mut self.workers {
                let (batches, to_here) = (&batches, to_here.clone());
                scope.spawn(move || {
                    loop {
                        let Ok(Ok(batch)) = batches.lock().map(|queue| queue.recv()) else { return };
                        // A model that panics must end the run with an error, not leave it waiting for the batch.
                        let result = panic::catch_unwind(AssertUnwindSafe(|| worker.run(&batch)));
                        let result = result.unwrap_or_else(|_| {
                            let problem = "its thread ended unexpectedly".to_owned();
                            Err(BackendError::Run { batch: batch.samples, problem })
                        });
                        if to_here.send(result).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(to_here);
            let to_workers = to_workers;
            let mut tally = Tally { samples, classes, open: BTreeMap::new(), finished: 0 };
            let mut under_way = 0;
            loop {
                while under_way < most_batches && tally.open.len() < MAX_OPEN_INPUTS {
                    let mut wrong = None;
                    let batch = schedule.next_batch(|number, input| {
                        wrong = wrong.take().or_else(|| check(input, expected, settings.distribution).err());
                        tally.start(number, input);
                    });
                    if let Some(wrong) = wrong {
                        return Err(wrong);
                    }
                    let Some(batch) = batch else { break };
                    if to_workers.send(batch).is_err() {
                        break;
                    }
                    under_way += 1;
                }
                if under_way == 0 {
                    return Ok(());
                }
                let Ok(result) = results.recv() else { return Ok(()) };
                under_way -= 1;
                let pieces = result?;
                on_samples(pieces.iter().map(|piece| piece.samples).sum());
                for piece in pieces {
                    tally.count(&piece);
                }
                while let Some(sampled) = tally.next_finished() {
                    on_sampled(sampled)?;
                }
            }
        })
    }
}

/// Refuses an input that the model or the noise can't be given.
fn check(input: &Input, expected: usize, distribution: Distribution) -> Result<(), CertifyError> {
    let Input { index, image, .. } = input;
    if image.len() != expected {
        return Err(CertifyError::InputLength { index: *index, found: image.len(), expected });
    }
    if distribution == Distribution::QuantizedGaussian
        && let Some(position) = off_grid(image)
    {
        return Err(CertifyError::OffGrid { index: *index, position, value: image[position] });
    }
    Ok(())
}

/// An input whose samples are under way, or all in.
struct Sampled {
    index: u64,
    label: Option<usize>,
    /// Votes of the selection samples.
    first: Votes,
    /// Votes of the other samples.
    last: Votes,
    samples_left: u64,
    seconds: f64,
}

/// Sorts votes to their inputs.
struct Tally {
    samples: u64,
    classes: usize,
    open: BTreeMap<u64, Sampled>,
    finished: u64,
}

impl Tally {
    fn start(&mut self, number: u64, input: &Input) {
        let open = Sampled {
            index: input.index,
            label: input.label,
            first: Votes::none(self.classes),
            last: Votes::none(self.classes),
            samples_left: self.samples,
            seconds: 0.0,
        };
        self.open.insert(number, open);
    }

    fn count(&mut self, piece: &PieceVotes) {
        if let Some(open) = self.open.get_mut(&piece.input) {
            let votes = match piece.role {
                Role::Selection => &mut open.first,
                Role::Estimation | Role::Prediction => &mut open.last,
            };
            votes.add(&piece.votes);
            open.samples_left -= piece.samples;
            open.seconds += piece.seconds;
        }
    }

    /// The next input in order, once all its samples are in.
    fn next_finished(&mut self) -> Option<Sampled> {
        let entry = self
            .open
            .first_entry()
            .filter(|entry| *entry.key() == self.finished && entry.get().samples_left == 0)?;
        self.finished += 1;
        Some(entry.remove())
    }
}

#[cfg(test)]
mod tests;
