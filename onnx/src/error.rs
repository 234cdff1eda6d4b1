use std::path::PathBuf;

/// Errors of model files and graphs.
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
    /// The file is truncated or not an ONNX model.
    #[error("{} is not an ONNX model or is truncated: {reason}", path.display())]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// Why it is not a model.
        reason: String,
    },
    /// Bytes in memory are not an ONNX model.
    #[error("not an ONNX model: {0}")]
    Malformed(String),
    /// The file is larger than an ONNX file can be.
    #[error(
        "{} has {bytes} bytes and an ONNX file at most 2 GiB; keep the weights of a larger model in files beside it",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The model has a field that this crate does not know and that would be lost when the model is written again.
    #[error(
        "the model can't be changed without loss: field {field} of {message} is not in the ONNX format known here; \
         save the model with an ONNX release up to 1.23"
    )]
    UnknownField {
        /// The message with the field.
        message: &'static str,
        /// Number of the field.
        field: u32,
    },
    /// A file of weights (external data) can't be read or may not be read.
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
    /// The model can't be converted to the requested precision.
    #[error("the model can't be written in {precision}: {problem}")]
    Precision {
        /// The precision.
        precision: &'static str,
        /// Why not.
        problem: String,
    },
    /// The shapes of a node's inputs do not fit together.
    #[error("operator {operator} in the graph: {problem}")]
    Shape {
        /// The operator.
        operator: &'static str,
        /// The mismatch, with the shapes.
        problem: String,
    },
    /// A metadata entry of Mithridate has an invalid value.
    #[error("the model's metadata entry {key} is '{value}', which is not {expected}")]
    Metadata {
        /// Key of the entry.
        key: String,
        /// Its value.
        value: String,
        /// The kind of value expected.
        expected: &'static str,
    },
}
