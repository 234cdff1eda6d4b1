//! Poison sets on disk: 8-bit images anybody can read, and a manifest that says how they were made.
//!
//! A folder with `images-idx3-ubyte` (N×H×W; N×C×H×W for several channels) and `labels-idx1-ubyte`, the poisoned
//! images and their unchanged labels, and `manifest.json`, whose `indices` say which training images they replace.

mod manifest;
mod set;

pub use manifest::{Generator, Manifest, Origin, Selected, SourceData, classes_in_words};
pub use set::PoisonSet;
