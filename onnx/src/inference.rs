use crate::{Dependencies, Dependency, Follow, OnnxError, Scalar, messages::ModelProto};

/// Operators that draw random numbers: domain and name, of the standard operator set and of ONNX Runtime.
const RANDOM: [(&str, &str); 7] = [
    ("", "RandomNormal"),
    ("", "RandomNormalLike"),
    ("", "RandomUniform"),
    ("", "RandomUniformLike"),
    ("", "Multinomial"),
    ("", "Bernoulli"),
    ("com.microsoft", "Sampling"),
];

/// Dropout operators: domain, name, and the positions of the inputs for the ratio and for the training mode.
const DROPOUT: [(&str, &str, [usize; 2]); 7] = [
    ("", "Dropout", [1, 2]),
    ("com.microsoft", "TrainableDropout", [1, 2]),
    ("com.microsoft", "BitmaskDropout", [1, 2]),
    ("com.microsoft", "BiasDropout", [3, 4]),
    ("com.microsoft", "BitmaskBiasDropout", [3, 4]),
    ("com.microsoft", "BiasSoftmaxDropout", [2, 2]),
    ("com.microsoft", "SoftmaxDropout", [1, 1]),
];

/// Why the output of a model is not a deterministic function of each input alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInference {
    /// The operator draws random numbers.
    Random,
    /// The operator is dropout in training mode.
    Dropout,
    /// The operator is dropout whose mode is computed or is an input of the model, so it may be in training mode.
    DropoutPerhaps,
    /// The operator is batch normalisation in training mode: it normalises by the statistics of the batch.
    BatchStatistics,
}

/// Finds a node on which the output `output` depends and that must not be in a model for inference: one that draws
/// random numbers, or dropout or batch normalisation in training mode. Returns a description of the node and the
/// reason.
///
/// Nodes that can't influence the output are ignored.
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
    // The second domain is that of operators which ONNX Runtime creates itself during optimisation.
    let is_standard = matches!(domain, "" | "com.ms.internal.nhwc");
    (is_standard && operator == "BatchNormalization" && normalises_by_batch(node))
        .then_some(NotInference::BatchStatistics)
}

fn dropout(node: &Dependency<'_, '_>, [ratio, mode]: [usize; 2]) -> Option<NotInference> {
    if node.domain().is_empty() {
        let is_test = node.attribute("is_test").and_then(|attribute| attribute.i);
        match node.opset() {
            // Before opset 7, training mode is the default.
            Some(..7) if is_test.unwrap_or(0) == 0 => {
                let ratio = node.attribute("ratio").and_then(|attribute| attribute.f);
                return (ratio != Some(0.0)).then_some(NotInference::Dropout);
            }
            // From opset 7 to 11 there is no training mode.
            Some(..12) => return None,
            _ => {}
        }
    }
    if node.scalar(ratio) == Scalar::Known(0.0) {
        return None;
    }
    // Operators without an input for the mode are for training only.
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
        // From opset 7 to 13 the statistics are outputs only in training mode.
        Some(..14) => node.node().output.iter().skip(1).any(|name| !name.is_empty()),
        _ => number("training_mode") != 0,
    }
}
