use std::{
    io::{BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{DataError, Preparation, cifar, folder, idx::parse_idx_of, images, npy, npz};
use crate::{files, memory};

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

/// Which part of what is at a path makes the data set, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The part, where there are several.
    pub split: Split,
    /// What is done with PNG and JPEG images.
    pub preparation: Preparation,
    /// The class of the image, where there is only one.
    pub label: Option<u16>,
    /// Whether images will do whose classes nobody knows: a PNG or JPEG image without `label`, an npz file with images
    /// alone, an npy file without labels beside it.
    pub unlabelled: bool,
}

impl OpenOptions {
    /// A split of a data set as it is, with its labels.
    pub fn new(split: Split) -> Self {
        Self { split, preparation: Preparation::default(), label: None, unlabelled: false }
    }

    pub(super) fn refuse_label(&self, path: &Path) -> Result<(), DataError> {
        let refused = DataError::Option { option: "`label`", purpose: "one image", path: path.to_owned() };
        self.label.map_or(Ok(()), |_| Err(refused))
    }

    /// Fails if there is an option for images in files of their own.
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

/// Images, as they are on disk: one byte a value, C×H×W an image. All have labels, or none of them has.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub(super) pixels: Vec<u8>,
    pub(super) shape: [usize; 3],
    pub(super) labels: Vec<u16>,
    pub(super) class_names: Option<Vec<String>>,
    /// The file of images, or the folder if the images are in several files.
    pub path: PathBuf,
    /// SHA-256 of the images as they are stored: of the IDX or npy file, unpacked; of the member `images.npy` of an
    /// npz file, unpacked; of all CIFAR files read, one after the other. PNG and JPEG images hash, as they were
    /// decoded, resized and cropped, like an IDX file of them.
    pub images_sha256: String,
    /// SHA-256 of the labels as they are stored, likewise; CIFAR files hold both, so that it is the same as
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
    /// - a folder that holds a folder of such images for each class: see below;
    /// - any other file as IDX, with its labels beside it under the same name with `labels-idx1` for `images-idx3`.
    ///
    /// The class in CIFAR-100 is the fine label. For a file, the split is not used.
    ///
    /// Folders of images lie in folders `train` and `test` (or `val`), or by themselves, and then are for testing.
    /// If all are named by numbers, these are the classes; else classes are numbered in the order of the names (by
    /// code point), which then are the names of the classes. Images come by class and name; they must have one size
    /// after [`Preparation`]; those that are grey become RGB if one among them is not. Hidden files (with a dot in
    /// front) are left out; anything else that is no image is refused.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn open(path: &Path, split: Split) -> Result<Self, DataError> {
        Self::open_with(path, &OpenOptions::new(split))
    }

    /// The same with more options.
    ///
    /// # Errors
    /// [`DataError`], also for an option that doesn't apply to what is there.
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, DataError> {
        if path.is_dir() {
            return folder::open(path, options);
        }
        if images::is_image_name(path) {
            // A missing file is the more helpful news than a missing label.
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

    /// Reads a file of images (N×H×W or N×C×H×W) and a file of labels (N), both IDX.
    ///
    /// # Errors
    /// [`DataError`].
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
        // What is wrong with a shape is known before anything large is read.
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

    /// Reads images and labels in the IDX format, plain or gzip, from anything that can be read.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn parse_idx(images: impl Read, labels: impl Read) -> Result<Self, DataError> {
        Self::of_idx((Path::new("images"), images), || Ok((PathBuf::from("labels"), labels)))
    }

    /// Reads records of CIFAR-10 or CIFAR-100, told by their number of bytes.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn parse_cifar(records: &[u8]) -> Result<Self, DataError> {
        cifar::parse(Path::new("records"), records)
    }

    /// Reads an npz file from memory.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn parse_npz(file: &[u8]) -> Result<Self, DataError> {
        npz::parse_npz(Path::new("arrays"), Cursor::new(file), false)
    }

    /// Reads an npy file of images and one of labels from anything that can be read.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn parse_npy(images: impl Read, labels: impl Read) -> Result<Self, DataError> {
        npy::parse_npy((Path::new("images"), images), Some((Path::new("labels"), labels)))
    }

    /// Reads one PNG or JPEG image from memory.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn parse_image(file: &[u8], label: u16, preparation: Preparation) -> Result<Self, DataError> {
        images::parse_image(Path::new("image"), file, label, preparation)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.iter().product::<usize>()
    }

    /// Whether there is no image; never so for a data set that was read.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Shape of an image: channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Labels of all images; empty if nobody knows them.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Label of an image; none if there are no labels, or no such image.
    pub fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).copied().map(usize::from)
    }

    /// Names of the classes, in order of their labels, where the data set has them: those of CIFAR in
    /// `batches.meta.txt` or `fine_label_names.txt`, if there are as many as classes, and those of folders of images.
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
