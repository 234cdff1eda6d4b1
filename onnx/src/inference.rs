use crate::{Dependencies, Dependency, Follow, OnnxError, Scalar, messages::ModelProto};

/// Operators that draw numbers, in the standard set and in those of ONNX Runtime.
const RANDOM: [(&str, &str); 7] = [
    ("", "RandomNormal"),
    ("", "RandomNormalLike"),
    ("", "RandomUniform"),
    ("", "RandomUniformLike"),
    ("", "Multinomial"),
    ("", "Bernoulli"),
    ("com.microsoft", "Sampling"),
];

/// Operators that drop values at random in training mode, with the positions of the inputs that say how many and whether.
const DROPOUT: [(&str, &str, [usize; 2]); 7] = [
    ("", "Dropout", [1, 2]),
    ("com.microsoft", "TrainableDropout", [1, 2]),
    ("com.microsoft", "BitmaskDropout", [1, 2]),
    ("com.microsoft", "BiasDropout", [3, 4]),
    ("com.microsoft", "BitmaskBiasDropout", [3, 4]),
    ("com.microsoft", "BiasSoftmaxDropout", [2, 2]),
    ("com.microsoft", "SoftmaxDropout", [1, 1]),
];

/// Why an answer is not one function of each input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInference {
    /// The operator draws numbers.
    Random,
    /// It drops values at random, for it is in training mode.
    Dropout,
    /// It is dropout whose mode is computed, or given from outside, so that nobody can tell.
    DropoutPerhaps,
    /// It normalises by the mean and variance of the batch, for it is in training mode.
    BatchStatistics,
}

/// Finds a node that an output depends on and that has no place in a model that only answers: one that draws numbers, or
/// dropout or batch normalisation in training mode. Returns the node in words, and what is wrong with it.
///
/// A node that can't influence the output is none of these.
///
/// # Errors
/// Those of [`Dependencies::of`].
///
/// ```
/// use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, NotInference, find_not_inference};
///
/// let mut graph = GraphBuilder::new("random");
/// let image = graph.input("image", ElementType::Float, &[Dim::symbolic("n"), Dim::Fixed(4)])?;
/// let shape = image.shape().to_vec();
/// let output = graph.operator("Bernoulli", &[&image], Vec::new(), ElementType::Float, shape);
/// let model = graph.finish(&[("y", &output)], &ModelMetadata::default())?;
/// let found = find_not_inference(&model, "y")?;
/// assert_eq!(found, Some(("Bernoulli 'bernoulli_0'".into(), NotInference::Random)));
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
pub fn find_not_inference(
    model: &ModelProto,
    output: &str,
) -> Result<Option<(String, NotInference)>, OnnxError> {
    let found = Dependencies::of(model, &[output], |_| Follow::All)?;
    Ok(found.nodes().find_map(|node| Some((node.describe(), problem(&node)?))))
}

fn problem(node: &Dependency<'_, '_>) -> Option<NotInference> {
    let (domain, operator) = (node.domain(), node.operator());
    if RANDOM.contains(&(domain, operator)) {
        return Some(NotInference::Random);
    }
    if let Some((.., places)) = DROPOUT.iter().find(|(set, name, _)| (*set, *name) == (domain, operator)) {
        return dropout(node, *places);
    }
    // The second is the set of a form that ONNX Runtime makes itself.
    let is_standard = matches!(domain, "" | "com.ms.internal.nhwc");
    (is_standard && operator == "BatchNormalization" && normalises_by_batch(node))
        .then_some(NotInference::BatchStatistics)
}

fn dropout(node: &Dependency<'_, '_>, [ratio, mode]: [usize; 2]) -> Option<NotInference> {
    if node.domain().is_empty() {
        let is_test = node.attribute("is_test").and_then(|attribute| attribute.i);
        match node.opset() {
            // In these sets training mode is the default.
            Some(..7) if is_test.unwrap_or(0) == 0 => {
                let ratio = node.attribute("ratio").and_then(|attribute| attribute.f);
                return (ratio != Some(0.0)).then_some(NotInference::Dropout);
            }
            // In these there is none.
            Some(..12) => return None,
            _ => {}
        }
    }
    if node.scalar(ratio) == Scalar::Known(0.0) {
        return None;
    }
    // Those that have no input for the mode are of training only.
    let has_mode = ratio != mode;
    match node.scalar(mode) {
        _ if !has_mode => Some(NotInference::Dropout),
        Scalar::Absent | Scalar::Known(0.0) => None,
        Scalar::Known(_) => Some(NotInference::Dropout),
        Scalar::Unknown => Some(NotInference::DropoutPerhaps),
    }
}

fn normalises_by_batch(node: &Dependency<'_, '_>) -> bool {
    let number = |name: &str| node.attribute(name).and_then(|attribute| attribute.i).unwrap_or(0);
    match node.opset() {
        Some(..7) => number("is_test") == 0,
        // The mean and variance of the batch are outputs in training mode alone.
        Some(..14) => node.node().output.iter().skip(1).any(|name| !name.is_empty()),
        _ => number("training_mode") != 0,
    }
}
