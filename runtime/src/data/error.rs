use std::path::PathBuf;

/// Why a data set can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The content of the file is not a valid file of the expected format.
    #[error("{} is not a valid {format} file: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The expected format.
        format: &'static str,
        /// The problem, as a sentence.
        problem: String,
    },
    /// The folder contains no data set.
    #[error(
        "there is no data set in {}: expected {expected}; `python3 scripts/setup.py mnist` fetches MNIST into data/mnist",
        folder.display()
    )]
    NoData {
        /// The folder.
        folder: PathBuf,
        /// Content of the folders of all known formats.
        expected: String,
    },
    /// The folder contains a data set, but not the requested split of it.
    #[error("there is no {split} split in {}: its {format} files lack {missing}", folder.display())]
    NoSplit {
        /// The folder.
        folder: PathBuf,
        /// The requested split.
        split: &'static str,
        /// The format of the data set.
        format: &'static str,
        /// The first missing file or folder.
        missing: String,
    },
    /// The folder contains data sets in several formats.
    #[error(
        "{} holds files of {} ({}) and of {} ({}); put each data set into a folder of its own, or name one file",
        folder.display(), first.0, first.1, second.0, second.1
    )]
    SeveralFormats {
        /// The folder.
        folder: PathBuf,
        /// One format and the name of a file of it.
        first: (&'static str, String),
        /// Another format and the name of a file of it.
        second: (&'static str, String),
    },
    /// A folder of images by class contains something unexpected.
    #[error("{} {problem}", path.display())]
    ImageFolder {
        /// The unexpected file or folder.
        path: PathBuf,
        /// The problem, as the end of a sentence that starts with the path.
        problem: String,
    },
    /// Images of different sizes.
    #[error(
        "{} has {size} pixels and {} has {first_size}; all images must have the same size: use `resize` and `crop`",
        path.display(), first.display()
    )]
    ImageSizes {
        /// An image with another size than the first.
        path: PathBuf,
        /// Its size.
        size: String,
        /// The first image.
        first: PathBuf,
        /// Its size.
        first_size: String,
    },
    /// Some class names of the data are class names of the model, and `name` is not.
    #[error(
        "the class {name} of {} is not a class of the model ({}), but others are; rename or remove its folder",
        path.display(), listed(others)
    )]
    ClassNames {
        /// The data.
        path: PathBuf,
        /// The class name that the model does not have.
        name: String,
        /// Class names of the model.
        others: Vec<String>,
    },
    /// A label of the data is not among the class labels of the model.
    #[error(
        "label {label} of image {index} in {} is not among the class labels of the model ({}); change the labels of the \
         data, or certify data of these classes", path.display(), listed(others)
    )]
    ClassLabel {
        /// The data.
        path: PathBuf,
        /// Index of the image.
        index: usize,
        /// Its label.
        label: u16,
        /// Class labels of the model.
        others: Vec<String>,
    },
    /// An option does not apply to the data.
    #[error("{option} applies only to {purpose}, and {} is something else", path.display())]
    Option {
        /// The option.
        option: &'static str,
        /// The kind of data to which it applies.
        purpose: &'static str,
        /// The data.
        path: PathBuf,
    },
    /// One image without a label.
    #[error("the class of the image {} is not known; give it with `label`", path.display())]
    NoLabel {
        /// The image.
        path: PathBuf,
    },
    /// The numbers of images and labels differ.
    #[error("{} holds {images} images and {} holds {labels} labels", images_path.display(), labels_path.display())]
    CountMismatch {
        /// The file of images.
        images_path: PathBuf,
        /// Number of images.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// Number of labels.
        labels: usize,
    },
}

/// The first names of a list, separated by commas.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names[..names.len().min(SHOWN)].join(", ") + more
}
