use std::{num::NonZeroUsize, path::PathBuf, thread};

use mithridate_onnx::{ModelFile, OnnxError};

use super::{Control, JobError, error::ensure, keywords::Keywords};
use crate::{
    backend::{
        BackendError, Batching, Device, InputOptions, MAX_VALUES, OnnxModel, OnnxRuntime, SharedNoise,
        SmoothingSampler, VoteSampler,
    },
    certify::{Certifier, Instances, Plan, Settings, plan},
    noise::{BLOCK, Noise, NoiseBank, NoiseMode},
    units::Sigma,
};

/// Largest number of threads.
const MAX_THREADS: usize = 1024;

/// Settings of the model of a job: the file, the device, and how it is run.
#[derive(Clone, Debug, Default)]
pub struct ModelSettings {
    /// Path of the classifier, an ONNX file.
    pub path: PathBuf,
    /// The device that runs the model.
    pub device: Device,
    /// Whether a smoothing graph counts the votes also on the processor, where this is no faster. On a GPU a smoothing
    /// graph is always used.
    pub smoothing_graph: bool,
    /// Number of noisy inputs in one call of the model; `None`: the fastest number, by measurement. With 1 the model is
    /// run unchanged, even if it could be rewritten to take any batch size.
    pub batch: Option<usize>,
    /// Number of threads on the processor; `None`: all.
    pub threads: Option<usize>,
    /// Options for the input of the model, and the output that is read.
    pub input: InputOptions,
}

impl ModelSettings {
    /// A model on the processor with all threads, and with the options from its metadata.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// The model that keywords describe: `model`, `provider`, `batch` and so on.
    pub(super) fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        Ok(Self {
            path: keywords.need("model")?,
            device: device(keywords)?,
            smoothing_graph: false,
            batch: keywords.get::<NonZeroUsize>("batch")?.map(NonZeroUsize::get),
            threads: keywords.get::<NonZeroUsize>("threads")?.map(NonZeroUsize::get),
            input: input_options(keywords)?,
        })
    }

    /// Loads the model for images of a known shape (channels, height, width) and noise of a known standard deviation,
    /// and sends notes about its unusual properties.
    pub(super) fn open(
        &self,
        control: &Control,
        image: Option<[usize; 3]>,
        sigma: Option<Sigma>,
    ) -> Result<(OnnxRuntime, OnnxModel), JobError> {
        // Reads the file before the library is loaded: that a file is not a model is a more helpful error than a
        // missing library.
        let file = ModelFile::read(&self.path)?;
        let options = InputOptions {
            image,
            sigma: sigma.map(Sigma::get),
            keep_batch: self.batch == Some(1),
            ..self.input.clone()
        };
        let (runtime, model) = (control.load)(file, &[options])?;
        self.note_differences(control, &model);
        model.notes.iter().for_each(|text| control.note(text));
        match model.batching {
            Batching::Fixed { size } => control.note(&format!(
                "{} takes exactly {size} inputs at once, which is slower than a model that takes any number",
                self.path.display()
            )),
            Batching::Single => control.note(&format!(
                "the answer of {} to an input depends on the other inputs of the batch, so the model gets one input at a \
                 time",
                self.path.display()
            )),
            Batching::Symbolic | Batching::Rewritten { .. } => {}
        }
        Ok((runtime, model))
    }

    /// Sends a note for each setting that differs from the model's metadata.
    pub(super) fn note_differences(&self, control: &Control, model: &OnnxModel) {
        let metadata = &model.metadata;
        let range = self.input.range.map(|range| range.to_vec());
        for (setting, given, own) in [
            ("range", &range, &metadata.input_range),
            ("mean", &self.input.mean, &metadata.input_mean),
            ("std", &self.input.std, &metadata.input_std),
        ] {
            if let (Some(given), Some(own)) = (given, own)
                && given != own
            {
                control.note(&format!("`{setting}` is {given:?} and the model's metadata say {own:?}"));
            }
        }
        if let (Some(given), Some(own)) = (self.input.layout, &metadata.layout)
            && own.parse() != Ok(given)
        {
            control.note(&format!("`layout` is {given} and the model's metadata say {own}"));
        }
    }

    /// Finds the fastest plan for about `samples` samples and creates the instances of the model. `shared` is the noise
    /// that all inputs of the run share, if they do; it is kept on a GPU.
    ///
    /// # Errors
    /// [`JobError::Backend`] if the model can't be run, or `batch` or `threads` is too large.
    pub fn ready(
        &self,
        control: &Control,
        runtime: OnnxRuntime,
        model: OnnxModel,
        shared: Option<&(Noise, NoiseBank)>,
        samples: u64,
    ) -> Result<ReadyModel, JobError> {
        let unusable = |problem: String| BackendError::Unsupported { path: self.path.clone(), problem };
        let most = MAX_VALUES / model.image_shape().iter().product::<usize>().max(1);
        if let Some(batch) = self.batch.filter(|&batch| batch > most) {
            let problem = format!("`batch` {batch} is too large for its inputs; use at most {most}");
            return Err(unusable(problem).into());
        }
        if let Some(threads) = self.threads.filter(|&threads| threads > MAX_THREADS) {
            let problem = format!("`threads` {threads} is too large; use at most {MAX_THREADS}");
            return Err(unusable(problem).into());
        }
        let available = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(available);
        if self.smoothing_graph || !self.device.provider.is_cpu() {
            match self.counting(&runtime, &model, shared, threads) {
                Err(BackendError::Model(error @ OnnxError::Smoothing(_))) => {
                    control.note(&format!("votes are counted outside the engine: {error}"));
                }
                Err(error) => return Err(error.into()),
                Ok((plan, instances)) => return Ok(ReadyModel { runtime, model, plan, instances }),
            }
        }
        // On a GPU one instance keeps the device busy.
        let threads = if self.device.provider.is_cpu() { threads } else { 1 };
        let load = |inner: usize| -> Result<Box<dyn VoteSampler>, BackendError> {
            Ok(Box::new(model.classifier(&runtime, self.device, inner)?))
        };
        let (plan, instances) = plan(load, threads, self.batch, samples)?;
        if let Some(batch) = self.batch.filter(|&batch| batch > plan.batch) {
            control.note(&format!(
                "too little memory for `batch` {batch}; continuing with batches of {}",
                plan.batch
            ));
        }
        Ok(ReadyModel { runtime, model, plan, instances })
    }

    /// Instances that count votes on the GPU. If noise has to be sent to the GPU, there are two: one sends while the
    /// other runs.
    fn counting(
        &self,
        runtime: &OnnxRuntime,
        model: &OnnxModel,
        shared: Option<&(Noise, NoiseBank)>,
        threads: usize,
    ) -> Result<(Plan, Instances), BackendError> {
        let sessions = if shared.is_some() { 1 } else { 2 };
        let device = Device { memory: self.device.memory.map(|bytes| bytes / sessions), ..self.device };
        let kept = shared.map(|(noise, bank)| SharedNoise { noise, bank, threads });
        let mut batch = self.batch;
        let mut instances: Instances = Vec::new();
        for _ in 0..sessions {
            let instance = SmoothingSampler::fastest(model, runtime, device, batch, kept)?;
            batch = Some(instance.plan().slots * BLOCK as usize);
            instances.push(Box::new(instance));
        }
        let noise_threads = if shared.is_some() { 0 } else { threads };
        Ok((Plan { sessions, threads: 1, batch: batch.unwrap_or(BLOCK as usize), noise_threads }, instances))
    }
}

/// The device that keywords describe.
pub(super) fn device(keywords: &mut Keywords) -> Result<Device, JobError> {
    Ok(Device {
        provider: keywords.get_text("provider")?.unwrap_or_default(),
        precision: keywords.get_text("precision")?.unwrap_or_default(),
        memory: keywords.get("device_memory")?,
    })
}

/// The input options that keywords describe.
pub(super) fn input_options(keywords: &mut Keywords) -> Result<InputOptions, JobError> {
    let range: Option<[f64; 2]> = keywords.get("range")?;
    if let Some([low, high]) = range {
        ensure!(
            low < high && (high - low).is_finite(),
            "`range` is {low},{high}; it must be the values of black and white, such as 0,255 or -1,1"
        );
    }
    Ok(InputOptions {
        layout: keywords.get("layout")?,
        range,
        mean: keywords.get("mean")?,
        std: keywords.get("std")?,
        output: keywords.get("output")?,
        ..InputOptions::default()
    })
}

/// A model with its instances, ready to run by the fastest plan.
pub struct ReadyModel {
    /// The engine.
    pub runtime: OnnxRuntime,
    /// The model.
    pub model: OnnxModel,
    /// The plan by which it is run.
    pub plan: Plan,
    /// Instances of the model.
    pub instances: Instances,
}

impl ReadyModel {
    /// The certifier of a job: it runs by the plan, with noise of `mode`, sends notes to `control` and stops when
    /// `control.stop` is true.
    ///
    /// # Errors
    /// [`JobError::Certify`].
    pub fn certifier(
        self,
        control: &Control,
        settings: Settings,
        mode: NoiseMode,
    ) -> Result<Certifier, JobError> {
        let mut certifier = Certifier::new(self.instances, settings, self.plan.batch)?;
        certifier.set_noise_threads(self.plan.noise_threads);
        certifier.set_noise_mode(mode);
        certifier.on_notice(&control.notices());
        certifier.stop_when(&control.stop);
        Ok(certifier)
    }
}
