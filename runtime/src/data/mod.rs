//! Data sets: images with labels, and hashes that identify them.
//!
//! | format | files | shape of an image |
//! | --- | --- | --- |
//! | IDX, plain or gzip | `train-images-idx3-ubyte`, `t10k-images-idx3-ubyte` and their labels | 1×H×W, C×H×W |
//! | CIFAR-10, CIFAR-100, binary | `data_batch_1.bin`, `test_batch.bin`; `train.bin`, `test.bin` | 3×32×32 |
//! | NumPy | `train.npz`, `test.npz`; any `.npz`; `.npy`, with labels beside it | 1×H×W, 3×H×W |
//! | PNG, JPEG | a folder for each class, alone or in `train` and `test` (or `val`); one image | 1×H×W, 3×H×W |
//!
//! [`Dataset::open`] recognises the format and documents each of them. Files may come from anybody: readers check the
//! declared sizes before they allocate memory, and every inconsistency is an error.

mod cifar;
mod class_order;
mod dataset;
mod error;
mod folder;
mod formats;
mod hash;
mod idx;
mod images;
mod labels_beside;
mod npy;
mod npz;
mod open;
mod options;
mod picture;
mod preparation;

pub use class_order::ClassOrder;
pub use dataset::Dataset;
pub use error::DataError;
pub use formats::{file_formats, folder_formats};
pub(crate) use hash::hex;
pub use hash::{sha256, sha256_file};
pub use idx::{Idx, parse_idx, read_idx, write_idx};
#[cfg(feature = "ort")]
pub(crate) use images::is_image_name;
pub use npz::{NpzArray, write_npz};
pub use options::{OpenOptions, Split};
pub use preparation::Preparation;
