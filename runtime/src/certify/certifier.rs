use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::{Mutex, mpsc},
    thread,
};

use super::{
    Certificate, Instances, Notices, Settings, SettingsError, Timings, Votes, decide,
    schedule::{Batch, Schedule},
    worker::{PieceVotes, Worker},
};
use crate::{
    backend::{BackendError, Classifier},
    noise::Role,
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
        let workers = models.into_iter().map(|model| Worker::new(model, settings.sigma, batch)).collect();
        Ok(Self { workers, settings, batch })
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
        mut on_samples: impl FnMut(u64),
        mut on_certificate: impl FnMut(Certificate) -> std::io::Result<()>,
    ) -> Result<(), CertifyError> {
        let (settings, expected, classes) =
            (self.settings, self.workers[0].model().input_len(), self.classes());
        let mut schedule = Schedule::new(inputs, settings, self.batch);
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
            let mut tally = Tally { settings, classes, open: BTreeMap::new(), finished: 0 };
            let mut under_way = 0;
            loop {
                while under_way < most_batches && tally.open.len() < MAX_OPEN_INPUTS {
                    let mut wrong = None;
                    let batch = schedule.next_batch(|number, input| {
                        if input.image.len() != expected {
                            wrong = Some((input.index, input.image.len()));
                        }
                        tally.start(number, input);
                    });
                    if let Some((index, found)) = wrong {
                        return Err(CertifyError::InputLength { index, found, expected });
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
                while let Some(certificate) = tally.next_finished()? {
                    on_certificate(certificate)?;
                }
            }
        })
    }
}

/// An input with samples under way.
struct Open {
    index: u64,
    label: Option<usize>,
    selection: Votes,
    estimation: Votes,
    samples_left: u64,
    seconds: f64,
}

/// Sorts votes to their inputs.
struct Tally {
    settings: Settings,
    classes: usize,
    open: BTreeMap<u64, Open>,
    finished: u64,
}

impl Tally {
    fn start(&mut self, number: u64, input: &Input) {
        let open = Open {
            index: input.index,
            label: input.label,
            selection: Votes::none(self.classes),
            estimation: Votes::none(self.classes),
            samples_left: self.settings.n0 + self.settings.n,
            seconds: 0.0,
        };
        self.open.insert(number, open);
    }

    fn count(&mut self, piece: &PieceVotes) {
        if let Some(open) = self.open.get_mut(&piece.input) {
            let votes = match piece.role {
                Role::Selection => &mut open.selection,
                Role::Estimation => &mut open.estimation,
            };
            votes.add(&piece.votes);
            open.samples_left -= piece.samples;
            open.seconds += piece.seconds;
        }
    }

    /// The certificate of the next input in order, once all its samples are in.
    fn next_finished(&mut self) -> Result<Option<Certificate>, CertifyError> {
        let Some(entry) = self
            .open
            .first_entry()
            .filter(|entry| *entry.key() == self.finished && entry.get().samples_left == 0)
        else {
            return Ok(None);
        };
        let Open { index, label, selection, estimation, seconds, .. } = entry.remove();
        self.finished += 1;
        let (class, p_lower, radius) = decide(&selection, &estimation, &self.settings)
            .map_err(|source| CertifyError::Statistics { index, source })?;
        Ok(Some(Certificate { index, label, class, selection, estimation, p_lower, radius, seconds }))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::{backend::LinearClassifier, units::Sigma};

    fn model() -> Box<dyn Classifier> {
        Box::new(LinearClassifier::new(array![[1.0, 0.5], [-1.0, 0.0], [0.0, -2.0]], array![0.0, 0.1, 0.0]))
    }

    fn inputs(count: u64) -> impl Iterator<Item = Input> {
        (0..count).map(|index| Input {
            index: 3 * index,
            label: Some(0),
            image: vec![0.1 * index as f32, 0.3],
        })
    }

    fn run(workers: usize, batch: usize, count: u64) -> Vec<Certificate> {
        let settings = Settings { n0: 70, n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
        let mut certifier = Certifier::new((0..workers).map(|_| model()).collect(), settings, batch).unwrap();
        let (mut certificates, mut samples) = (Vec::new(), 0);
        certifier
            .certify_all(
                inputs(count),
                |done| samples += done,
                |certificate| {
                    certificates.push(Certificate { seconds: 0.0, ..certificate });
                    Ok(())
                },
            )
            .unwrap();
        assert_eq!(samples, count * 970);
        assert_eq!(certifier.timings().samples, samples);
        certificates
    }

    #[test]
    fn certificates_depend_on_neither_batch_nor_workers() {
        let reference = run(1, 64, 7);
        assert_eq!(reference.iter().map(|c| c.index).collect::<Vec<_>>(), [0, 3, 6, 9, 12, 15, 18]);
        for (workers, batch) in [(1, 1), (1, 100), (2, 64), (3, 1000), (4, 257)] {
            assert_eq!(run(workers, batch, 7), reference, "{workers} workers, batch {batch}");
        }
    }

    #[test]
    fn an_input_is_certified_alike_alone_and_among_others() {
        let settings = Settings { n0: 70, n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
        let mut certifier = Certifier::new(vec![model()], settings, 128).unwrap();
        let alone = certifier.certify_one(&inputs(5).last().unwrap()).unwrap();
        assert_eq!(Certificate { seconds: 0.0, ..alone }, run(2, 128, 5)[4]);
    }

    #[test]
    fn the_share_of_votes_is_the_closed_form_for_a_linear_model() {
        use statrs::distribution::{ContinuousCDF, Normal};
        let model = LinearClassifier::new(array![[1.0, 2.0], [-1.0, 0.0]], array![0.2, 0.0]);
        let sigma = Sigma::new(0.7).unwrap();
        let settings = Settings { n: 200_000, ..Settings::new(sigma, 5) };
        let mut certifier = Certifier::new(vec![Box::new(model)], settings, 512).unwrap();
        let image = vec![-0.1, 0.3];
        // Difference of weights (2, 2), of biases 0.2.
        let margin: f64 = 2.0 * -0.1 + 2.0 * 0.3 + 0.2;
        let exact = Normal::standard().cdf(margin / (0.7 * 8.0_f64.sqrt()));
        let certificate = certifier.certify_one(&Input { index: 0, label: None, image }).unwrap();
        let share = certificate.estimation.by_class()[0] as f64 / 200_000.0;
        let error = (exact * (1.0 - exact) / 200_000.0).sqrt();
        assert!((share - exact).abs() < 4.0 * error, "{share} {exact}");
        assert!(certificate.p_lower < exact);
    }

    #[test]
    fn an_input_of_the_wrong_size_is_named() {
        let settings = Settings::new(Sigma::new(0.5).unwrap(), 1);
        let mut certifier = Certifier::new(vec![model()], settings, 64).unwrap();
        let error = certifier.certify_one(&Input { index: 4, label: None, image: vec![0.0; 3] }).unwrap_err();
        assert_eq!(error.to_string(), "input 4 has 3 values and the model takes 2");
    }

    /// A model that fails, and one that gives nothing but NaN.
    struct Broken(bool);

    impl Classifier for Broken {
        fn input_len(&self) -> usize {
            1
        }
        fn classes(&self) -> usize {
            2
        }
        fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
            if self.0 {
                return Err(BackendError::Run { batch: batch.len(), problem: "out of memory".into() });
            }
            logits.clear();
            logits.resize(2 * batch.len(), f32::NAN);
            Ok(())
        }
    }

    #[test]
    fn a_failing_engine_ends_the_run_with_its_words() {
        let settings = Settings::new(Sigma::new(0.5).unwrap(), 1);
        let models: Instances = vec![Box::new(Broken(true)), Box::new(Broken(true))];
        let mut certifier = Certifier::new(models, settings, 64).unwrap();
        let error = certifier.certify_one(&Input { index: 0, label: None, image: vec![0.0] }).unwrap_err();
        assert_eq!(error.to_string(), "the model failed on a batch of 64 inputs: out of memory");
    }

    /// A model with memory for so many inputs at once.
    struct SmallMemory(Box<dyn Classifier>, usize);

    impl Classifier for SmallMemory {
        fn input_len(&self) -> usize {
            self.0.input_len()
        }
        fn classes(&self) -> usize {
            self.0.classes()
        }
        fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
            let count = batch.len() / self.input_len();
            if count > self.1 {
                return Err(BackendError::OutOfMemory { batch: count, problem: "full".into() });
            }
            self.0.logits(batch, logits)
        }
    }

    #[test]
    fn too_little_memory_halves_the_batch_and_leaves_the_votes() {
        let settings = Settings { n0: 70, n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
        let mut certifier = Certifier::new(vec![Box::new(SmallMemory(model(), 10))], settings, 64).unwrap();
        let heard = std::sync::Arc::new(Mutex::new(Vec::new()));
        let list = heard.clone();
        let notices: Notices = std::sync::Arc::new(move |text| list.lock().unwrap().push(text.to_owned()));
        certifier.on_notice(&notices);
        let certificate = certifier.certify_one(&inputs(3).last().unwrap()).unwrap();
        assert_eq!(Certificate { seconds: 0.0, ..certificate }, run(1, 64, 3)[2]);
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert!(heard[2].contains("a batch of 16 inputs (full); going on with batches of 8"), "{heard:?}");
    }

    #[test]
    fn no_memory_for_a_single_input_ends_the_run() {
        let settings = Settings::new(Sigma::new(0.5).unwrap(), 1);
        let mut certifier = Certifier::new(vec![Box::new(SmallMemory(model(), 0))], settings, 64).unwrap();
        let error = certifier.certify_one(&inputs(1).last().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the memory of the machine or device is too small for a batch of 1 inputs: full"
        );
    }

    /// A model that panics.
    struct Panicking;

    impl Classifier for Panicking {
        fn input_len(&self) -> usize {
            1
        }
        fn classes(&self) -> usize {
            2
        }
        fn logits(&mut self, _: &[f32], _: &mut Vec<f32>) -> Result<(), BackendError> {
            panic!("a defect of the model")
        }
    }

    #[test]
    fn a_panicking_model_ends_the_run_with_an_error() {
        let settings = Settings::new(Sigma::new(0.5).unwrap(), 1);
        let models: Instances = vec![Box::new(Panicking), Box::new(Panicking)];
        let mut certifier = Certifier::new(models, settings, 64).unwrap();
        let error = certifier.certify_one(&Input { index: 0, label: None, image: vec![0.0] }).unwrap_err();
        assert!(error.to_string().ends_with("its thread ended unexpectedly"), "{error}");
        let models: Instances = vec![Box::new(Panicking), model()];
        assert!(Certifier::new(models, settings, 64).is_err(), "instances of different models");
    }

    #[test]
    fn logits_that_are_not_numbers_certify_nothing() {
        let settings = Settings { n: 1000, ..Settings::new(Sigma::new(0.5).unwrap(), 1) };
        let mut certifier = Certifier::new(vec![Box::new(Broken(false))], settings, 64).unwrap();
        let certificate =
            certifier.certify_one(&Input { index: 0, label: Some(0), image: vec![0.0] }).unwrap();
        assert_eq!((certificate.class, certificate.radius), (None, None));
        assert_eq!(certificate.estimation.total(), 0);
    }

    /// A model that takes exactly five inputs at once.
    struct FixedBatch(Box<dyn Classifier>);

    impl Classifier for FixedBatch {
        fn input_len(&self) -> usize {
            self.0.input_len()
        }
        fn classes(&self) -> usize {
            self.0.classes()
        }
        fn fixed_batch(&self) -> Option<usize> {
            Some(5)
        }
        fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
            assert_eq!(batch.len(), 5 * self.input_len());
            self.0.logits(batch, logits)
        }
    }

    #[test]
    fn a_fixed_batch_gives_the_same_votes() {
        let settings = Settings { n0: 70, n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
        let mut certifier = Certifier::new(vec![Box::new(FixedBatch(model()))], settings, 100).unwrap();
        let certificate = certifier.certify_one(&inputs(3).last().unwrap()).unwrap();
        assert_eq!(Certificate { seconds: 0.0, ..certificate }, run(1, 64, 3)[2]);
    }
}
