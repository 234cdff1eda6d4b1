use serde::{Deserialize, Serialize};

use crate::{attack::AttackSettings, data::SplitSettings};

/// Name and version of the format.
pub(super) const SCHEMA: &str = "mithridate-poison/2";

/// The manifest of a poison set: what it contains and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name and version of the format.
    pub schema: String,
    /// Program and version.
    pub tool: String,
    /// The training set that the poison is for.
    pub data: SourceData,
    /// How the training set was split; the poison replaces images of the training part only.
    pub split: SplitSettings,
    /// Largest change of a byte, in steps of 1/255; checked when the set is written and when it is read.
    pub largest_change: u8,
    /// SHA-256 of the file of images; empty until that is written.
    pub images_sha256: String,
    /// How it was made.
    #[serde(flatten)]
    pub origin: Origin,
}

/// How a poison set was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Classes of the poisoned images; their labels are unchanged.
    pub target_classes: Vec<usize>,
    /// Share of the training images of these classes that were poisoned.
    pub poisoned_share: f64,
    /// Largest change of a pixel that was allowed, ℓ∞ in \[0, 1\].
    pub epsilon: f64,
    /// How the images were made.
    pub generator: Generator,
    /// The candidate that was selected, if there were several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub selected: Option<Selected>,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Device it was made on.
    pub device: String,
    /// Threads it was made with; with another number sums can differ in the last bit.
    pub threads: usize,
    /// Indices of the training images that the poison replaces, ascending.
    pub indices: Vec<usize>,
}

/// Classes as text: “class 8”, “classes 3, 8”.
pub fn classes_in_words(classes: &[usize]) -> String {
    let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
    let noun = if names.len() == 1 { "class" } else { "classes" };
    format!("{noun} {}", names.join(", "))
}

/// A training set, identified by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceData {
    /// SHA-256 of its images.
    pub images_sha256: String,
    /// SHA-256 of its labels.
    pub labels_sha256: String,
}

/// A candidate poison set, and the certified radii of networks trained on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// Number of the restart that made it, from 0.
    pub restart: usize,
    /// Step after which it was kept.
    pub step: usize,
    /// Average certified radius of each network trained on it, on validation images.
    pub acr: Vec<f64>,
}

impl Selected {
    /// Mean of `acr` over the networks.
    pub fn mean_acr(&self) -> f64 {
        self.acr.iter().sum::<f64>() / self.acr.len().max(1) as f64
    }
}

/// How poison was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Generator {
    /// By bilevel optimisation.
    Bilevel(Box<AttackSettings>),
    /// By random signs.
    Random,
    /// By blending with images of other classes.
    Watermark,
}
