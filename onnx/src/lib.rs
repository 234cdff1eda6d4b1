//! ONNX models: reading and writing files, the messages of the format, a typed graph builder, analysis and rewriting of
//! graphs, and the metadata that Mithridate stores in a model.
//!
//! Both halves of Mithridate use this crate: the attacker builds graphs of the networks that it trained, and the
//! certification runtime reads any classifier. The crate depends on protobuf only, not on libtorch or ONNX Runtime.
//!
//! ```
//! use ndarray::{Array1, Array2};
//! use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata};
//!
//! let mut graph = GraphBuilder::new("linear");
//! let image = graph.input("image", ElementType::Float, &[Dim::symbolic("batch"), Dim::Fixed(4)])?;
//! let weight = graph.constant("weight", &Array2::from_elem((3, 4), 0.5).view().into_dyn());
//! let bias = graph.constant("bias", &Array1::zeros(3).view().into_dyn());
//! let logits = graph.linear(&image, &weight, Some(&bias))?;
//! let model = graph.finish(&[("logits", &logits)], &ModelMetadata::default())?;
//! assert_eq!(mithridate_onnx::summarize(&model)?.outputs[0].to_string(), "logits: float [batch, 3]");
//! # Ok::<(), mithridate_onnx::OnnxError>(())
//! ```

mod batch;
mod builder;
mod class_labels;
mod decoded_size;
mod dependencies;
mod element_type;
mod error;
mod external;
mod file;
pub mod files;
mod inference;
pub mod memory;
pub mod messages;
mod metadata;
mod multiply_adds;
mod normalization;
mod precision;
mod schema;
mod scores;
pub mod smoothing;
mod summary;
mod tensors;
mod unknown_fields;
mod wire;

pub use batch::with_symbolic_batch;
pub use builder::{BatchNorm, Conv2d, GraphBuilder, Pool2d, Value, attributes};
pub use class_labels::{LabelOutput, find_labels};
pub use dependencies::{Dependencies, Dependency, Follow, Scalar};
pub use element_type::ElementType;
pub use error::OnnxError;
pub use external::{ExternalFile, ModelFile};
pub use file::{from_bytes, read, to_bytes, write};
pub use inference::{NotInference, find_not_inference};
pub use metadata::ModelMetadata;
pub use multiply_adds::{multiply_adds, products};
pub use normalization::{Normalization, find_normalization};
pub use precision::{Affine, to_float16, to_int8};
pub use scores::{NotScores, find_not_scores};
pub use smoothing::{NoiseInput, Smoothing, with_smoothing};
pub use summary::{Dim, ModelSummary, ValueSummary, summarize};
pub use unknown_fields::check_known_fields;

/// Version of the file format that this crate writes.
pub const IR_VERSION: i64 = 8;
/// Version of the standard operator set that this crate writes.
pub const OPSET_VERSION: i64 = 17;
