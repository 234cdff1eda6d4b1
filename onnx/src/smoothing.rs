//! The smoothing graph: a classifier extended by operators that add noise to images and count the votes.

mod graph;
mod preprocessing;
mod votes;

use graph::Parts;

use crate::{ElementType, OnnxError, messages::ModelProto, summarize};

/// Prefix of all names that a smoothing graph adds.
const PREFIX: &str = "mithridate_smoothing/";

/// Input with the images: S×1×V float with V = C·H·W, for [`NoiseInput::Bank`].
pub const IMAGE_INPUT: &str = "mithridate_smoothing/image";
/// Input with noisy images, S×B×V float, for [`NoiseInput::Noisy`]; with the noise bank, N×B×V float, for
/// [`NoiseInput::Bank`].
pub const NOISE_INPUT: &str = "mithridate_smoothing/noise";
/// Input for [`NoiseInput::Bank`]: the index of the block in the bank that each slot adds, S int32.
pub const BLOCK_INPUT: &str = "mithridate_smoothing/block";
/// Input with the number of samples of each slot that count, beginning with the first: S×1 int32.
pub const SAMPLES_INPUT: &str = "mithridate_smoothing/samples";
/// Output with the votes of each slot for each class: S×K int64.
pub const COUNTS_OUTPUT: &str = "mithridate_smoothing/counts";
/// Output with the vote of each sample, S×B int32: the class, or for nobody −1 (tie), −2 (a logit is positive infinity)
/// or −3 (a logit is NaN). Samples that do not count have −1.
pub const VOTES_OUTPUT: &str = "mithridate_smoothing/votes";

/// The source of the noise of a smoothing graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseInput {
    /// The caller passes noisy images, image + noise.
    Noisy,
    /// The caller passes a noise bank, and for each slot an image and the index of a block in the bank; the graph adds
    /// them.
    Bank {
        /// Number of blocks in the bank, N.
        blocks: usize,
    },
}

/// Description of a smoothing graph.
///
/// A batch has S slots of B samples each. All samples of a slot are noisy copies of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Smoothing {
    /// Name of the model's input.
    pub input: String,
    /// Name of the model's output with a score for each class.
    pub output: String,
    /// Shape of an input of the model without the batch dimension.
    pub dims: Vec<usize>,
    /// Shape of an image: channels, height, width.
    pub image: [usize; 3],
    /// Whether the model has its channels last.
    pub channels_last: bool,
    /// Factor and summand for each channel of a noisy image; empty for none.
    pub affine: Vec<(f32, f32)>,
    /// Number of classes, K.
    pub classes: usize,
    /// Source of the noise.
    pub noise: NoiseInput,
    /// Number of slots in a batch, S.
    pub slots: usize,
    /// Number of samples in a slot, B.
    pub samples: usize,
    /// Whether the vote of every sample is also an output.
    pub votes: bool,
}

/// Extends a classifier to its smoothing graph. The graph adds noise to the images in single precision, preprocesses
/// the noisy images, runs the model and counts the votes of each slot.
///
/// A sample votes for the class with the largest logit. If two logits are the largest, or a logit is NaN or positive
/// infinity, it votes for nobody. The added operators all have CUDA kernels in ONNX Runtime, and all shapes are fixed,
/// so a whole batch can run on a GPU without the processor. Inputs and outputs are named by the constants of this
/// module.
///
/// # Errors
/// [`OnnxError::Smoothing`] if the model can't be extended: its operator set is older than 9, its batch size is fixed
/// to another number than S·B, it has no such input or output, or one of these is not of a floating-point type.
///
/// # Example
/// ```
/// use mithridate_onnx::{
///     Dim, ElementType, GraphBuilder, ModelMetadata, NoiseInput, Smoothing, summarize, with_smoothing,
/// };
/// use ndarray::Array2;
///
/// let mut graph = GraphBuilder::new("linear");
/// let image = graph.input("image", ElementType::Float, &[Dim::symbolic("batch"), Dim::Fixed(4)])?;
/// let weight = graph.constant("weight", &Array2::from_elem((3, 4), 0.5).view().into_dyn());
/// let logits = graph.linear(&image, &weight, None)?;
/// let model = graph.finish(&[("logits", &logits)], &ModelMetadata::default())?;
/// let smoothed = with_smoothing(&model, &Smoothing {
///     input: "image".into(),
///     output: "logits".into(),
///     dims: vec![4],
///     image: [1, 2, 2],
///     channels_last: false,
///     affine: Vec::new(),
///     classes: 3,
///     noise: NoiseInput::Noisy,
///     slots: 2,
///     samples: 64,
///     votes: false,
/// })?;
/// let summary = summarize(&smoothed)?;
/// assert_eq!(summary.inputs[0].to_string(), "mithridate_smoothing/noise: float [2, 64, 4]");
/// assert_eq!(summary.outputs[0].to_string(), "mithridate_smoothing/counts: int64 [2, 3]");
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
pub fn with_smoothing(model: &ModelProto, smoothing: &Smoothing) -> Result<ModelProto, OnnxError> {
    let summary = summarize(model)?;
    let refused = |problem: String| OnnxError::Smoothing(problem);
    let opset = summary.opsets.get("ai.onnx").copied().unwrap_or_default();
    if opset < 9 {
        return Err(refused(format!("it is of operator set {opset}, and 9 or newer is needed")));
    }
    if model.graph.as_ref().is_some_and(graph::has_prefix) {
        return Err(refused(format!("names in it start with {PREFIX}, so it is extended already")));
    }
    let find = |values: &[crate::ValueSummary], name: &str, what: &str| {
        let found = values.iter().find(|value| value.name == name);
        found.cloned().ok_or_else(|| refused(format!("it has no {what} {name}")))
    };
    let input = find(&summary.inputs, &smoothing.input, "input")?;
    let output = find(&summary.outputs, &smoothing.output, "output")?;
    let batch = input.shape.as_ref().and_then(|shape| shape.first()).and_then(crate::Dim::size);
    if let Some(batch) = batch.filter(|&batch| batch != smoothing.slots * smoothing.samples) {
        return Err(refused(format!("it takes exactly {batch} inputs at once")));
    }
    for value in [&input, &output] {
        let float =
            matches!(value.element_type, ElementType::Float | ElementType::Float16 | ElementType::Double);
        if !float {
            return Err(refused(format!("{value} is not of type float, float16 or double")));
        }
    }
    if smoothing.classes > 1 << 24 {
        return Err(refused(format!("it has {} classes, and 16777216 can be counted", smoothing.classes)));
    }
    let mut extended = model.clone();
    let graph = extended.graph.as_mut().ok_or_else(|| refused("it holds no graph".into()))?;
    let mut before = Parts::new(opset);
    preprocessing::add(&mut before, smoothing, input.element_type);
    let mut after = Parts::new(opset);
    votes::add(&mut after, smoothing, output.element_type);

    graph.input.retain(|value| value.name.as_deref() != Some(&smoothing.input));
    graph.input.extend(before.inputs.into_iter().chain(after.inputs));
    graph.output = after.outputs;
    let own = std::mem::take(&mut graph.node);
    graph.node = before.nodes.into_iter().chain(own).chain(after.nodes).collect();
    Ok(extended)
}

#[cfg(test)]
mod tests;
