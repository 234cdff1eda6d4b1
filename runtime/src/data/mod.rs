//! Data sets: labelled images with what is needed to say exactly which ones they were.

mod cifar;
mod dataset;
mod error;
mod folder;
mod hash;
mod idx;
mod npz;

pub use dataset::{Dataset, Split};
pub use error::DataError;
pub(crate) use hash::hex;
pub use hash::{sha256, sha256_file};
pub use idx::{Idx, read_idx, write_idx};
pub use npz::{NpzArray, write_npz};
