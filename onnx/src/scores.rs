//! Detects outputs that are not scores of classes, from the operators that compute them.

use crate::{Dependencies, Dependency, Follow, OnnxError, messages::ModelProto};

/// Why the values of an output are not scores of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotScores {
    /// They are sorted, so the first or the last is always the largest.
    Sorted,
    /// They are positions or class indices.
    Numbers,
    /// They belong to boxes selected by a detector.
    Boxes,
}

/// Operators whose output consists of values of the first input, moved or changed one by one.
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
/// Those of them whose second input selects values.
const CHOOSING: [&str; 5] = ["ArrayFeatureExtractor", "Compress", "Gather", "GatherElements", "GatherND"];
/// Operators for non-maximum suppression of overlapping boxes: the standard one and plugins of TensorRT.
const SUPPRESSING: [&str; 5] =
    ["NonMaxSuppression", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "EfficientNMS_TRT", "NMS_TRT"];

/// Follows values back to the node that computes them; with `choices`, also the indices that select among them.
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

/// Finds an operator which shows that the output `output` is not a score for each class. Returns a description of the
/// node and the reason.
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
