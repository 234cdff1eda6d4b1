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
    #[error("{} is not a valid {format} file: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: &'static str,
        /// What was found.
        problem: String,
    },
    /// A folder without any data set.
    #[error(
        "there is no data set in {}: expected IDX files (train-images-idx3-ubyte, t10k-images-idx3-ubyte, plain \
         or .gz), CIFAR-10 files (data_batch_1.bin, test_batch.bin), CIFAR-100 files (train.bin, test.bin), npz \
         files (train.npz, test.npz), or a folder of PNG or JPEG images for each class; \
         `python3 scripts/setup.py mnist` fetches MNIST into data/mnist",
        folder.display()
    )]
    NoData {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder with another part of a data set than the one asked for.
    #[error("there is no {split} split in {}: its {format} files lack {missing}", folder.display())]
    NoSplit {
        /// The folder.
        folder: PathBuf,
        /// The split asked for.
        split: &'static str,
        /// What is there.
        format: &'static str,
        /// The first file looked for in vain.
        missing: String,
    },
    /// A folder with data sets of several formats.
    #[error(
        "{} holds files of {} ({}) and of {} ({}); put each data set into a folder of its own, or name one file",
        folder.display(), first.0, first.1, second.0, second.1
    )]
    SeveralFormats {
        /// The folder.
        folder: PathBuf,
        /// A format and a file of it.
        first: (&'static str, String),
        /// Another.
        second: (&'static str, String),
    },
    /// A folder of images by class that is not one.
    #[error("{} {problem}", path.display())]
    ImageFolder {
        /// What is wrong in it.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Images of different sizes.
    #[error(
        "{} has {size} pixels and {} has {first_size}; images must have one size: bring them to one with `resize` and \
         `crop`",
        path.display(), first.display()
    )]
    ImageSizes {
        /// An image.
        path: PathBuf,
        /// Its size.
        size: String,
        /// The first image.
        first: PathBuf,
        /// Its size.
        first_size: String,
    },
    /// Some classes are called as those of a model, and one is not.
    #[error(
        "the class {name} of {} is not among those of the model ({}), while others are; rename its folder or take it away",
        path.display(), listed(others)
    )]
    ClassNames {
        /// The data.
        path: PathBuf,
        /// The class.
        name: String,
        /// Names of the model's classes.
        others: Vec<String>,
    },
    /// A label that a model with class labels of its own does not know.
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
    /// An option that doesn't apply to the data.
    #[error("{option} is for {purpose}, and {} is none", path.display())]
    Option {
        /// The option.
        option: &'static str,
        /// What it is for.
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

/// The first few of a list of names.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names[..names.len().min(SHOWN)].join(", ") + more
}
