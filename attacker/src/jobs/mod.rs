//! What the commands and experiments do, from files to files: make poison, train a victim.

mod poison;
mod victim;

pub use poison::{PoisonJob, make_poison};
pub use victim::{ClassAccuracy, VictimJob, VictimReport, train_victim};

/// Names of the files a victim leaves in its folder.
pub mod names {
    /// Parameters.
    pub const WEIGHTS: &str = "weights.safetensors";
    /// The exported model.
    pub const MODEL: &str = "model.onnx";
    /// How it was trained and what it gets right; written last.
    pub const REPORT: &str = "train.json";
    /// Run log of an attack, JSON lines.
    pub const LOG: &str = "log.jsonl";
}
