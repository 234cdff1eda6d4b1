use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};

use super::note;
use crate::{
    backend::{BackendError, OnnxModel, OnnxRuntime},
    certify::Input,
    data::{ClassOrder, DataError, Dataset, OpenOptions, Preparation, Split, is_image_name},
    evidence::{Header, InputSubset, Record},
    memory,
    units::parse_count,
};

/// Classes that are named in a note.
const SHOWN: usize = 12;

/// Which inputs of which data set.
#[derive(Args)]
pub(super) struct DataArguments {
    /// The data set: a folder of IDX files, CIFAR-10 or CIFAR-100 binary files, train.npz and test.npz, or a folder of
    /// PNG or JPEG images for each class; or one .npz, .npy or .bin file, IDX file of images with its labels
    /// beside it, or image (.png, .jpg, .jpeg)
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Part of the data set, if it is a folder
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// Resize PNG and JPEG images so that the shorter side has N pixels: linear interpolation, over areas where
    /// the image shrinks
    #[arg(long, value_name = "N", value_parser = parse_count::<u32>, allow_negative_numbers = true)]
    resize: Option<u32>,
    /// Cut a square of N x N pixels from the middle of PNG and JPEG images, after --resize
    #[arg(long, value_name = "N", value_parser = parse_count::<u32>, allow_negative_numbers = true)]
    crop: Option<u32>,
    /// The true class of the image, if --data is one image and it is known
    #[arg(long, value_name = "CLASS", value_parser = parse_class::<u16>, allow_negative_numbers = true)]
    label: Option<u16>,
    /// Only inputs of these classes, such as 8 or 0,1,2
    #[arg(long, value_delimiter = ',', value_name = "CLASSES", value_parser = parse_class::<usize>, allow_negative_numbers = true)]
    pub class: Vec<usize>,
    /// Take at most so many inputs
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    pub max: Option<usize>,
    /// Take every N-th of the inputs chosen by --class
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    pub skip: usize,
}

fn parse_class<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "a class is a whole number from 0 to 65535".to_owned())
}

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

impl DataArguments {
    pub fn open(&self) -> Result<Dataset, DataError> {
        let options = OpenOptions {
            split: self.split.into(),
            preparation: self.preparation(),
            label: self.label,
            unlabelled: true,
        };
        Dataset::open_with(&self.data, &options)
    }

    /// How images are made ready.
    pub fn preparation(&self) -> Preparation {
        Preparation { resize: self.resize, crop: self.crop }
    }

    /// What is chosen, and how many inputs that makes.
    pub fn subset(&self, count: u64) -> InputSubset {
        let mut classes = self.class.clone();
        classes.sort_unstable();
        classes.dedup();
        InputSubset { classes, skip: self.skip, max: self.max, count }
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
        ensure!(
            self.class.is_empty() || !data.labels().is_empty(),
            "--class chooses by label, and {} has no labels",
            data.path.display()
        );
        // Of images of a few bytes, their numbers take more than they do.
        memory::check(
            (data.len() as u64 / self.skip.max(1) as u64).min(self.max.unwrap_or(usize::MAX) as u64) * 32,
        )
        .with_context(|| format!("{} has {} images", data.path.display(), data.len()))?;
        let indices = self.subset(0).indices(data);
        let indices: Vec<usize> = indices.into_iter().map(|index| index as usize).collect();
        if data.labels().is_empty() {
            let how = if data.path.extension().is_some_and(|extension| extension == "npz") {
                "an array 'labels' beside 'images' would hold them"
            } else if self.label.is_none() && data.len() == 1 {
                "--label gives that of one image"
            } else {
                "a file named like it, with labels for images, would hold them"
            };
            note(&format!(
                "the true classes in {} are not known ({how}): there will be no accuracy",
                data.path.display()
            ));
        }
        ensure!(!indices.is_empty(), "no image of {} has a label in {:?}", data.path.display(), self.class);
        Ok(indices)
    }
}

/// Numbers the classes of the data as the model does, where both have names for them, and says what it did.
pub(super) fn order_classes(data: &mut Dataset, model: &OnnxModel) -> Result<(), DataError> {
    if data.number_by(&model.class_labels)? {
        let labels = &model.class_labels[..model.class_labels.len().min(SHOWN)];
        let more = if model.class_labels.len() > SHOWN { ", …" } else { "" };
        let path = model.path.display();
        note(&format!(
            "the class labels of {path} are {}{more}: classes are numbered from 0 in this order, also for --class, and the \
             labels of the data were changed to these numbers",
            labels.join(", ")
        ));
        return Ok(());
    }
    let names = model.class_names();
    let before = data.class_names().unwrap_or_default();
    let (path, model) = (data.path.display().to_string(), model.path.display());
    let difference = match data.order_classes(names)? {
        ClassOrder::Same if before.is_empty() => match misleading(names) {
            Some((class, name)) => format!(
                "{model} calls its class {class} '{name}', and the labels of {path} are taken for the numbers of classes, \
                 not for their names; make sure that this is meant"
            ),
            None => return Ok(()),
        },
        ClassOrder::Same => return Ok(()),
        ClassOrder::Renumbered => {
            let number = |name: &String| names.iter().position(|other| other == name).unwrap_or_default();
            let pairs: Vec<String> =
                before.iter().take(SHOWN).map(|name| format!("{name} {}", number(name))).collect();
            let more = if before.len() > SHOWN { ", …" } else { "" };
            format!(
                "the classes of {path} are numbered as in the metadata of {model}, not in the order of their names: \
                 {}{more}",
                pairs.join(", ")
            )
        }
        ClassOrder::Unrelated => format!(
            "{model} calls its classes otherwise than {path}: its class 0 is {} and there {}; make sure that their order \
             is the same",
            names.first().map_or("", String::as_str),
            before.first().map_or("", String::as_str)
        ),
    };
    note(&difference);
    Ok(())
}

/// Inputs whose labels are compared with the scores.
const COMPARED: usize = 500;

/// Makes sure that labels which a model gives beside its scores do not contradict them for the inputs chosen.
pub(super) fn check_labels(
    runtime: &OnnxRuntime,
    model: &OnnxModel,
    data: &Dataset,
    indices: &[usize],
) -> Result<(), BackendError> {
    let images: Vec<f32> = indices.iter().take(COMPARED).flat_map(|&index| data.image(index)).collect();
    model.check_labels(runtime, &images)
}

/// A class whose name is the number of another one, as where folders named by numbers were put in the order of letters.
fn misleading(names: &[String]) -> Option<(usize, &String)> {
    names.iter().enumerate().find(|(class, name)| name.parse().is_ok_and(|number: usize| number != *class))
}

/// The inputs at these indices.
pub(super) fn inputs<'a>(data: &'a Dataset, indices: &'a [usize]) -> impl Iterator<Item = Input> + 'a {
    indices.iter().map(|&index| Input {
        index: index as u64,
        label: data.label(index),
        image: data.image(index),
    })
}

/// Opens the data of a run again, prepared as they were; classes are numbered as in the data themselves.
pub(super) fn open_certified(
    path: &Path,
    split: SplitArgument,
    header: &Header,
    records: &[Record],
) -> Result<Dataset, DataError> {
    // One image has the label that it was given.
    let label = records.first().and_then(|record| record.label?.try_into().ok());
    let label = label.filter(|_| is_image_name(path));
    let unlabelled = header.data.labels_sha256.is_empty();
    let options =
        OpenOptions { split: split.into(), preparation: header.data.preparation, label, unlabelled };
    let mut data = Dataset::open_with(path, &options)?;
    // As they were numbered when it was certified.
    data.number_by(&header.model.r#use.class_labels)?;
    Ok(data)
}
