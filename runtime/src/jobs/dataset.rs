use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
};

use super::{Control, JobError, ModelSettings, error::ensure, keywords::Keywords, seed::sigma_for};
use crate::{
    backend::{BackendError, OnnxModel, OnnxRuntime},
    certify::Input,
    data::{ClassOrder, DataError, Dataset, OpenOptions, Preparation, Split, is_image_name},
    evidence::{Header, InputSubset, Record},
    memory,
    units::Sigma,
};

/// Largest number of classes named in a note.
const SHOWN: usize = 12;
/// Number of inputs for which the model's labels are compared with its scores.
const COMPARED: usize = 500;

/// Settings of the inputs of a job: the data set, and its input subset.
#[derive(Clone, Debug)]
pub struct DataSettings {
    /// Path of the data set, a folder or a file: see [`Dataset::open_with`].
    pub path: PathBuf,
    /// Part of the data set, if it is a folder.
    pub split: Split,
    /// How images are resized and cropped.
    pub preparation: Preparation,
    /// True class of the image, if the data set is a single image.
    pub label: Option<u16>,
    /// Takes only inputs of these classes; all classes if empty.
    pub classes: Vec<usize>,
    /// Largest number of inputs.
    pub max: Option<usize>,
    /// Stride: of the inputs of these classes, takes every `skip`-th.
    pub skip: usize,
}

/// A model and the inputs that a job gives it.
pub(super) struct OpenedInputs {
    /// Standard deviation of the noise: the given one, or the training σ of the model.
    pub sigma: Sigma,
    pub data: Dataset,
    pub runtime: OnnxRuntime,
    pub model: OnnxModel,
    /// Indices of the selected inputs, at least one.
    pub indices: Vec<usize>,
}

impl DataSettings {
    /// All test images of a data set.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            split: Split::Test,
            preparation: Preparation::default(),
            label: None,
            classes: Vec::new(),
            max: None,
            skip: 1,
        }
    }

    /// The inputs that keywords describe: `data`, `split`, `classes` and so on.
    pub(super) fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        let mut settings = Self::new(keywords.need::<PathBuf>("data")?);
        keywords.set("split", &mut settings.split)?;
        let side = |side: Option<NonZeroU32>| side.map(NonZeroU32::get);
        settings.preparation.resize = side(keywords.get("resize")?);
        settings.preparation.crop = side(keywords.get("crop")?);
        settings.label = keywords.get("label")?;
        keywords.set("classes", &mut settings.classes)?;
        settings.max = keywords.get::<NonZeroUsize>("max")?.map(NonZeroUsize::get);
        settings.skip = keywords.get::<NonZeroUsize>("skip")?.map_or(1, NonZeroUsize::get);
        Ok(settings)
    }

    /// Opens the data set and the model, numbers the classes of the data set as the model does, and selects the inputs.
    pub(super) fn open_with(
        &self,
        control: &Control,
        model_settings: &ModelSettings,
        sigma: Option<Sigma>,
    ) -> Result<OpenedInputs, JobError> {
        let sigma = sigma_for(control, model_settings, sigma)?;
        let mut data = self.open()?;
        note_changes(control, &data);
        let (runtime, model) = model_settings.open(control, Some(data.shape()), Some(sigma))?;
        order_classes(control, &mut data, &model)?;
        let indices = self.select(control, &model_settings.path, &data, model.classes())?;
        check_labels(&runtime, &model, &data, &indices)?;
        Ok(OpenedInputs { sigma, data, runtime, model, indices })
    }

    fn open(&self) -> Result<Dataset, DataError> {
        let options = OpenOptions {
            split: self.split,
            preparation: self.preparation,
            label: self.label,
            unlabelled: true,
        };
        Dataset::open_with(&self.path, &options)
    }

    /// The input subset as evidence records it; `count` is the number of inputs.
    pub(super) fn subset(&self, count: u64) -> InputSubset {
        let mut classes = self.classes.clone();
        classes.sort_unstable();
        classes.dedup();
        InputSubset { classes, skip: self.skip, max: self.max, count }
    }

    /// Indices of the inputs in the subset, at least one. `model` is the path of the model, `classes` its number of
    /// classes.
    fn select(
        &self,
        control: &Control,
        model: &Path,
        data: &Dataset,
        classes: usize,
    ) -> Result<Vec<usize>, JobError> {
        let model = model.display();
        if let Some(class) = self.classes.iter().find(|&&class| class >= classes) {
            ensure!(
                false,
                "class {class} is outside the {classes} classes of {model} (0 to {})",
                classes - 1
            );
        }
        let path = data.path.display();
        if let Some(index) = data.labels().iter().position(|&label| usize::from(label) >= classes) {
            ensure!(
                false,
                "label {} of image {index} in {path} is outside the {classes} classes of {model}",
                data.labels()[index]
            );
        }
        ensure!(
            self.classes.is_empty() || !data.labels().is_empty(),
            "`classes` selects inputs by label, and {path} has no labels"
        );
        // With images of a few bytes, the indices take more memory than the images.
        let count = (data.len() / self.skip.max(1)).min(self.max.unwrap_or(usize::MAX));
        memory::check(count as u64 * 32).map_err(|error| JobError::While {
            doing: format!("{path} has {} images", data.len()),
            source: error.into(),
        })?;
        let indices = self.subset(0).indices(data);
        let indices: Vec<usize> = indices.into_iter().map(|index| index as usize).collect();
        if data.labels().is_empty() {
            let how = data.labels_would_be().map(|how| format!(" ({how})")).unwrap_or_default();
            control.note(&format!("{path} has no labels{how}, so no accuracy can be computed"));
        }
        ensure!(!indices.is_empty(), "no image of {path} has a label in {:?}", self.classes);
        Ok(indices)
    }
}

/// Sends a note about each change that was made to the images when they were read.
fn note_changes(control: &Control, data: &Dataset) {
    data.notes().iter().for_each(|text| control.note(text));
}

/// Numbers the classes of the data in the order of the model, if both have class names, and sends a note about it.
fn order_classes(control: &Control, data: &mut Dataset, model: &OnnxModel) -> Result<(), DataError> {
    if data.number_by(&model.class_labels)? {
        let labels = &model.class_labels[..model.class_labels.len().min(SHOWN)];
        let more = if model.class_labels.len() > SHOWN { ", …" } else { "" };
        let path = model.path.display();
        control.note(&format!(
            "the class labels of {path} are {}{more}: classes are numbered from 0 in this order, also for `classes`, and the \
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
                "{model} calls its class {class} '{name}', and the labels of {path} are read as the numbers of classes, \
                 not as their names; make sure that this is intended"
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
            "{model} and {path} have different class names: class 0 is {} in the model and {} in the data; make sure that \
             both have the classes in the same order",
            names.first().map_or("", String::as_str),
            before.first().map_or("", String::as_str)
        ),
    };
    control.note(&difference);
    Ok(())
}

/// Checks that the labels which a model returns besides its scores agree with the scores, for the first inputs.
fn check_labels(
    runtime: &OnnxRuntime,
    model: &OnnxModel,
    data: &Dataset,
    indices: &[usize],
) -> Result<(), BackendError> {
    let images: Vec<f32> = indices.iter().take(COMPARED).flat_map(|&index| data.image(index)).collect();
    model.check_labels(runtime, &images)
}

/// A class whose name is the number of another class, for example because folders with numbers as names were sorted
/// alphabetically.
fn misleading(names: &[String]) -> Option<(usize, &String)> {
    names.iter().enumerate().find(|(class, name)| name.parse().is_ok_and(|number: usize| number != *class))
}

/// The input of a record.
pub(super) fn input_of(data: &Dataset, record: &Record) -> Input {
    Input { index: record.index, label: record.label, image: data.image(record.index as usize) }
}

/// The inputs at these indices.
pub(super) fn inputs<'a>(data: &'a Dataset, indices: &'a [usize]) -> impl Iterator<Item = Input> + 'a {
    indices.iter().map(|&index| Input {
        index: index as u64,
        label: data.label(index),
        image: data.image(index),
    })
}

/// Opens the data of a run again, with the same preparation and the same numbers of classes.
pub(super) fn open_certified(
    control: &Control,
    path: &Path,
    split: Split,
    header: &Header,
    records: &[Record],
) -> Result<Dataset, DataError> {
    // A single image has the label that was given for the run.
    let label = records.first().and_then(|record| record.label?.try_into().ok());
    let label = label.filter(|_| is_image_name(path));
    let unlabelled = header.data.labels_sha256.is_empty();
    let options = OpenOptions { split, preparation: header.data.preparation, label, unlabelled };
    let mut data = Dataset::open_with(path, &options)?;
    note_changes(control, &data);
    // Numbers the classes as in the certified run.
    data.number_by(&header.model.r#use.class_labels)?;
    Ok(data)
}
