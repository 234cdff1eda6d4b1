//! Sessions of smoothing graphs: votes of noisy images are counted on the device that runs the model.

mod buffers;
mod memory;

use std::path::PathBuf;

use buffers::{Input, Output, Transfer};
use mithridate_onnx::{
    NoiseInput, Smoothing, check_known_fields, from_bytes,
    smoothing::{BLOCK_INPUT, COUNTS_OUTPUT, IMAGE_INPUT, NOISE_INPUT, SAMPLES_INPUT, VOTES_OUTPUT},
    to_bytes, with_smoothing,
};
use ort::{
    session::{IoBinding, NoSelectedOutputs, RunOptions, Session},
    value::Tensor,
};

use super::{
    Batching, Device, OnnxModel, OnnxRuntime, Provider,
    session::{Content, new_session, quiet, run_error, session_error},
};
use crate::{
    backend::{BackendError, Preprocessing},
    noise::BLOCK,
};

/// Plan by which a smoothing graph is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmoothingPlan {
    /// Source of the noise.
    pub noise: NoiseInput,
    /// Number of slots in a batch, of [`BLOCK`] samples each.
    pub slots: usize,
    /// Whether the vote of every sample is returned besides the counts.
    pub votes: bool,
    /// Whether to record the work of a batch once and let the GPU repeat it (a CUDA graph). On other devices nothing is
    /// recorded.
    pub cuda_graph: bool,
}

/// The content of a slot: up to [`BLOCK`] samples of one image.
#[derive(Clone, Copy, Debug)]
pub enum Slot<'a> {
    /// Noisy images, samples × V values; for [`NoiseInput::Noisy`].
    Noisy(&'a [f32]),
    /// An image of V values with the first samples of a block of the bank; for [`NoiseInput::Bank`].
    Banked {
        /// The image.
        image: &'a [f32],
        /// Number of the block in the bank.
        block: usize,
        /// Number of samples, from the first of the block.
        samples: usize,
    },
}

/// A session that adds noise, runs the model and counts votes in one step. On a GPU all of this happens on the device,
/// device memory is allocated once, and only counts and votes come back.
///
/// The votes are the same as those that [`vote`](crate::backend::vote) reads from the logits of these samples.
pub struct SmoothingSession {
    image: Option<Input<f32>>,
    noise: Option<Input<f32>>,
    block: Option<Input<i32>>,
    samples: Input<i32>,
    counts: Output<i64>,
    votes: Option<Output<i32>>,
    binding: IoBinding,
    options: RunOptions<NoSelectedOutputs>,
    session: Session,
    path: PathBuf,
    plan: SmoothingPlan,
    len: usize,
    classes: usize,
}

impl Slot<'_> {
    /// Number of samples, of images of `values` values.
    pub fn samples(&self, values: usize) -> usize {
        match self {
            Self::Noisy(noise) => noise.len() / values.max(1),
            Self::Banked { samples, .. } => *samples,
        }
    }
}

impl OnnxModel {
    /// Creates a session of the model's smoothing graph and tests it on its device. `bank` holds the noise for
    /// [`NoiseInput::Bank`], blocks × [`BLOCK`] × V values, and nothing otherwise.
    ///
    /// If the GPU can't record the work of the model, it runs without a CUDA graph, as [`plan`](SmoothingSession::plan)
    /// then shows.
    ///
    /// # Errors
    /// [`BackendError::Model`] for a model that can't be extended to a smoothing graph (its votes can still be counted
    /// on the host); [`BackendError::DeviceMemory`] if the plan needs more memory than the device may use; otherwise
    /// [`BackendError`] from the engine.
    pub fn smoothing(
        &self,
        runtime: &OnnxRuntime,
        device: impl Into<Device>,
        threads: usize,
        plan: SmoothingPlan,
        bank: Vec<f32>,
    ) -> Result<SmoothingSession, BackendError> {
        let device = device.into();
        device.check()?;
        let content = self.smoothing_content(device, plan)?;
        plan.check(self, device)?;
        let bank = match plan.noise {
            NoiseInput::Bank { blocks } => Some(self.bank(device, plan.slots, blocks, bank)?),
            NoiseInput::Noisy => None,
        };
        let new = |plan| {
            SmoothingSession::new(self, runtime, &content, (device, threads), plan, bank.as_ref())?.tried()
        };
        if plan.cuda_graph {
            let made = new(plan);
            if made.is_ok() {
                return made;
            }
        }
        new(SmoothingPlan { cuda_graph: false, ..plan })
    }

    /// A noise bank as an input tensor that can be bound without a copy.
    fn bank(
        &self,
        device: Device,
        slots: usize,
        blocks: usize,
        bank: Vec<f32>,
    ) -> Result<Tensor<f32>, BackendError> {
        let (block, len) = (BLOCK as usize, self.image_shape().iter().product::<usize>());
        if bank.len() != blocks * block * len {
            let problem = format!(
                "a noise bank of {} values is not one of {blocks} blocks for {len} values",
                bank.len()
            );
            return Err(BackendError::Run { batch: slots * block, problem });
        }
        Tensor::from_array(([blocks, block, len], bank))
            .map_err(|error| session_error(device, &self.path, &error))
    }

    /// The model file, extended to a smoothing graph.
    fn smoothing_content(&self, device: Device, plan: SmoothingPlan) -> Result<Content, BackendError> {
        let refused = |problem: &str| mithridate_onnx::OnnxError::Smoothing(problem.into());
        match self.batching {
            Batching::Symbolic | Batching::Rewritten { .. } => {}
            Batching::Fixed { size } => {
                return Err(refused(&format!("it takes exactly {size} inputs at once")).into());
            }
            Batching::Single => {
                return Err(refused("its answer depends on the other inputs of a batch").into());
            }
        }
        if let Provider::TensorRt(_) = device.provider {
            let problem = "TensorRT does not guarantee that it recognises NaN";
            return Err(refused(problem).into());
        }
        check_known_fields(&self.content.bytes)?;
        let smoothing = Smoothing {
            input: self.input().to_owned(),
            output: self.output().to_owned(),
            dims: self.signature.dims.clone(),
            image: self.image_shape(),
            channels_last: self.preprocessing.layout == crate::backend::Layout::Nhwc,
            affine: affine(&self.preprocessing, self.image_shape()[0]),
            classes: self.classes(),
            noise: plan.noise,
            slots: plan.slots,
            samples: BLOCK as usize,
            votes: plan.votes,
        };
        let extended = with_smoothing(&from_bytes(&self.content.bytes)?, &smoothing)?;
        Ok(Content { bytes: to_bytes(&extended).into(), external: self.content.external.clone() })
    }
}

/// Scale and offset of each channel in preprocessing; empty if the model gets images unchanged.
fn affine(preprocessing: &Preprocessing, channels: usize) -> Vec<(f32, f32)> {
    let plain = Preprocessing { layout: crate::backend::Layout::Nchw, ..preprocessing.clone() };
    if plain.is_none() {
        return Vec::new();
    }
    (0..channels).map(|channel| preprocessing.affine_f32(channel)).collect()
}

impl SmoothingSession {
    fn new(
        model: &OnnxModel,
        runtime: &OnnxRuntime,
        content: &Content,
        (device, threads): (Device, usize),
        plan: SmoothingPlan,
        bank: Option<&Tensor<f32>>,
    ) -> Result<Self, BackendError> {
        let (slots, block) = (plan.slots, BLOCK as usize);
        let len: usize = model.image_shape().iter().product();
        let classes = model.classes();
        let make = || -> ort::Result<Self> {
            let session = new_session(runtime, content, device, threads, plan.cuda_graph)?;
            let mut binding = session.create_binding()?;
            let transfer = Transfer::new(&session, device.provider, plan.cuda_graph)?;
            let noise = if let Some(bank) = bank {
                // The noise bank never changes, so ONNX Runtime copies it to the device once, here.
                binding.bind_input(NOISE_INPUT, bank)?;
                None
            } else {
                Some(Input::new(&mut binding, &transfer, NOISE_INPUT, &[slots, block, len])?)
            };
            let (image, chosen) = match plan.noise {
                NoiseInput::Noisy => (None, None),
                NoiseInput::Bank { .. } => (
                    Some(Input::new(&mut binding, &transfer, IMAGE_INPUT, &[slots, 1, len])?),
                    Some(Input::new(&mut binding, &transfer, BLOCK_INPUT, &[slots])?),
                ),
            };
            let votes =
                plan.votes.then(|| Output::new(&mut binding, &transfer, VOTES_OUTPUT, &[slots, block]));
            Ok(Self {
                image,
                noise,
                block: chosen,
                samples: Input::new(&mut binding, &transfer, SAMPLES_INPUT, &[slots, 1])?,
                counts: Output::new(&mut binding, &transfer, COUNTS_OUTPUT, &[slots, classes])?,
                votes: votes.transpose()?,
                binding,
                options: quiet()?,
                session,
                path: model.path.clone(),
                plan,
                len,
                classes,
            })
        };
        make().map_err(|error| session_error(device, &model.path, &error))
    }

    /// Runs the session a few times, because a CUDA graph is recorded in the second run and repeated in the third.
    fn tried(mut self) -> Result<Self, BackendError> {
        for _ in 0..if self.plan.cuda_graph { 3 } else { 1 } {
            self.run(self.plan.slots)?;
        }
        Ok(self)
    }

    /// The plan by which it is run.
    pub fn plan(&self) -> SmoothingPlan {
        self.plan
    }

    /// Number of values in one image, V.
    pub fn input_len(&self) -> usize {
        self.len
    }

    /// Number of classes, K.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Runs the slots, at most the number in the plan, and counts their votes. [`counts`](Self::counts) and
    /// [`votes`](Self::votes) then return the results.
    ///
    /// # Errors
    /// [`BackendError`]; [`BackendError::Run`] for more slots than in the plan, or slots of another kind or size.
    pub fn count(&mut self, slots: &[Slot<'_>]) -> Result<(), BackendError> {
        let failed = |problem: String| BackendError::Run { batch: slots.len() * BLOCK as usize, problem };
        if slots.len() > self.plan.slots {
            return Err(failed(format!(
                "{} slots were given, and the plan has {}",
                slots.len(),
                self.plan.slots
            )));
        }
        for (number, slot) in slots.iter().enumerate() {
            self.fill(number, slot).map_err(|problem| failed(format!("slot {number}: {problem}")))?;
        }
        for number in slots.len()..self.plan.slots {
            self.samples.write(number, &[0]);
        }
        self.run(slots.len())
    }

    /// Writes the content of a slot to the inputs of the graph.
    fn fill(&mut self, number: usize, slot: &Slot<'_>) -> Result<(), String> {
        let (len, block) = (self.len, BLOCK as usize);
        let (image, noise) = match (*slot, self.plan.noise) {
            (Slot::Noisy(noisy), NoiseInput::Noisy) => (None, noisy),
            (Slot::Banked { image, block, .. }, NoiseInput::Bank { blocks }) => {
                if block >= blocks {
                    return Err(format!("block {block} is not in the noise bank of {blocks} blocks"));
                }
                if let Some(chosen) = &mut self.block {
                    chosen.write(number, &[block as i32]);
                }
                (Some(image), &[][..])
            }
            (_, expected) => return Err(format!("it is not a slot for {expected:?}")),
        };
        let samples = slot.samples(len);
        if image.is_some_and(|image| image.len() != len)
            || samples > block
            || !noise.len().is_multiple_of(len)
        {
            return Err(format!("it must have at most {block} samples of {len} values each"));
        }
        if let (Some(input), Some(image)) = (&mut self.image, image) {
            input.write(number * len, image);
        }
        if let Some(input) = &mut self.noise {
            input.write(number * block * len, noise);
        }
        self.samples.write(number, &[samples as i32]);
        Ok(())
    }

    fn run(&mut self, slots: usize) -> Result<(), BackendError> {
        let batch = slots * BLOCK as usize;
        let mut run = || -> ort::Result<()> {
            self.samples.send(&mut self.binding)?;
            for input in [&mut self.noise, &mut self.image].into_iter().flatten() {
                input.send(&mut self.binding)?;
            }
            if let Some(block) = &mut self.block {
                block.send(&mut self.binding)?;
            }
            self.binding.synchronize_inputs()?;
            self.session.run_binding_with_options(&self.binding, &self.options)?;
            self.binding.synchronize_outputs()?;
            self.counts.fetch()?;
            self.votes.as_mut().map_or(Ok(()), Output::fetch)
        };
        run().map_err(|error| run_error(batch, &error))
    }

    /// Votes of the last batch for each class, slots × K.
    pub fn counts(&self) -> &[i64] {
        self.counts.values()
    }

    /// The class that each sample of the last batch voted for, −1 for nobody, slots × [`BLOCK`]; empty if `votes` of the
    /// plan is false.
    pub fn votes(&self) -> &[i32] {
        self.votes.as_ref().map_or(&[], Output::values)
    }

    /// The model's file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}
