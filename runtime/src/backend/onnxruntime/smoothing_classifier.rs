use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use mithridate_onnx::{NoiseInput, OnnxError};

use super::{Device, OnnxClassifier, OnnxModel, OnnxRuntime, Slot, SmoothingPlan, SmoothingSession};
use crate::{
    backend::{BackendError, Banked, Classifier},
    noise::{BLOCK, Noise, NoiseBank},
};

/// Slots tried in a batch, fewest first: 512 to 65,536 samples.
const SLOTS: [usize; 8] = [8, 16, 32, 64, 128, 256, 512, 1024];
/// Time for one number of slots.
const TIME_A_SIZE: Duration = Duration::from_millis(100);

/// A model that counts the votes of noisy images itself, through its smoothing graph.
///
/// Its [`logits`](Classifier::logits) come from a second session, made when they are first asked for.
pub struct SmoothingClassifier {
    session: SmoothingSession,
    bank: Option<NoiseBank>,
    model: OnnxModel,
    runtime: OnnxRuntime,
    device: Device,
    host: Option<OnnxClassifier>,
}

/// The noise that all inputs share.
#[derive(Clone, Copy, Debug)]
pub struct SharedNoise<'a> {
    /// How it is distributed.
    pub noise: &'a Noise,
    /// What there is of it.
    pub bank: &'a NoiseBank,
    /// Threads to draw it with.
    pub threads: usize,
}

impl SmoothingClassifier {
    /// The model on a device, with as many samples in a batch as run fastest, or `batch` rounded up to whole blocks;
    /// with the noise that inputs share kept on the device, if it is given.
    ///
    /// # Errors
    /// [`BackendError::Model`] for a model whose votes only the host can count; [`BackendError::DeviceMemory`]; else
    /// [`BackendError`].
    pub fn fastest(
        model: &OnnxModel,
        runtime: &OnnxRuntime,
        device: impl Into<Device>,
        batch: Option<usize>,
        shared: Option<SharedNoise<'_>>,
    ) -> Result<Self, BackendError> {
        let device = device.into();
        let values = model.image_shape().iter().product();
        if model.classes() >= usize::from(u16::MAX) {
            let problem = format!("it has {} classes, and 65534 can be told apart", model.classes());
            return Err(OnnxError::Smoothing(problem).into());
        }
        let mut sizes: VecDeque<usize> = match batch {
            Some(batch) => [batch.div_ceil(BLOCK as usize)].into(),
            None => SLOTS.into(),
        };
        let of = |slots, noise| SmoothingPlan { noise, slots, votes: true, cuda_graph: true };
        // The noise makes no difference to the speed of the model: batches are tried with noise that is sent.
        let mut best: Option<(f64, SmoothingSession)> = None;
        while let Some(slots) = sizes.pop_front() {
            let made = model
                .smoothing(runtime, device, 1, of(slots, NoiseInput::Noisy), Vec::new())
                .and_then(|mut session| Ok((time(&mut session)?, session)));
            match made {
                Err(BackendError::OutOfMemory { .. } | BackendError::DeviceMemory { .. })
                    if best.is_some() =>
                {
                    break;
                }
                // Not even the smallest fits, or the only one.
                Err(BackendError::OutOfMemory { .. } | BackendError::DeviceMemory { .. }) if slots > 1 => {
                    sizes = [slots / 2].into();
                }
                Err(error) => return Err(error),
                Ok((rate, session)) if best.as_ref().is_none_or(|(fastest, _)| rate > 1.05 * fastest) => {
                    best = Some((rate, session));
                }
                Ok(_) => break,
            }
        }
        if let Some((rate, session)) = &mut best
            && session.plan().cuda_graph
        {
            // Recorded work takes its noise from a place that does not change, which costs a copy more.
            let plan = SmoothingPlan { cuda_graph: false, ..session.plan() };
            let mut plain = model.smoothing(runtime, device, 1, plan, Vec::new())?;
            if shared.is_none() && time(&mut plain)? > *rate {
                *session = plain;
            }
        }
        let no_batch = || BackendError::Run { batch: 0, problem: "there is no batch to try".into() };
        let (_, mut session) = best.ok_or_else(no_batch)?;
        let bank = match shared {
            Some(SharedNoise { noise, bank, threads }) => {
                let mut plan = of(session.plan().slots, NoiseInput::Bank { blocks: bank.blocks() });
                // Its memory is wanted for the bank, which must not be drawn in vain either.
                drop(session);
                while plan.slots > 1 && plan.check(model, device).is_err() {
                    plan.slots /= 2;
                }
                plan.check(model, device)?;
                let drawn = bank.draw(noise, values, threads).map_err(|error| BackendError::OutOfMemory {
                    batch: bank.blocks().saturating_mul(BLOCK as usize),
                    problem: error.to_string(),
                })?;
                session = model.smoothing(runtime, device, 1, plan, drawn)?;
                Some(bank.clone())
            }
            None => None,
        };
        Ok(Self { session, bank, model: model.clone(), runtime: runtime.clone(), device, host: None })
    }

    /// How it is run.
    pub fn plan(&self) -> SmoothingPlan {
        self.session.plan()
    }

    /// Runs slots, as many at once as fit, and adds the votes of their samples.
    fn count(&mut self, slots: &[Slot<'_>], votes: &mut Vec<u16>) -> Result<(), BackendError> {
        let block = BLOCK as usize;
        for part in slots.chunks(self.session.plan().slots) {
            self.session.count(part)?;
            for (slot, voted) in part.iter().zip(self.session.votes().chunks(block)) {
                let samples = slot.samples(self.session.input_len());
                votes.extend(
                    voted.iter().take(samples).map(|&class| u16::try_from(class).unwrap_or(u16::MAX)),
                );
            }
        }
        Ok(())
    }
}

/// Samples a second.
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

impl Classifier for SmoothingClassifier {
    fn input_len(&self) -> usize {
        self.session.input_len()
    }

    fn classes(&self) -> usize {
        self.session.classes()
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        let host = match &mut self.host {
            Some(host) => host,
            empty => empty.insert(self.model.classifier(&self.runtime, self.device, 1)?),
        };
        host.logits(batch, logits)
    }

    fn votes(&mut self, batch: &[f32], votes: &mut Vec<u16>) -> Option<Result<(), BackendError>> {
        if self.bank.is_some() {
            return None;
        }
        let slots: Vec<Slot<'_>> = batch.chunks(BLOCK as usize * self.input_len()).map(Slot::Noisy).collect();
        Some(self.count(&slots, votes))
    }

    fn has_bank(&self) -> bool {
        self.bank.is_some()
    }

    fn banked_votes(&mut self, samples: &[Banked<'_>], votes: &mut Vec<u16>) -> Result<(), BackendError> {
        let place = |samples: &Banked<'_>| self.bank.as_ref()?.place(&samples.key);
        let slots: Option<Vec<Slot<'_>>> = samples
            .iter()
            .map(|banked| {
                let block = place(banked)?;
                Some(Slot::Banked { image: banked.image, block, samples: banked.samples })
            })
            .collect();
        let missing =
            || BackendError::Run { batch: samples.len(), problem: "its noise is not in the bank".into() };
        let slots = slots.ok_or_else(missing)?;
        self.count(&slots, votes)
    }
}
