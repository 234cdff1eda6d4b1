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
