use std::path::Path;

use super::{
    DataError, Dataset, OpenOptions, Split, folder,
    formats::{DataFormat, listed_endings},
    labels_beside::{NO_NAME, labels_name},
};

impl Dataset {
    /// Opens a data set:
    ///
    /// - a folder with files of one of the formats IDX, CIFAR-10 and CIFAR-100 under their usual names, or with `train.npz`
    ///   and `test.npz`;
    /// - a file `….npz` with an array `images` of bytes (N×H×W, or N×C×H×W or N×H×W×C with C 1 or 3) and an array
    ///   `labels` of integers (N), and no second set such as `x_test` and `y_test`;
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
    /// file name. All must have the same size after [`Preparation`](super::Preparation). If one image is in colour, grey
    /// ones become RGB. Hidden files (names that start with a dot) are ignored; any other file that is not an image is an
    /// error.
    ///
    /// Values of 16 bits in a PNG are rounded to 8 bits; [`notes`](Self::notes) names the images.
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
        let format = DataFormat::of(path);
        if !format.is_one_image {
            options.refuse_all(path)?;
        }
        // Files of any kind come to the format without extensions, so the others are named.
        if format.extensions.is_empty() && path.exists() && labels_name(path).is_none() {
            return Err(DataError::Malformed {
                path: path.to_owned(),
                format: format.name,
                problem: format!(
                    "{NO_NAME}; files of other formats have the extensions {}",
                    listed_endings()
                ),
            });
        }
        (format.open)(path, options)
    }

    /// Where the labels would be, if the data set has none: a clause without a full stop, with a setting in backticks.
    pub fn labels_would_be(&self) -> Option<&'static str> {
        DataFormat::of(&self.path).labels_would_be.filter(|_| self.labels.is_empty())
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
    fn a_data_set_without_labels_says_where_they_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.npy");
        ndarray_npy::write_npy(&path, &ndarray::Array3::<u8>::zeros((1, 2, 2))).unwrap();
        let options = OpenOptions { unlabelled: true, ..OpenOptions::new(Split::Test) };
        let labels_would_be = || Dataset::open_with(&path, &options).unwrap().labels_would_be();
        // One image, and no image to which `label` applies.
        assert_eq!(labels_would_be(), Some("a file named like it, with labels for images, would hold them"));
        ndarray_npy::write_npy(folder.path().join("labels.npy"), &ndarray::array![7_u8]).unwrap();
        assert_eq!(labels_would_be(), None);
    }

    #[test]
    fn a_file_of_no_known_format_is_refused_with_the_endings_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digits");
        let text = || {
            Dataset::open(&path, Split::Test)
                .unwrap_err()
                .to_string()
                .replace(&*path.to_string_lossy(), "digits")
        };
        assert_eq!(text(), "cannot read digits");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(
            text(),
            "digits is not a valid IDX file: its name does not contain 'images', so that its file of labels can't be \
             found; files of other formats have the extensions .bin (CIFAR-10 or CIFAR-100), .npz, .npy, .png, .jpg and \
             .jpeg"
        );
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
        assert!(text(Split::Test).contains("contains no image"), "{}", text(Split::Test));
    }
}
