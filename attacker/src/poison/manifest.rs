use serde::{Deserialize, Serialize};

use crate::{attack::AttackSettings, data::SplitSettings};

/// Name and version of the format.
pub(super) const SCHEMA: &str = "mithridate-poison/1";

/// What a poison set is and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name and version of the format.
    pub schema: String,
    /// Program and version.
    pub tool: String,
    /// The training set it is for.
    pub data: SourceData,
    /// How that was split; the poison replaces training images only.
    pub split: SplitSettings,
    /// Class of all poisoned images; their labels are unchanged.
    pub target_class: usize,
    /// Largest change of a pixel that was allowed, ℓ∞ in \[0, 1\].
    pub epsilon: f64,
    /// Largest change found in the stored bytes, in steps of 1/255; checked when the set is written and when it is
    /// read beside its data.
    pub largest_change: u8,
    /// How the images were made.
    pub generator: Generator,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Device it was made on.
    pub device: String,
    /// Threads it was made with; sums in another order can differ in the last bit.
    pub threads: usize,
    /// Indices of the training images they replace, ascending.
    pub indices: Vec<usize>,
    /// SHA-256 of the file of images.
    pub images_sha256: String,
}

/// A training set, by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceData {
    /// SHA-256 of its images.
    pub images_sha256: String,
    /// SHA-256 of its labels.
    pub labels_sha256: String,
}

/// How poison was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Generator {
    /// By bilevel optimisation.
    Bilevel(Box<AttackSettings>),
    /// By coin flips.
    Random,
}
