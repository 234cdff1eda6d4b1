use std::path::Path;

use anyhow::ensure;
use clap::ValueEnum;

use crate::data::{Dataset, Split};

/// Part of a data set.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum SplitArgument {
    Train,
    Test,
}

impl From<SplitArgument> for Split {
    fn from(argument: SplitArgument) -> Self {
        match argument {
            SplitArgument::Train => Self::Train,
            SplitArgument::Test => Self::Test,
        }
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
