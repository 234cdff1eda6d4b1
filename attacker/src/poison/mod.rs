//! Poison sets on disk: 8-bit images in open formats, and a manifest that says how they were made.
//!
//! A poison set is a folder with the poisoned images in `images-idx3-ubyte` (N×H×W, or N×C×H×W for several channels),
//! their unchanged labels in `labels-idx1-ubyte`, both again in `poison.npz`, and `manifest.json`. The `indices` of the
//! manifest are those of the training images that the poison replaces.

mod manifest;
mod set;

pub(crate) use manifest::classes_in_words;
pub use manifest::{Generator, Manifest, Origin, Selected, SourceData};
pub use set::PoisonSet;
