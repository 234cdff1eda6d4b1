use std::{
    io::{BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{DataError, Preparation, cifar, folder, idx::parse_idx_of, images, npy, npz};
use crate::{files, memory};

/// Part of a data set: training or test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The images that models are trained on.
    Train,
    /// The images that models are tested on.
    Test,
}

impl Split {
    /// Its name: `train` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// Prefix of the names of the split's IDX files.
    pub(super) fn idx_prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// Options for opening a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The split to open, if there are several.
    pub split: Split,
    /// Resizing and cropping of PNG and JPEG images.
    pub preparation: Preparation,
    /// The class of the image, if the data set is a single PNG or JPEG image.
    pub label: Option<u16>,
    /// Whether a data set without labels is accepted: a PNG or JPEG image without `label`, an npz file with images only,
    /// an npy file without a file of labels beside it.
    pub unlabelled: bool,
}

impl OpenOptions {
    /// Opens `split`, with labels and without any preparation.
    pub fn new(split: Split) -> Self {
        Self { split, preparation: Preparation::default(), label: None, unlabelled: false }
    }

    pub(super) fn refuse_label(&self, path: &Path) -> Result<(), DataError> {
        let refused = DataError::Option { option: "`label`", purpose: "one image", path: path.to_owned() };
        self.label.map_or(Ok(()), |_| Err(refused))
    }

    /// Fails if an option is set that applies only to PNG and JPEG images.
    pub(super) fn refuse_all(&self, path: &Path) -> Result<(), DataError> {
        self.refuse_label(path)?;
        let Preparation { resize, crop } = self.preparation;
        match [("`resize`", resize), ("`crop`", crop)].into_iter().find(|(_, side)| side.is_some()) {
            Some((option, _)) => {
                Err(DataError::Option { option, purpose: "PNG and JPEG images", path: path.to_owned() })
            }
            None => Ok(()),
        }
    }
}

/// Images as stored on disk: one byte for each value, C×H×W for each image. Either all images have labels or none has.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub(super) pixels: Vec<u8>,
    pub(super) shape: [usize; 3],
    pub(super) labels: Vec<u16>,
    pub(super) class_names: Option<Vec<String>>,
    /// The file of images, or the folder if there are several files.
    pub path: PathBuf,
    /// SHA-256 of the images, as 64 hexadecimal digits. It is the hash of the unpacked IDX or npy file, of the unpacked
    /// member `images.npy` of an npz file, or of all CIFAR files one after the other. For PNG and JPEG images it is the
    /// hash that an IDX file of the decoded, resized and cropped images would have.
    pub images_sha256: String,
    /// SHA-256 of the labels in the same way. CIFAR files contain both, so it equals
    /// [`images_sha256`](Self::images_sha256). Empty if there are no labels.
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
    /// - a PNG or JPEG image (`….png`, `….jpg`, `….jpeg`), whose class must be given by
    ///   [`open_with`](Self::open_with);
    /// - a folder with a sub-folder of such images for each class: see below;
    /// - any other file as IDX, with its labels beside it under the same name with `labels-idx1` for `images-idx3`.
    ///
    /// The class in CIFAR-100 is the fine label. If `path` is a file, `split` is ignored.
    ///
    /// The folders of the classes are inside a folder `train` or `test` (or `val`). Without such a folder they are the
    /// test split. If all class folders have numbers as names, these are the labels. Otherwise labels are numbered in
    /// the order of the names (by code point), and the names are the class names. Images are ordered by class, then by
    /// file name. All must have the same size after [`Preparation`]. If one image is in colour, grey ones become RGB.
    /// Hidden files (names that start with a dot) are ignored; any other file that is not an image is an error.
    ///
    /// # Errors
    /// [`DataError`] if there is no such data set, or if it is malformed.
    pub fn open(path: &Path, split: Split) -> Result<Self, DataError> {
        Self::open_with(path, &OpenOptions::new(split))
    }

    /// Opens a data set like [`open`](Self::open), with options.
    ///
    /// # Errors
    /// [`DataError`] as for [`open`](Self::open), and if an option does not apply to the data set.
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, DataError> {
        if path.is_dir() {
            return folder::open(path, options);
        }
        if images::is_image_name(path) {
            // If both the file and the label are missing, report the file.
            std::fs::metadata(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
            if options.label.is_none() && !options.unlabelled {
                return Err(DataError::NoLabel { path: path.to_owned() });
            }
            return images::open_image(path, options.label, options.preparation);
        }
        options.refuse_all(path)?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "npz" => npz::open_npz(path, options.unlabelled),
            "npy" => match folder::labels_beside(path, "npy") {
                Ok(labels) if labels.is_file() || !options.unlabelled => npy::open_npy(path, Some(&labels)),
                Err(error @ DataError::Read { .. }) => Err(error),
                Err(error) if !options.unlabelled => Err(error),
                _ => npy::open_npy(path, None),
            },
            "bin" => cifar::open_file(path),
            _ => Self::from_idx(path, &folder::labels_beside(path, "IDX")?),
        }
    }

    /// Reads an IDX file of images (N×H×W or N×C×H×W) and an IDX file of labels (N).
    ///
    /// # Errors
    /// [`DataError`] if a file can't be read or is malformed, or if the numbers of images and labels differ.
    pub fn from_idx(images_path: &Path, labels_path: &Path) -> Result<Self, DataError> {
        let open = |path: &Path| {
            files::open(path)
                .map(BufReader::new)
                .map_err(|source| DataError::Read { path: path.to_owned(), source })
        };
        Self::of_idx((images_path, open(images_path)?), || Ok((labels_path.to_owned(), open(labels_path)?)))
    }

    fn of_idx<R: Read>(
        (images_path, images): (&Path, impl Read),
        labels: impl FnOnce() -> Result<(PathBuf, R), DataError>,
    ) -> Result<Self, DataError> {
        // The shape is checked before anything large is read.
        let images = parse_idx_of(images_path, images, |shape| match shape {
            [_, _, _] | [_, _, _, _] if shape.contains(&0) => {
                Err(format!("its shape {shape:?} holds no image"))
            }
            [_, _, _] | [_, _, _, _] => Ok(()),
            _ => Err(format!("images have 3 or 4 dimensions (N, H, W or N, C, H, W), not {shape:?}")),
        })?;
        let count = images.shape[0];
        let shape = if let [_, channels, height, width] = images.shape[..] {
            [channels, height, width]
        } else {
            [1, images.shape[1], images.shape[2]]
        };
        let (labels_path, labels) = labels()?;
        let idx = parse_idx_of(&labels_path, labels, |shape| match shape {
            [_] => Ok(()),
            _ => Err(format!("labels have 1 dimension, not {shape:?}")),
        })?;
        if idx.bytes.len() != count {
            return Err(DataError::CountMismatch {
                images_path: images_path.to_owned(),
                images: count,
                labels_path,
                labels: idx.bytes.len(),
            });
        }
        let mut labels = Vec::new();
        memory::reserve(&mut labels, count)
            .map_err(|source| DataError::Read { path: labels_path.clone(), source })?;
        labels.extend(idx.bytes.into_iter().map(u16::from));
        Ok(Self {
            pixels: images.bytes,
            shape,
            labels,
            class_names: None,
            path: images_path.to_owned(),
            images_sha256: images.sha256,
            labels_sha256: idx.sha256,
        })
    }

    /// Reads images and labels in the IDX format, plain or gzip, from readers.
    ///
    /// # Errors
    /// [`DataError`] as for [`from_idx`](Self::from_idx).
    pub fn parse_idx(images: impl Read, labels: impl Read) -> Result<Self, DataError> {
        Self::of_idx((Path::new("images"), images), || Ok((PathBuf::from("labels"), labels)))
    }

    /// Reads records of CIFAR-10 or CIFAR-100 from memory. Which of the two follows from the number of bytes.
    ///
    /// # Errors
    /// [`DataError::Malformed`].
    pub fn parse_cifar(records: &[u8]) -> Result<Self, DataError> {
        cifar::parse(Path::new("records"), records)
    }

    /// Reads an npz file with images and labels from memory.
    ///
    /// # Errors
    /// [`DataError::Malformed`].
    pub fn parse_npz(file: &[u8]) -> Result<Self, DataError> {
        npz::parse_npz(Path::new("arrays"), Cursor::new(file), false)
    }

    /// Reads an npy file of images and an npy file of labels from readers.
    ///
    /// # Errors
    /// [`DataError`] if a file is malformed, or if the numbers of images and labels differ.
    pub fn parse_npy(images: impl Read, labels: impl Read) -> Result<Self, DataError> {
        npy::parse_npy((Path::new("images"), images), Some((Path::new("labels"), labels)))
    }

    /// Reads one PNG or JPEG image of class `label` from memory.
    ///
    /// # Errors
    /// [`DataError::Malformed`].
    pub fn parse_image(file: &[u8], label: u16, preparation: Preparation) -> Result<Self, DataError> {
        images::parse_image(Path::new("image"), file, label, preparation)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.iter().product::<usize>()
    }

    /// Whether there is no image. Data sets that were opened always have one.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Shape of an image: channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Labels of all images; empty if the data set has none.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Label of the image `index`; `None` if there are no labels or there is no such image.
    pub fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).copied().map(usize::from)
    }

    /// Class names in the order of the labels, if the data set has them: from `batches.meta.txt` or
    /// `fine_label_names.txt` of CIFAR (if they have one name for each class), or from the names of the class folders.
    pub fn class_names(&self) -> Option<Vec<String>> {
        self.class_names.clone()
    }

    /// Bytes of the image `index`, C×H×W.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let size = self.shape.iter().product::<usize>();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The image `index` with values from 0 to 1, C×H×W.
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
