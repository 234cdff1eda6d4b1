use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DataError, cifar, folder, idx::read_idx, npz};

/// Part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What models are trained on.
    Train,
    /// What they are tested on.
    Test,
}

impl Split {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// What names of files of the split start with in the IDX format.
    pub(super) fn idx_prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// Labelled images, as they are on disk: one byte a value, C×H×W an image.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub(super) pixels: Vec<u8>,
    pub(super) shape: [usize; 3],
    pub(super) labels: Vec<u8>,
    pub(super) class_names: Option<Vec<String>>,
    /// The file of images, or the folder if the images are in several files.
    pub path: PathBuf,
    /// SHA-256 of the images as they are stored: of the IDX or npy file, unpacked; of the member `images.npy` of an
    /// npz file, unpacked; of all CIFAR files read, one after the other.
    pub images_sha256: String,
    /// SHA-256 of the labels as they are stored, likewise; CIFAR files hold both, so that it is the same as
    /// [`images_sha256`](Self::images_sha256).
    pub labels_sha256: String,
}

impl Dataset {
    /// Opens a data set:
    ///
    /// - a folder with files of one of the formats IDX, CIFAR-10 and CIFAR-100 under their usual names, or with `train.npz`
    ///   and `test.npz`;
    /// - a file `….npz` with an array `images` of bytes (N×H×W, or N×C×H×W or N×H×W×C with C 1 or 3) and an array
    ///   `labels` of integers (N);
    /// - a file `….npy` of such images, with their labels beside it under the same name with `labels` for `images`;
    /// - a file `….bin` of records of CIFAR-10 or CIFAR-100;
    /// - any other file as IDX, with its labels beside it under the same name with `labels-idx1` for `images-idx3`.
    ///
    /// The class in CIFAR-100 is the fine label. For a file, `split` is not used.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn open(path: &Path, split: Split) -> Result<Self, DataError> {
        if path.is_dir() {
            return folder::open(path, split);
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "npz" => npz::open_npz(path),
            "npy" => npz::open_npy(path, &folder::labels_beside(path, "npy")?),
            "bin" => cifar::open_file(path),
            _ => Self::from_idx(path, &folder::labels_beside(path, "IDX")?),
        }
    }

    /// Reads a file of images (N×H×W or N×C×H×W) and a file of labels (N), both IDX.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn from_idx(images_path: &Path, labels_path: &Path) -> Result<Self, DataError> {
        let images = read_idx(images_path)?;
        let malformed = |path: &Path, problem: String| DataError::Malformed {
            path: path.to_owned(),
            format: "IDX",
            problem,
        };
        let (count, shape) = match images.shape[..] {
            [n, h, w] => (n, [1, h, w]),
            [n, c, h, w] => (n, [c, h, w]),
            _ => {
                let problem =
                    format!("images have 3 or 4 dimensions (N, H, W or N, C, H, W), not {:?}", images.shape);
                return Err(malformed(images_path, problem));
            }
        };
        if count == 0 || shape.contains(&0) {
            return Err(malformed(images_path, format!("its shape {:?} holds no image", images.shape)));
        }
        let labels = read_idx(labels_path)?;
        if labels.shape.len() != 1 {
            let problem = format!("labels have 1 dimension, not {:?}", labels.shape);
            return Err(malformed(labels_path, problem));
        }
        if labels.bytes.len() != count {
            return Err(DataError::CountMismatch {
                images_path: images_path.to_owned(),
                images: count,
                labels_path: labels_path.to_owned(),
                labels: labels.bytes.len(),
            });
        }
        Ok(Self {
            pixels: images.bytes,
            shape,
            labels: labels.bytes,
            class_names: None,
            path: images_path.to_owned(),
            images_sha256: images.sha256,
            labels_sha256: labels.sha256,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image; never so for a data set that was read.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Shape of an image: channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Labels of all images.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Names of the classes, in order of their labels, where the data set has them: those of CIFAR in
    /// `batches.meta.txt` or `fine_label_names.txt`, if there are as many as classes.
    pub fn class_names(&self) -> Option<Vec<String>> {
        self.class_names.clone()
    }

    /// Bytes of an image, C×H×W.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let size = self.shape.iter().product::<usize>();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// An image with values in \[0, 1\], C×H×W.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> Vec<f32> {
        self.pixels(index).iter().map(|&byte| f32::from(byte) / 255.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::write_idx;

    fn write(folder: &Path, images: &[usize], labels: usize) {
        let bytes = vec![128; images.iter().product()];
        write_idx(&folder.join("t10k-images-idx3-ubyte"), images, &bytes).unwrap();
        write_idx(&folder.join("t10k-labels-idx1-ubyte"), &[labels], &vec![3; labels]).unwrap();
    }

    #[test]
    fn a_folder_and_a_file_give_the_same() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[5, 2, 3], 5);
        let by_folder = Dataset::open(folder.path(), Split::Test).unwrap();
        let by_file = Dataset::open(&folder.path().join("t10k-images-idx3-ubyte"), Split::Train).unwrap();
        assert_eq!((by_folder.len(), by_folder.shape()), (5, [1, 2, 3]));
        assert_eq!(by_folder.images_sha256, by_file.images_sha256);
        assert_eq!(by_folder.image(4), vec![128.0 / 255.0; 6]);
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = |split| Dataset::open(folder.path(), split).unwrap_err().to_string();
        write(folder.path(), &[5, 2, 3], 4);
        assert!(
            text(Split::Train).ends_with("its IDX files lack train-images-idx3-ubyte"),
            "{}",
            text(Split::Train)
        );
        assert!(text(Split::Test).contains("holds 5 images"), "{}", text(Split::Test));
        write(folder.path(), &[5, 6], 5);
        assert!(text(Split::Test).contains("not [5, 6]"), "{}", text(Split::Test));
        write(folder.path(), &[0, 6, 6], 0);
        assert!(text(Split::Test).contains("holds no image"), "{}", text(Split::Test));
    }
}
