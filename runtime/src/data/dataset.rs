use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DataError, idx::read_idx};

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

    fn idx_prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// Labelled images, as they are on disk: one byte a value, C×H×W an image.
#[derive(Clone, Debug)]
pub struct Dataset {
    pixels: Vec<u8>,
    shape: [usize; 3],
    labels: Vec<u8>,
    /// The file of images.
    pub path: PathBuf,
    /// SHA-256 of the file of images.
    pub images_sha256: String,
    /// SHA-256 of the file of labels.
    pub labels_sha256: String,
}

impl Dataset {
    /// Opens a data set: a folder with IDX files under their usual names, or one IDX file of images (then `split`
    /// is not used) with its labels beside it under the same name with `labels-idx1` for `images-idx3`.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn open(path: &Path, split: Split) -> Result<Self, DataError> {
        let images = if path.is_dir() { find_images(path, split)? } else { path.to_owned() };
        let labels = labels_beside(&images)?;
        Self::from_idx(&images, &labels)
    }

    /// Reads a file of images (N×H×W or N×C×H×W) and a file of labels (N), both IDX.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn from_idx(images_path: &Path, labels_path: &Path) -> Result<Self, DataError> {
        let images = read_idx(images_path)?;
        let malformed =
            |path: &Path, problem: String| DataError::Malformed { path: path.to_owned(), problem };
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

fn find_images(folder: &Path, split: Split) -> Result<PathBuf, DataError> {
    let name = format!("{}-images-idx3-ubyte", split.idx_prefix());
    let candidates = [name.clone(), format!("{name}.gz"), name.replace("-idx3", ".idx3")];
    candidates.iter().map(|candidate| folder.join(candidate)).find(|path| path.is_file()).ok_or_else(|| {
        DataError::NoSplit { folder: folder.to_owned(), split: split.name(), images: name.clone() }
    })
}

fn labels_beside(images: &Path) -> Result<PathBuf, DataError> {
    let name = images.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    std::fs::metadata(images).map_err(|source| DataError::Read { path: images.to_owned(), source })?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    if labels == name {
        let problem =
            "its name does not contain 'images', so that its labels can't be found beside it".into();
        return Err(DataError::Malformed { path: images.to_owned(), problem });
    }
    let plain = images.with_file_name(labels.trim_end_matches(".gz"));
    let packed = images.with_file_name(format!("{}.gz", labels.trim_end_matches(".gz")));
    Ok(if !plain.is_file() && packed.is_file() { packed } else { plain })
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
        assert!(text(Split::Train).contains("expected train-images-idx3-ubyte"), "{}", text(Split::Train));
        write(folder.path(), &[5, 2, 3], 4);
        assert!(text(Split::Test).contains("holds 5 images"), "{}", text(Split::Test));
        write(folder.path(), &[5, 6], 5);
        assert!(text(Split::Test).contains("not [5, 6]"), "{}", text(Split::Test));
        write(folder.path(), &[0, 6, 6], 0);
        assert!(text(Split::Test).contains("holds no image"), "{}", text(Split::Test));
    }
}
