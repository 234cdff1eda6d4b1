//! Data sets: labelled images with what is needed to say exactly which ones they were.

mod cifar;
mod dataset;
mod error;
mod folder;
mod hash;
mod idx;
mod images;
mod npz;
mod picture;
mod preparation;

pub use dataset::{Dataset, OpenOptions, Split};
pub use error::DataError;
pub(crate) use hash::hex;
pub use hash::{sha256, sha256_file};
pub use idx::{Idx, parse_idx, read_idx, write_idx};
pub use npz::{NpzArray, write_npz};
pub use preparation::Preparation;
