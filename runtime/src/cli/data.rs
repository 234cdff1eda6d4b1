use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};

use crate::{
    certify::Input,
    data::{DataError, Dataset, Split},
    units::parse_count,
};

/// Which inputs of which data set.
#[derive(Args)]
pub(super) struct DataArguments {
    /// The data set: a folder of IDX files, CIFAR-10 or CIFAR-100 binary files or train.npz and test.npz; or
    /// one .npz, .npy or .bin file, or IDX file of images with its labels beside it
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Part of the data set, if it is a folder
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// Only inputs of these classes, such as 8 or 0,1,2
    #[arg(long, value_delimiter = ',', value_name = "CLASSES")]
    pub class: Vec<usize>,
    /// Take at most so many inputs
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>)]
    pub max: Option<usize>,
    /// Take every N-th of the inputs chosen by --class
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = parse_count::<usize>)]
    pub skip: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitArgument {
    Train,
    Test,
}

impl DataArguments {
    pub fn open(&self) -> Result<Dataset, DataError> {
        let split = match self.split {
            SplitArgument::Train => Split::Train,
            SplitArgument::Test => Split::Test,
        };
        Dataset::open(&self.data, split)
    }

    /// Indices of the inputs chosen, at least one.
    pub fn select(&self, model: &Path, data: &Dataset, classes: usize) -> anyhow::Result<Vec<usize>> {
        if let Some(class) = self.class.iter().find(|&&class| class >= classes) {
            bail!(
                "class {class} is outside the {classes} classes of {} (0 to {})",
                model.display(),
                classes - 1
            );
        }
        if let Some(index) = data.labels().iter().position(|&label| usize::from(label) >= classes) {
            bail!(
                "label {} of image {index} in {} is outside the {classes} classes of {}",
                data.labels()[index],
                data.path.display(),
                model.display()
            );
        }
        let indices: Vec<usize> = (0..data.len())
            .filter(|&index| self.class.is_empty() || self.class.contains(&usize::from(data.labels()[index])))
            .step_by(self.skip)
            .take(self.max.unwrap_or(usize::MAX))
            .collect();
        ensure!(!indices.is_empty(), "no image of {} has a label in {:?}", data.path.display(), self.class);
        Ok(indices)
    }
}

/// The input of a model must have as many values as an image, in the same order of dimensions.
pub(super) fn check_shapes(model: &Path, input: &[usize], data: &Dataset) -> anyhow::Result<()> {
    let image = data.shape();
    let fits = input == image
        || (image[0] == 1 && input == &image[1..])
        || input == [image.iter().product::<usize>()];
    ensure!(
        fits,
        "{} takes inputs of shape {input:?} and the images of {} have shape {image:?}; certify it on the data it was made for",
        model.display(),
        data.path.display()
    );
    Ok(())
}

/// The inputs at these indices.
pub(super) fn inputs<'a>(data: &'a Dataset, indices: &'a [usize]) -> impl Iterator<Item = Input> + 'a {
    indices.iter().map(|&index| Input {
        index: index as u64,
        label: Some(usize::from(data.labels()[index])),
        image: data.image(index),
    })
}
