use std::path::PathBuf;

/// What can be wrong with a data file.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file doesn't hold what its name promises.
    #[error("{} is not a valid IDX file: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// A folder without the files of a data set.
    #[error("there is no {split} split in {}: expected {images} (or the same with .gz); `python3 scripts/setup.py mnist` fetches MNIST into data/mnist", folder.display())]
    NoSplit {
        /// The folder.
        folder: PathBuf,
        /// The split asked for.
        split: &'static str,
        /// The file looked for.
        images: String,
    },
    /// Images and labels that don't belong together.
    #[error("{} holds {images} images and {} holds {labels} labels", images_path.display(), labels_path.display())]
    CountMismatch {
        /// The images.
        images_path: PathBuf,
        /// How many.
        images: usize,
        /// The labels.
        labels_path: PathBuf,
        /// How many.
        labels: usize,
    },
}
