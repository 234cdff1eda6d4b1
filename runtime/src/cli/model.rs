use std::{path::PathBuf, thread};

use clap::Args;
use mithridate_onnx::{ModelFile, OnnxError};

use super::{certify::file_name, device::DeviceArguments, note, probe::ProbeArguments};
use crate::{
    backend::{
        BackendError, Batching, Classifier, InputOptions, Layout, MAX_VALUES, OnnxModel, OnnxRuntime,
        SharedNoise, SmoothingClassifier,
    },
    certify::{Instances, Plan, plan},
    evidence::{ModelSource, ModelUse},
    noise::{BLOCK, Noise, NoiseBank},
    units::{Sigma, parse_count},
};

/// More threads than any machine has use for.
const MAX_THREADS: usize = 1024;

/// Which model to run, and how.
#[derive(Args)]
pub(super) struct ModelArguments {
    /// The classifier, an ONNX file
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    #[command(flatten)]
    pub device: DeviceArguments,
    /// Noisy inputs given to the model at once [default: the fastest, measured at the start of a run that is long enough]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// Threads to use on the processor [default: all]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub input: InputArguments,
    #[command(flatten)]
    pub probe: ProbeArguments,
}

/// How the model wants its input, and which output counts.
#[derive(Args, Default)]
pub(super) struct InputArguments {
    /// Order of the dimensions of the model's input: nchw or nhwc [default: found from its shape]
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<Layout>,
    /// Values of black and white that the model wants, such as 0,255 or -1,1; noise is added before, in units of the
    /// data set [default: that in the model's metadata, or 0,1]
    #[arg(long, value_name = "LOW,HIGH", value_parser = parse_range, allow_hyphen_values = true)]
    range: Option<[f64; 2]>,
    /// Mean to subtract from each channel after --range: one number, or one a channel
    #[arg(long, value_name = "MEAN", value_delimiter = ',', allow_hyphen_values = true)]
    mean: Option<Vec<f64>>,
    /// Standard deviation to divide each channel by after --mean: one number, or one a channel
    #[arg(long, value_name = "STD", value_delimiter = ',', allow_hyphen_values = true)]
    std: Option<Vec<f64>>,
    /// The output that holds logits or probabilities, if there are several
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
}

/// A model ready to run in the way that was measured to be fastest.
pub(super) struct ReadyModel {
    pub runtime: OnnxRuntime,
    pub model: OnnxModel,
    pub plan: Plan,
    pub instances: Instances,
}

impl InputArguments {
    pub fn options(&self, image: Option<[usize; 3]>) -> InputOptions {
        InputOptions {
            image,
            layout: self.layout,
            range: self.range,
            mean: self.mean.clone(),
            std: self.std.clone(),
            output: self.output.clone(),
            side: None,
            sigma: None,
            keep_batch: false,
        }
    }

    /// How an earlier model was read, for images of a known shape, but for what the flags say.
    pub fn instead_of(&self, earlier: InputOptions) -> InputOptions {
        InputOptions {
            layout: self.layout.or(earlier.layout),
            range: self.range.or(earlier.range),
            mean: self.mean.clone().or(earlier.mean),
            std: self.std.clone().or(earlier.std),
            output: self.output.clone().or(earlier.output),
            ..earlier
        }
    }

    /// Says where a flag and what the model says of itself differ.
    pub fn note_differences(&self, model: &OnnxModel) {
        let metadata = &model.metadata;
        let range = self.range.map(|range| range.to_vec());
        for (flag, given, own) in [
            ("--range", &range, &metadata.input_range),
            ("--mean", &self.mean, &metadata.input_mean),
            ("--std", &self.std, &metadata.input_std),
        ] {
            if let (Some(given), Some(own)) = (given, own)
                && given != own
            {
                note(&format!("{flag} is {given:?} and the model's metadata say {own:?}"));
            }
        }
        if let (Some(given), Some(own)) = (self.layout, &metadata.layout)
            && own.parse() != Ok(given)
        {
            note(&format!("--layout is {given} and the model's metadata say {own}"));
        }
    }
}

impl ModelArguments {
    /// Loads the model once, to know its shape before anything else is done.
    pub fn open(&self) -> anyhow::Result<(OnnxRuntime, OnnxModel)> {
        self.open_for(None, None)
    }

    /// The same for images of a known shape (channels, height, width) and noise of a known standard deviation. With
    /// `--batch 1` the model is run as its file has it.
    pub fn open_for(
        &self,
        image: Option<[usize; 3]>,
        sigma: Option<Sigma>,
    ) -> anyhow::Result<(OnnxRuntime, OnnxModel)> {
        // A file that is no model is the more helpful news than a missing library.
        let file = ModelFile::read(&self.model)?;
        let options = InputOptions {
            sigma: sigma.map(Sigma::get),
            keep_batch: self.batch == Some(1),
            ..self.input.options(image)
        };
        let (runtime, model) = self.probe.load(file, &[options])?;
        self.input.note_differences(&model);
        model.notes.iter().for_each(|text| note(text));
        match model.batching {
            Batching::Fixed { size } => note(&format!(
                "{} takes exactly {size} inputs at once, which is slower than any number",
                self.model.display()
            )),
            Batching::Single => note(&format!(
                "an answer of {} depends on the other inputs of its batch, so it gets one at a time",
                self.model.display()
            )),
            Batching::Symbolic | Batching::Rewritten { .. } => {}
        }
        Ok((runtime, model))
    }

    /// Finds the fastest way to run it on about `samples` samples. `shared` is the noise that all inputs of the run
    /// share, if they do: a GPU keeps it.
    pub fn ready(
        &self,
        runtime: OnnxRuntime,
        model: OnnxModel,
        shared: Option<&(Noise, NoiseBank)>,
        samples: u64,
    ) -> Result<ReadyModel, BackendError> {
        let unusable = |problem: String| BackendError::Unsupported { path: self.model.clone(), problem };
        let most = MAX_VALUES / model.image_shape().iter().product::<usize>().max(1);
        if let Some(batch) = self.batch.filter(|&batch| batch > most) {
            return Err(unusable(format!("--batch {batch} is too large for its inputs; use at most {most}")));
        }
        if let Some(threads) = self.threads.filter(|&threads| threads > MAX_THREADS) {
            return Err(unusable(format!("--threads {threads} is too many; use at most {MAX_THREADS}")));
        }
        let available = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(available);
        if self.device.smoothing_graph || !self.device.provider.is_cpu() {
            match self.counting(&runtime, &model, shared, threads) {
                Err(BackendError::Model(error @ OnnxError::Smoothing(_))) => {
                    note(&format!("the host counts the votes: {error}"));
                }
                Err(error) => return Err(error),
                Ok((plan, instances)) => return Ok(ReadyModel { runtime, model, plan, instances }),
            }
        }
        // On a GPU one instance keeps the device busy.
        let threads = if self.device.provider.is_cpu() { threads } else { 1 };
        let device = self.device.device(1);
        let load = |inner: usize| -> Result<Box<dyn Classifier>, BackendError> {
            Ok(Box::new(model.classifier(&runtime, device, inner)?))
        };
        let (plan, instances) = plan(load, threads, self.batch, samples)?;
        if let Some(batch) = self.batch.filter(|&batch| batch > plan.batch) {
            note(&format!("too little memory for --batch {batch}; going on with batches of {}", plan.batch));
        }
        Ok(ReadyModel { runtime, model, plan, instances })
    }
}

impl ModelArguments {
    /// Instances that count votes on the GPU. Where noise has to be sent there, one sends while the other runs.
    fn counting(
        &self,
        runtime: &OnnxRuntime,
        model: &OnnxModel,
        shared: Option<&(Noise, NoiseBank)>,
        threads: usize,
    ) -> Result<(Plan, Instances), BackendError> {
        let sessions = if shared.is_some() { 1 } else { 2 };
        let device = self.device.device(sessions);
        let kept = shared.map(|(noise, bank)| SharedNoise { noise, bank, threads });
        let mut batch = self.batch;
        let mut instances: Instances = Vec::new();
        for _ in 0..sessions {
            let instance = SmoothingClassifier::fastest(model, runtime, device, batch, kept)?;
            batch = Some(instance.plan().slots * BLOCK as usize);
            instances.push(Box::new(instance));
        }
        let noise_threads = if shared.is_some() { 0 } else { threads };
        Ok((Plan { sessions, threads: 1, batch: batch.unwrap_or(BLOCK as usize), noise_threads }, instances))
    }
}

/// The model as evidence names it.
pub(super) fn model_source(model: &OnnxModel, sigma: Sigma) -> ModelSource {
    ModelSource {
        file: file_name(&model.path),
        sha256: model.sha256.clone(),
        classes: model.classes(),
        external: model.external.clone(),
        r#use: ModelUse {
            preprocessing: model.preprocessing.clone(),
            sigma_in_model: ModelUse::sigma_in_model(&model.preprocessing, model.image_shape()[0], sigma),
            output: (model.is_output_named || model.summary.outputs.len() > 1)
                .then(|| model.output().to_owned()),
            class_labels: model.class_labels.clone(),
            batch_rewritten_from: match model.batching {
                Batching::Rewritten { from } => Some(from),
                _ => None,
            },
        },
    }
}

fn parse_range(text: &str) -> Result<[f64; 2], String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some([low, high]) if low < high && (high - low).is_finite() => Ok([*low, *high]),
        _ => Err("it must be two numbers, the values of black and white, such as 0,255 or -1,1".to_owned()),
    }
}
