//! A classifier extended to the graph that counts the votes of noisy images.

mod graph;
mod preprocessing;
mod votes;

use graph::Parts;

use crate::{ElementType, OnnxError, messages::ModelProto, summarize};

/// What names in a smoothing graph start with.
const PREFIX: &str = "mithridate_smoothing/";

/// Images, S×1×V float, V = C·H·W; for [`NoiseInput::Added`] and [`NoiseInput::Bank`].
pub const IMAGE_INPUT: &str = "mithridate_smoothing/image";
/// Noise of each slot, or noisy images, S×B×V float, or for [`NoiseInput::Bank`] the bank, N×B×V float.
pub const NOISE_INPUT: &str = "mithridate_smoothing/noise";
/// For [`NoiseInput::Bank`]: which of the N blocks of the bank each slot adds, S int32.
pub const BLOCK_INPUT: &str = "mithridate_smoothing/block";
/// How many of the samples of each slot count, from the first, S×1 int32.
pub const SAMPLES_INPUT: &str = "mithridate_smoothing/samples";
/// Votes of each slot for each class, S×K int64.
pub const COUNTS_OUTPUT: &str = "mithridate_smoothing/counts";
/// The class each sample votes for, −1 for nobody or a sample that does not count, S×B int32.
pub const VOTES_OUTPUT: &str = "mithridate_smoothing/votes";

/// Where the noise of a smoothing graph comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseInput {
    /// The caller gives noisy images, image + noise.
    Noisy,
    /// The caller gives images and noise; the graph adds them.
    Added,
    /// The caller gives a bank of so many blocks once, then images and the number of a block for each.
    Bank {
        /// Blocks in the bank, N.
        blocks: usize,
    },
}

/// How a classifier is used in a smoothing graph.
///
/// A batch is S slots of B samples each; the samples of a slot are of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Smoothing {
    /// The model's input.
    pub input: String,
    /// The model's output with a value for each class.
    pub output: String,
    /// Shape of an input of the model without the batch.
    pub dims: Vec<usize>,
    /// Shape of an image: channels, height, width.
    pub image: [usize; 3],
    /// Whether the model wants channels last.
    pub channels_last: bool,
    /// Factor and summand that each channel of a noisy image is changed by; empty for none.
    pub affine: Vec<(f32, f32)>,
    /// Number of classes, K.
    pub classes: usize,
    /// Where noise comes from.
    pub noise: NoiseInput,
    /// Slots in a batch, S.
    pub slots: usize,
    /// Samples in a slot, B.
    pub samples: usize,
    /// Whether the vote of every sample is an output too.
    pub votes: bool,
}

/// Extends a classifier to the smoothing graph: the sum of image and noise in single precision, what has to be done to
/// it before the model gets it, the model, and its votes, counted for each slot.
///
/// A sample votes for the class of its largest logit; where the largest is there twice, or a logit is not finite, for
/// nobody. Only operators are added that ONNX Runtime has CUDA kernels for, and all shapes are fixed, so that a whole
/// batch can run on a GPU without the processor. The graph's inputs and outputs have the names of the constants beside
/// this function.
///
/// # Errors
/// [`OnnxError::Smoothing`] for a model that can't be extended: of an operator set before 9, with a fixed batch
/// dimension, or without the input or output named.
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
