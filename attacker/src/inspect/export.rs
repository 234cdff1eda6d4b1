use std::{fs, path::Path};

use mithridate_runtime::report::{Pixels, picture_to_png};

use crate::{Error, data::TrainingSet, poison::PoisonSet};

/// Writes the first `images` images of a set as PNG files, `clean-00012.png` and `poisoned-00012.png` for the training
/// image with index 12. Returns the number of training images written.
///
/// # Errors
/// [`Error::Write`], also if the folder is not empty; [`Error::Figure`] if images have neither 1 nor 3 channels.
pub fn export_images(
    set: &PoisonSet,
    training: &TrainingSet,
    images: usize,
    folder: &Path,
) -> Result<usize, Error> {
    if folder.is_file() {
        return Err(Error::write(folder)("it is a file, not a folder"));
    }
    fs::create_dir_all(folder).map_err(Error::write(folder))?;
    if fs::read_dir(folder).map_err(Error::write(folder))?.next().is_some() {
        return Err(Error::write(folder)("it is not empty; choose another folder"));
    }
    let shape = training.data.shape();
    let exported = set.manifest.origin.indices.iter().take(images);
    for (number, &index) in exported.clone().enumerate() {
        for (name, bytes) in [("clean", training.data.pixels(index)), ("poisoned", set.pixels(number))] {
            let path = folder.join(format!("{name}-{index:05}.png"));
            let file =
                picture_to_png(Pixels { shape, bytes }).map_err(|error| Error::Figure(error.to_string()))?;
            fs::write(&path, file).map_err(Error::write(&path))?;
        }
    }
    Ok(exported.len())
}
