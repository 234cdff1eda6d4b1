use std::sync::{Arc, atomic::AtomicBool};

use super::{
    Certificate, CertifyError, CountedVotes, Input, Instances, MAX_CLASSES, Notices, Prediction, Procedure,
    Settings, SettingsError, Timings, Vote, VoteRequest,
    pipeline::Pipeline,
    scheduler::{Sampled, Scheduler, SchedulerSettings, Task},
    worker::Worker,
};
use crate::{
    backend::{BackendError, Classifier, NoiseSource},
    noise::{Noise, NoiseMode},
};

/// Certifies inputs with one or several instances of a model, each on a thread of its own.
///
/// See the [crate documentation](crate) for an example.
pub struct Certifier {
    workers: Vec<Worker>,
    procedure: Procedure,
    noise: Noise,
    noise_mode: NoiseMode,
    noise_threads: usize,
    batch: usize,
    keep_votes: bool,
    stop: Option<Arc<AtomicBool>>,
    /// Whether this certifier has sampled inputs before. Of its very first input, more samples are compared.
    has_begun: bool,
}

impl Certifier {
    /// A certifier with one worker thread for each instance in `models`. `batch` is the number of noisy inputs in one
    /// call of the model.
    ///
    /// # Errors
    /// [`CertifyError::Settings`] if the settings are invalid, `models` is empty, `batch` is 0, the instances differ,
    /// or the model has too many classes; [`CertifyError::Backend`] if a worker can't be set up.
    pub fn new(models: Instances, settings: Settings, batch: usize) -> Result<Self, CertifyError> {
        let procedure = Procedure::new(settings)?;
        if models.is_empty() || batch == 0 {
            return Err(SettingsError::NoWorkers.into());
        }
        let shape = |model: &dyn Classifier| (model.input_len(), model.classes(), model.fixed_batch());
        if models.iter().any(|model| shape(model.classifier()) != shape(models[0].classifier())) {
            return Err(SettingsError::DifferentModels.into());
        }
        let classes = models[0].classifier().classes();
        if classes > MAX_CLASSES {
            return Err(SettingsError::TooManyClasses { classes }.into());
        }
        let noise = procedure.settings().noise()?;
        let mut workers = models
            .into_iter()
            .map(|model| Worker::new(model, batch))
            .collect::<Result<Vec<_>, BackendError>>()?;
        if let Some((first, others)) = workers.split_first_mut() {
            for worker in others {
                worker.compare_with(first);
            }
        }
        Ok(Self {
            workers,
            procedure,
            noise,
            noise_mode: NoiseMode::Independent,
            noise_threads: 0,
            batch,
            keep_votes: false,
            stop: None,
            has_begun: false,
        })
    }

    /// Sets whether inputs share their noise. The default is [`NoiseMode::Independent`].
    pub fn set_noise_mode(&mut self, mode: NoiseMode) {
        self.noise_mode = mode;
    }

    /// Draws noise ahead of the model on `threads` separate threads. With 0, the default, each worker draws its own
    /// noise between batches. The results are the same.
    pub fn set_noise_threads(&mut self, threads: usize) {
        self.noise_threads = threads;
    }

    /// Prepares a replay, which runs recorded samples again to verify their votes. The samples of a batch go to the
    /// model in reverse order, and one sample in 16 is compared with an answer that it gets alone. `secret` chooses
    /// these samples. It must be unpredictable ([`seed_from_os`](crate::noise::seed_from_os)), because a model could be
    /// built to answer well for samples that are known beforehand. Do not use this with the stopping rule `deadline` or
    /// with a model that adds the noise itself.
    pub fn verify_votes(&mut self, secret: u64) {
        for worker in &mut self.workers {
            worker.verification = Some(secret);
        }
    }

    /// Turns off the comparison: by default, every run answers a share of its samples again, alone and in another
    /// batch, and fails if an answer differs. Certificates assume that the answer to a sample depends on that sample
    /// alone, and only the comparison tests this. Turn it off for measurements only.
    pub fn leave_comparison_out(&mut self) {
        self.workers.iter_mut().for_each(Worker::leave_comparison_out);
    }

    /// Keeps the vote of every estimation sample and passes the votes on with each result.
    pub fn keep_votes(&mut self) {
        self.keep_votes = true;
    }

    /// Calls `notices`, from the worker threads, with each notice for the user during a run, for example that there was
    /// too little memory for a batch and smaller batches are used from now on.
    pub fn on_notice(&mut self, notices: &Notices) {
        for worker in &mut self.workers {
            worker.notices = Some(notices.clone());
        }
    }

    /// Ends a run with [`CertifyError::Interrupted`] once `stop` is true, after the batches that the model is running
    /// at that moment. Certificates passed on before are valid. Inputs in flight get no certificate. A later run over
    /// the remaining inputs gives the same certificates that this run would have given.
    ///
    /// # Example
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use mithridate_runtime::{
    ///     backend::LinearClassifier,
    ///     certify::{Certifier, CertifyError, Input, Settings},
    ///     units::Sigma,
    /// };
    /// use ndarray::array;
    ///
    /// let model = LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0]);
    /// let settings = Settings { n: 1000, ..Settings::new(Sigma::new(0.5)?, 7) };
    /// let mut certifier = Certifier::new(vec![Box::new(model)], settings, 256)?;
    /// let stop = Arc::new(AtomicBool::new(false));
    /// certifier.stop_when(&stop);
    /// let inputs = (0..100).map(|index| Input { index, label: None, image: vec![0.4] });
    /// let mut done = 0;
    /// let result = certifier.certify_all(inputs, |_| {}, |_| {
    ///     done += 1;
    ///     stop.fetch_or(done == 2, Ordering::Relaxed);
    ///     Ok(())
    /// });
    /// assert!(matches!(result, Err(CertifyError::Interrupted)));
    /// // Others may have been finished already.
    /// assert!(2 <= done && done < 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop_when(&mut self, stop: &Arc<AtomicBool>) {
        self.stop = Some(stop.clone());
        for worker in &mut self.workers {
            worker.stop = Some(stop.clone());
        }
    }

    /// Number of classes of the model.
    pub fn classes(&self) -> usize {
        self.workers[0].model().classes()
    }

    /// The time spent so far on noise, forward pass, counting and comparison, summed over all workers.
    pub fn timings(&self) -> Timings {
        let mut sum = Timings::default();
        for worker in &self.workers {
            sum += worker.timings;
        }
        sum
    }

    /// Returns the instances of the model.
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

    /// Certifies inputs. `on_samples` gets the number of samples of every finished batch. `on_certificate` gets the
    /// certificates in the order of the inputs, each after all comparisons of its samples.
    ///
    /// # Errors
    /// [`CertifyError`]. Certificates passed on before are valid.
    pub fn certify_all(
        &mut self,
        inputs: impl Iterator<Item = Input>,
        on_samples: impl FnMut(u64),
        mut on_certificate: impl FnMut(Certificate) -> std::io::Result<()>,
    ) -> Result<(), CertifyError> {
        self.certify_with_votes(inputs, on_samples, |certificate, _| on_certificate(certificate))
    }

    /// As [`certify_all`](Self::certify_all). After [`keep_votes`](Self::keep_votes), `on_certificate` also gets the
    /// vote of every estimation sample of the input, otherwise `None`.
    ///
    /// # Errors
    /// [`CertifyError`].
    pub fn certify_with_votes(
        &mut self,
        inputs: impl Iterator<Item = Input>,
        on_samples: impl FnMut(u64),
        mut on_certificate: impl FnMut(Certificate, Option<Vec<Vote>>) -> std::io::Result<()>,
    ) -> Result<(), CertifyError> {
        let procedure = self.procedure.clone();
        let task = Task::Certify(&procedure);
        let requests = inputs.map(|input| VoteRequest::of(input, procedure.settings()));
        self.sample_all(requests, task, on_samples, |sampled| {
            let (certificate, votes) = sampled.certify(&procedure)?;
            Ok(on_certificate(certificate, votes)?)
        })
    }

    /// Predicts the class of inputs from n samples each (PREDICT). `on_samples` and `on_prediction` are called as in
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
        let settings = self.procedure.settings().clone();
        let requests = inputs.map(|input| VoteRequest { n0: 0, ..VoteRequest::of(input, &settings) });
        self.sample_all(requests, Task::Predict(&settings), on_samples, |sampled| {
            Ok(on_prediction(sampled.predict(&settings)?)?)
        })
    }

    /// Counts the votes of inputs without a conclusion from them. Each request has its own seed, n0 and n; the seed,
    /// n0, n and stopping rule of the settings are not used. `on_samples` gets the number of samples of every finished
    /// batch, `on_votes` the votes of each input in the order of the requests. Replay and recertification use this.
    ///
    /// # Errors
    /// [`CertifyError`].
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use mithridate_runtime::{
    ///     backend::LinearClassifier,
    ///     certify::{Certifier, Input, Settings, VoteRequest},
    ///     units::Sigma,
    /// };
    ///
    /// let model = LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0]);
    /// let mut certifier = Certifier::new(vec![Box::new(model)], Settings::new(Sigma::new(0.5)?, 0), 256)?;
    /// let input = Input { index: 3, label: None, image: vec![2.0] };
    /// let requests = [VoteRequest { input, seed: 7, n0: 0, n: 1000 }];
    /// let mut hits = 0;
    /// certifier.count_votes(requests.into_iter(), |_| {}, |counted| {
    ///     hits = counted.estimation.by_class()[0];
    ///     Ok(())
    /// })?;
    /// assert!(hits > 990);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count_votes(
        &mut self,
        requests: impl Iterator<Item = VoteRequest>,
        on_samples: impl FnMut(u64),
        mut on_votes: impl FnMut(CountedVotes) -> std::io::Result<()>,
    ) -> Result<(), CertifyError> {
        let settings = self.procedure.settings().clone();
        self.sample_all(requests, Task::Count(&settings), on_samples, |sampled| {
            Ok(on_votes(sampled.counted())?)
        })
    }

    fn sample_all(
        &mut self,
        requests: impl Iterator<Item = VoteRequest>,
        task: Task<'_>,
        on_samples: impl FnMut(u64),
        on_sampled: impl FnMut(Sampled) -> Result<(), CertifyError>,
    ) -> Result<(), CertifyError> {
        let (values, classes) = (self.workers[0].model().input_len(), self.classes());
        let precision = self.workers[0].model().input_precision();
        // A model that adds the noise itself needs no noise threads.
        let noise_threads =
            if self.workers[0].noise_source() == NoiseSource::Engine { 0 } else { self.noise_threads };
        let first = u64::from(std::mem::replace(&mut self.has_begun, true));
        let pipeline = Pipeline::new(&mut self.workers, &self.noise, noise_threads, self.batch)?;
        let settings = SchedulerSettings {
            values,
            classes,
            blocks: pipeline.blocks(),
            keep_votes: self.keep_votes,
            noise_mode: self.noise_mode,
            precision,
            first,
        };
        let scheduler = Scheduler::new(requests, task, settings);
        pipeline.run(scheduler, self.stop.as_deref(), on_samples, on_sampled)
    }
}

#[cfg(test)]
mod tests;
