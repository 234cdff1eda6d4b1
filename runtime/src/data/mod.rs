//! Data sets: labelled images with what is needed to say exactly which ones they were.
//!
//! | format | files | shape of an image |
//! | --- | --- | --- |
//! | IDX, plain or gzip | `train-images-idx3-ubyte`, `t10k-images-idx3-ubyte` and their labels | 1×H×W, C×H×W |
//! | CIFAR-10, CIFAR-100, binary | `data_batch_1.bin`, `test_batch.bin`; `train.bin`, `test.bin` | 3×32×32 |
//! | NumPy | `train.npz`, `test.npz`; any `.npz`; `.npy`, with labels beside it | 1×H×W, 3×H×W |
//! | PNG, JPEG | a folder a class, alone or in `train` and `test` (or `val`); one image | 1×H×W, 3×H×W |
//!
//! [`Dataset::open`] tells them apart and says what is expected of each. Every reader takes bytes of unknown origin:
//! what is declared is checked before memory is taken for it, and whatever does not fit is an error that names it.

mod cifar;
mod class_order;
mod dataset;
mod error;
mod folder;
mod hash;
mod idx;
mod images;
mod npy;
mod npz;
mod picture;
mod preparation;

pub use class_order::ClassOrder;
pub use dataset::{Dataset, OpenOptions, Split};
pub use error::DataError;
pub(crate) use hash::hex;
pub use hash::{sha256, sha256_file};
pub use idx::{Idx, parse_idx, read_idx, write_idx};
#[cfg(feature = "cli")]
pub(crate) use images::is_image_name;
pub use npz::{NpzArray, write_npz};
pub use preparation::Preparation;
