//! Outputs with class labels: some models output a label beside the scores, and list the labels of their classes.

use crate::{
    Dependencies, Dependency, ElementType, Follow, OnnxError,
    messages::{DataLocation, ModelProto, TensorProto},
    scores::follow_values,
};

/// An output with one class label for each input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelOutput {
    /// The labels of the classes in the order of the scores, if the model lists them.
    pub labels: Option<Vec<String>>,
}

/// Classifiers of the operator set `ai.onnx.ml`, whose first output is a label, with the attribute that contains integer
/// labels. Labels that are strings are in `classlabels_strings`.
const CLASSIFIERS: [(&str, &str); 3] = [
    ("LinearClassifier", "classlabels_ints"),
    ("SVMClassifier", "classlabels_ints"),
    ("TreeEnsembleClassifier", "classlabels_int64s"),
];

/// Detects whether an output contains class labels: whether it comes, directly or through a table of labels, from
/// `ArgMax`, `ArgMin` (for scores that are distances or costs) or a classifier of `ai.onnx.ml`. `None` if it does not.
///
/// # Errors
/// Those of [`Dependencies::of`].
///
/// ```
/// use mithridate_onnx::{Dim, ElementType, GraphBuilder, LabelOutput, ModelMetadata, find_labels};
///
/// let mut graph = GraphBuilder::new("label");
/// let logits = graph.input("logits", ElementType::Float, &[Dim::symbolic("n"), Dim::Fixed(10)])?;
/// let shape = vec![Dim::symbolic("n"), Dim::Fixed(1)];
/// let label = graph.operator("ArgMax", &[&logits], Vec::new(), ElementType::Int64, shape);
/// let model = graph.finish(&[("label", &label)], &ModelMetadata::default())?;
/// assert_eq!(find_labels(&model, "label")?, Some(LabelOutput { labels: None }));
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
pub fn find_labels(model: &ModelProto, output: &str) -> Result<Option<LabelOutput>, OnnxError> {
    let found = Dependencies::of(model, &[output], follow_labels)?;
    let is_source = |node: &Dependency<'_, '_>| {
        matches!(node.operator(), "ArgMax" | "ArgMin") || classifier(node.operator()).is_some()
    };
    if !found.nodes().any(|node| is_source(&node)) {
        return Ok(None);
    }
    Ok(Some(LabelOutput { labels: found.nodes().find_map(|node| listed(&node)) }))
}

fn follow_labels(node: &Dependency<'_, '_>) -> Follow<'static> {
    match node.operator() {
        // The first input is a table of labels, the second the index of the label.
        "ArrayFeatureExtractor" | "Gather" if node.constant(0).is_some() => Follow::Inputs(&[1]),
        "LabelEncoder" => Follow::Inputs(&[0]),
        _ => follow_values(node, false),
    }
}

fn classifier(operator: &str) -> Option<&'static str> {
    CLASSIFIERS.iter().find(|(name, _)| *name == operator).map(|(_, attribute)| *attribute)
}

/// The labels that a node lists in its attributes or in a constant table.
fn listed(node: &Dependency<'_, '_>) -> Option<Vec<String>> {
    let numbers =
        |name: &str| Some(node.attribute(name)?.ints.iter().map(i64::to_string).collect::<Vec<_>>());
    let texts = |name: &str| {
        let list = &node.attribute(name)?.strings;
        Some(list.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>())
    };
    let one_of = |found: Option<Vec<String>>, other: Option<Vec<String>>| {
        found.filter(|list| !list.is_empty()).or(other).filter(|list| !list.is_empty())
    };
    match node.operator() {
        "ArrayFeatureExtractor" | "Gather" => elements(node.constant(0)?),
        "LabelEncoder" => {
            // Only if its keys are 0, 1, 2, …, so that its values are in the order of the classes.
            let keys = &node.attribute("keys_int64s")?.ints;
            let in_order = keys.iter().enumerate().all(|(at, &key)| i64::try_from(at) == Ok(key));
            if in_order { one_of(numbers("values_int64s"), texts("values_strings")) } else { None }
        }
        operator => one_of(numbers(classifier(operator)?), texts("classlabels_strings")),
    }
}

/// The elements of a tensor of integers or strings, as text.
fn elements(tensor: &TensorProto) -> Option<Vec<String>> {
    if tensor.data_location == Some(DataLocation::External as i32) {
        return None;
    }
    let raw = tensor.raw_data.as_deref().filter(|bytes| !bytes.is_empty());
    let list: Vec<String> = match (ElementType::from_number(tensor.data_type?)?, raw) {
        (ElementType::Int64, Some(raw)) => {
            raw.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes).to_string()).collect()
        }
        (ElementType::Int64, None) => tensor.int64_data.iter().map(i64::to_string).collect(),
        (ElementType::Int32, Some(raw)) => {
            raw.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).to_string()).collect()
        }
        (ElementType::Int32, None) => tensor.int32_data.iter().map(i32::to_string).collect(),
        (ElementType::String, _) => {
            tensor.string_data.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        }
        _ => return None,
    };
    (!list.is_empty()).then_some(list)
}
