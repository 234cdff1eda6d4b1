//! Whether an output can hold a score for each class, as far as the operators tell that make it.

use crate::{Dependencies, Dependency, Follow, OnnxError, messages::ModelProto};

/// Why the values of an output are no scores of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotScores {
    /// They were put in order of size, so that the first, or the last, is always the largest.
    Sorted,
    /// They are positions or numbers of classes, not values.
    Numbers,
    /// They belong to boxes that a detector chose among others.
    Boxes,
}

/// Operators that only move values, or change each without changing their order, and read them from the first input.
const MOVING: [&str; 34] = [
    "Cast",
    "CastLike",
    "Clip",
    "Compress",
    "DequantizeLinear",
    "Dropout",
    "Exp",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "ArrayFeatureExtractor",
    "Identity",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "Neg",
    "Normalizer",
    "Pad",
    "QuantizeLinear",
    "Relu",
    "Reshape",
    "SequenceAt",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "SplitToSequence",
    "Squeeze",
    "Tanh",
    "Tile",
    "Transpose",
    "Unsqueeze",
];
/// Those among them that are told by a second input which values to take.
const CHOOSING: [&str; 5] = ["ArrayFeatureExtractor", "Compress", "Gather", "GatherElements", "GatherND"];
/// Operators that suppress all but the best of overlapping boxes; those beside the standard one are plugins of TensorRT.
const SUPPRESSING: [&str; 5] =
    ["NonMaxSuppression", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "EfficientNMS_TRT", "NMS_TRT"];

/// Follows values to where they are made; with `choices`, also to what chooses among them.
pub(crate) fn follow_values(node: &Dependency<'_, '_>, choices: bool) -> Follow<'static> {
    match node.operator() {
        "If" | "Loop" | "Scan" => Follow::Graphs,
        "Concat" | "ConcatFromSequence" | "SequenceConstruct" | "SequenceInsert" => Follow::All,
        "Where" => Follow::Inputs(&[1, 2]),
        operator if choices && CHOOSING.contains(&operator) => Follow::Inputs(&[0, 1]),
        operator if MOVING.contains(&operator) => Follow::Inputs(&[0]),
        _ => Follow::Nothing,
    }
}

/// Finds an operator that shows an output to hold something else than a score for each class. Returns it in words, and
/// what the output holds.
///
/// # Errors
/// Those of [`Dependencies::of`].
///
/// ```
/// use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, NotScores, find_not_scores};
///
/// let mut graph = GraphBuilder::new("best five");
/// let logits = graph.input("logits", ElementType::Float, &[Dim::symbolic("n"), Dim::Fixed(10)])?;
/// let k = graph.tensor("k", ElementType::Int64, &[1], 5_i64.to_le_bytes().to_vec())?;
/// let shape = vec![Dim::symbolic("n"), Dim::Fixed(5)];
/// let best = graph.operator("TopK", &[&logits, &k], Vec::new(), ElementType::Float, shape);
/// let model = graph.finish(&[("best", &best)], &ModelMetadata::default())?;
/// assert_eq!(find_not_scores(&model, "best")?, Some(("TopK 'topk_0'".into(), NotScores::Sorted)));
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
pub fn find_not_scores(model: &ModelProto, output: &str) -> Result<Option<(String, NotScores)>, OnnxError> {
    let first = |found: &Dependencies<'_>, operators: &[&str], what| {
        let node = found.nodes().find(|node| operators.contains(&node.operator()))?;
        Some((node.describe(), what))
    };
    let all = Dependencies::of(model, &[output], |_| Follow::All)?;
    if let Some(boxes) = first(&all, &SUPPRESSING, NotScores::Boxes) {
        return Ok(Some(boxes));
    }
    let values = Dependencies::of(model, &[output], |node| follow_values(node, false))?;
    if let Some(numbers) = first(&values, &["ArgMax", "ArgMin", "NonZero"], NotScores::Numbers) {
        return Ok(Some(numbers));
    }
    let chosen = Dependencies::of(model, &[output], |node| follow_values(node, true))?;
    Ok(first(&chosen, &["TopK", "Unique"], NotScores::Sorted))
}
