use std::path::PathBuf;

/// What can go wrong with a model file or a graph.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file could not be read.
    #[error("cannot read the model {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write the model {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is cut short or not an ONNX model at all.
    #[error("{} is not an ONNX model or is truncated: {reason}", path.display())]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// What was found in place of a model.
        reason: String,
    },
    /// Bytes in memory are not an ONNX model.
    #[error("not an ONNX model: {0}")]
    Malformed(String),
    /// The file is larger than any ONNX file can be.
    #[error(
        "{} has {bytes} bytes and an ONNX file at most 2 GiB; keep the weights of a larger model in files beside it",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A field that no known version of the format has, which writing the model again would lose.
    #[error(
        "the model can't be changed without loss: field {field} of {message} is not in the ONNX format known here; \
         save the model with an ONNX release up to 1.23"
    )]
    UnknownField {
        /// Message that holds the field.
        message: &'static str,
        /// Number of the field.
        field: u32,
    },
    /// Weights that are to come from another file which can't be had, or may not be.
    #[error("the weights '{location}' of {}: {problem}", model.display())]
    External {
        /// The model.
        model: PathBuf,
        /// The file as the model names it.
        location: String,
        /// What is wrong.
        problem: String,
    },
    /// The batch dimension can't be made symbolic.
    #[error("the batch dimension can't be made symbolic: {0}")]
    Batch(String),
    /// The model can't be extended to a smoothing graph.
    #[error("the model can't be extended to count its own votes: {0}")]
    Smoothing(String),
    /// The model has no form in the precision asked for.
    #[error("the model can't be written in {precision}: {problem}")]
    Precision {
        /// The precision.
        precision: &'static str,
        /// What has no such form.
        problem: String,
    },
    /// Shapes of a node's inputs don't fit each other.
    #[error("operator {operator} in the graph: {problem}")]
    Shape {
        /// The operator.
        operator: &'static str,
        /// What doesn't fit, with the shapes.
        problem: String,
    },
    /// A metadata entry of Mithridate's has a value that can't be read.
    #[error("the model's metadata entry {key} is '{value}', which is not {expected}")]
    Metadata {
        /// The entry.
        key: String,
        /// Its text.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}
