use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use mithridate_onnx::{NoiseInput, OnnxError};

use super::{
    Device, MAX_VALUES, OnnxClassifier, OnnxModel, OnnxRuntime, Slot, SmoothingPlan, SmoothingSession,
};
use crate::{
    backend::{
        Answers, BackendError, Classifier, InputPrecision, KeyedSamples, NoiseSource, Samples, VoteSampler,
        vote_sampler::wrong_samples,
    },
    noise::{BLOCK, Noise, NoiseBank},
    votes::{MAX_CLASSES, Vote},
};

/// Numbers of slots in a batch that are tried, in this order: 512 to 65,536 samples.
const SLOTS: [usize; 8] = [8, 16, 32, 64, 128, 256, 512, 1024];
/// Time to measure one number of slots.
const TIME_A_SIZE: Duration = Duration::from_millis(100);

/// A model that determines the votes of noisy images in the engine, by its smoothing graph.
pub struct SmoothingSampler {
    session: SmoothingSession,
    bank: Option<NoiseBank>,
    model: ModelOnDemand,
}

/// The model as a classifier that returns logits. Its session is created at the first use.
struct ModelOnDemand {
    model: OnnxModel,
    values: usize,
    runtime: OnnxRuntime,
    device: Device,
    session: Option<OnnxClassifier>,
}

/// The noise that all inputs share.
#[derive(Clone, Copy, Debug)]
pub struct SharedNoise<'a> {
    /// Distribution of the noise.
    pub noise: &'a Noise,
    /// List of its blocks.
    pub bank: &'a NoiseBank,
    /// Number of threads that draw the noise.
    pub threads: usize,
}

impl SmoothingSampler {
    /// Loads the model on a device. `batch` is the number of samples in a batch, rounded up to whole blocks; without
    /// it, the fastest number is measured. If shared noise is given, it is kept on the device.
    ///
    /// # Errors
    /// [`BackendError::Model`] for a model that can't be extended to a smoothing graph; [`BackendError::DeviceMemory`]
    /// if the device has too little memory for the plan; otherwise [`BackendError`] from the engine.
    pub fn fastest(
        model: &OnnxModel,
        runtime: &OnnxRuntime,
        device: impl Into<Device>,
        batch: Option<usize>,
        shared: Option<SharedNoise<'_>>,
    ) -> Result<Self, BackendError> {
        let device = device.into();
        let (block, values) = (BLOCK as usize, model.image_shape().iter().product::<usize>());
        let refused = |problem: String| BackendError::from(OnnxError::Smoothing(problem));
        if model.classes() > MAX_CLASSES {
            let classes = model.classes();
            return Err(refused(format!("it has {classes} classes, and at most {MAX_CLASSES} are possible")));
        }
        let most = MAX_VALUES / block / values.max(1);
        if most == 0 {
            return Err(refused(format!("{block} images of {values} values are too large for a batch")));
        }
        let mut plan = fastest_plan(model, runtime, device, batch.map(|batch| batch.div_ceil(block)), most)?;
        let mut drawn = Vec::new();
        if let Some(SharedNoise { noise, bank, threads }) = shared {
            plan =
                SmoothingPlan { noise: NoiseInput::Bank { blocks: bank.blocks() }, cuda_graph: true, ..plan };
            while plan.slots > 1 && plan.check(model, device).is_err() {
                plan.slots /= 2;
            }
            // Checked before the noise is drawn, which takes long.
            plan.check(model, device)?;
            drawn = bank.draw(noise, values, threads).map_err(|error| BackendError::NoBank {
                samples: bank.blocks().saturating_mul(block),
                problem: error.to_string(),
            })?;
        }
        let session = model.smoothing(runtime, device, 1, plan, drawn)?;
        let bank = shared.map(|shared| shared.bank.clone());
        let model =
            ModelOnDemand { model: model.clone(), values, runtime: runtime.clone(), device, session: None };
        Ok(Self { session, bank, model })
    }

    /// The plan by which it is run.
    pub fn plan(&self) -> SmoothingPlan {
        self.session.plan()
    }

    /// Runs slots, as many at a time as fit in a batch, and appends the votes of their samples.
    fn count(&mut self, slots: &[Slot<'_>], votes: &mut Vec<Vote>) -> Result<(), BackendError> {
        let block = BLOCK as usize;
        for part in slots.chunks(self.session.plan().slots) {
            self.session.count(part)?;
            for (slot, voted) in part.iter().zip(self.session.votes().chunks(block)) {
                let samples = slot.samples(self.session.input_len());
                // A class below MAX_CLASSES, or -1, -2, -3 for nobody, which are TIE, INFINITE and NOT_A_NUMBER.
                votes.extend(voted.iter().take(samples).map(|&class| class as Vote));
            }
        }
        Ok(())
    }
}

/// The fastest plan for noisy images that the host sends, with `slots` slots, or otherwise any number up to `most`. The
/// best number is nearly the same for noise that is kept on the device.
fn fastest_plan(
    model: &OnnxModel,
    runtime: &OnnxRuntime,
    device: Device,
    slots: Option<usize>,
    most: usize,
) -> Result<SmoothingPlan, BackendError> {
    // One session exists at a time, so that memory is needed only once.
    let try_out = |slots, cuda_graph| {
        let plan = SmoothingPlan { noise: NoiseInput::Noisy, slots, votes: true, cuda_graph };
        let mut session = model.smoothing(runtime, device, 1, plan, Vec::new())?;
        Ok((time(&mut session)?, session.plan()))
    };
    let mut sizes: VecDeque<usize> = match slots {
        Some(slots) => [slots.min(most)].into(),
        None => SLOTS.into_iter().filter(|&slots| slots <= most).collect(),
    };
    if sizes.is_empty() {
        sizes.push_back(most);
    }
    let mut best: Option<(f64, SmoothingPlan)> = None;
    while let Some(slots) = sizes.pop_front() {
        match (try_out(slots, true), &best) {
            (Ok((rate, plan)), None) => best = Some((rate, plan)),
            (Ok((rate, plan)), Some((fastest, _))) if rate > 1.05 * fastest => best = Some((rate, plan)),
            (Err(BackendError::OutOfMemory { .. } | BackendError::DeviceMemory { .. }), None)
                if slots > 1 =>
            {
                sizes = [slots / 2].into();
            }
            (Err(error), None) => return Err(error),
            // This number of slots is no faster, or too large for the memory.
            (_, Some(_)) => break,
        }
    }
    let none = || BackendError::Run { batch: 0, problem: "there is no batch to measure".into() };
    let (rate, plan) = best.ok_or_else(none)?;
    // A CUDA graph needs its input at a fixed address, which costs one more copy. So it is also measured without a CUDA
    // graph.
    match try_out(plan.slots, false) {
        Ok((plain_rate, plain)) if plain_rate > rate => Ok(plain),
        _ => Ok(plan),
    }
}

/// Samples per second.
fn time(session: &mut SmoothingSession) -> Result<f64, BackendError> {
    let slots = session.plan().slots;
    let noisy = vec![0.5; BLOCK as usize * session.input_len()];
    let full = vec![Slot::Noisy(&noisy); slots];
    session.count(&full)?;
    let started = Instant::now();
    let mut samples = 0;
    while samples == 0 || started.elapsed() < TIME_A_SIZE {
        session.count(&full)?;
        samples += slots * BLOCK as usize;
    }
    Ok(samples as f64 / started.elapsed().as_secs_f64())
}

impl ModelOnDemand {
    fn session(&mut self) -> Result<&mut OnnxClassifier, BackendError> {
        Ok(match &mut self.session {
            Some(session) => session,
            empty => empty.insert(self.model.classifier(&self.runtime, self.device, 1)?),
        })
    }
}

impl Classifier for ModelOnDemand {
    fn input_len(&self) -> usize {
        self.values
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }

    fn input_precision(&self) -> InputPrecision {
        self.model.input_precision()
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        self.session()?.logits(batch, logits)
    }

    fn in_file(&mut self) -> Result<Option<&mut dyn Classifier>, BackendError> {
        Ok(Some(self.session()?))
    }

    fn rounding(&self) -> f32 {
        self.model.rounding(self.device)
    }
}

impl VoteSampler for SmoothingSampler {
    fn classifier(&self) -> &dyn Classifier {
        &self.model
    }

    fn classifier_mut(&mut self) -> &mut dyn Classifier {
        &mut self.model
    }

    fn noise_source(&self) -> NoiseSource {
        if self.bank.is_some() { NoiseSource::Engine } else { NoiseSource::Caller }
    }

    fn votes(&mut self, samples: Samples<'_>, answers: &mut Answers) -> Result<(), BackendError> {
        answers.logits.clear();
        answers.reading = Duration::ZERO;
        let slots: Vec<Slot<'_>> = match (samples, &self.bank) {
            (Samples::Noisy(batch), None) => {
                batch.chunks(BLOCK as usize * self.model.values).map(Slot::Noisy).collect()
            }
            (Samples::Keyed(keyed), Some(bank)) => keyed
                .iter()
                .map(|&KeyedSamples { image, key, samples }| {
                    Some(Slot::Banked { image, block: bank.place(&key)?, samples })
                })
                .collect::<Option<_>>()
                .ok_or_else(|| BackendError::Run {
                    batch: keyed.len(),
                    problem: "its noise is not in the noise bank".into(),
                })?,
            (samples, _) => return Err(wrong_samples(samples)),
        };
        self.count(&slots, &mut answers.votes)
    }
}
