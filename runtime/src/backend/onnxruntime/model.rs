use std::path::PathBuf;

use mithridate_onnx::{ElementType, ModelMetadata, ModelSummary};
use serde::Serialize;

use super::{Device, OutputKind, labels::Labels, session::Content, signature::Signature};
use crate::backend::{ExternalSource, HALF, InputPrecision, Preprocessing, SINGLE};

/// The batch sizes that a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Batching {
    /// Any batch size.
    Symbolic,
    /// The file has the fixed batch size `from`. The model was rewritten to take any batch size, and both forms gave
    /// the same answers in a test.
    Rewritten {
        /// The batch size in the file.
        from: usize,
    },
    /// Only batches of `size`; the last batch of a run is filled up.
    Fixed {
        /// The batch size.
        size: usize,
    },
    /// Only batches of 1, because the answer to an input depends on the other inputs in the batch.
    Single,
}

impl Batching {
    /// The batch size, if there is only one.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Symbolic | Self::Rewritten { .. } => None,
            Self::Fixed { size } => Some(size),
            Self::Single => Some(1),
        }
    }
}

/// A classifier in an ONNX file that was read, checked and run on test inputs. [`classifier`](Self::classifier) creates
/// instances of it.
///
/// One input of images (float, float16 or double; N×C×H×W, N×H×W×C, N×H×W or N×F), any number of inputs with defaults,
/// and one output with a value for each class. The weights are in the file or in files beside it.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of the files of weights beside it, by name.
    pub external: Vec<ExternalSource>,
    /// Inputs, outputs and operators that the file describes.
    pub summary: ModelSummary,
    /// The metadata that Mithridate stores in models it exports.
    pub metadata: ModelMetadata,
    /// Conversion of a noisy image before the model gets it.
    pub preprocessing: Preprocessing,
    /// Kind of values of the output.
    pub kind: OutputKind,
    /// The batch sizes that it takes.
    pub batching: Batching,
    /// Labels of the classes in the order of the scores; empty if they are 0, 1, 2, ….
    pub class_labels: Vec<String>,
    /// Whether the caller named the output to read; this is possible also for the only output.
    pub is_output_named: bool,
    /// Unusual properties of the model, as sentences for the user.
    pub notes: Vec<String>,
    pub(super) classes: usize,
    pub(super) labels: Vec<Labels>,
    pub(super) signature: Signature,
    pub(super) content: Content,
    /// The content of the file, if the model was rewritten to take any batch size.
    pub(super) original: Option<Content>,
    /// Standard deviation of the noise that the model will get.
    pub(super) sigma: f64,
}

impl OnnxModel {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Shape of an image: channels, height, width.
    pub fn image_shape(&self) -> [usize; 3] {
        self.signature.image
    }

    /// Name of the output that is read.
    pub fn output(&self) -> &str {
        &self.signature.output.name
    }

    /// Name of the input that images go to.
    pub fn input(&self) -> &str {
        &self.signature.input.name
    }

    /// Rounding of noisy images before the model gets them.
    pub fn input_precision(&self) -> InputPrecision {
        self.signature.precision(&self.preprocessing)
    }

    /// Precision of most weights, such as `float32` or `int8`; that of the input if there are no weights.
    pub fn precision(&self) -> &'static str {
        if let Some(precision) = self.summary.precision() {
            return precision;
        }
        match self.signature.input.element_type {
            ElementType::Float16 => "float16",
            ElementType::Double => "float64",
            _ => "float32",
        }
    }

    /// Relative rounding error of the model's arithmetic on a device.
    pub(super) fn rounding(&self, device: Device) -> f32 {
        let types = [self.signature.input.element_type, self.signature.output.element_type];
        match device.precision_of(self.precision()) {
            "float32" | "float64" if !types.contains(&ElementType::Float16) => SINGLE,
            _ => HALF,
        }
    }

    /// Names of the classes in the order of the scores: those in the metadata, or the labels; empty if the model has
    /// neither.
    pub fn class_names(&self) -> &[String] {
        self.metadata.class_names.as_deref().unwrap_or(&self.class_labels)
    }
}
