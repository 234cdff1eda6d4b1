use tch::Device;

use super::AttackSettings;
use crate::data::{Images, TrainingSet};

/// The images an attack works on.
#[derive(Clone, Copy, Debug)]
pub struct AttackData<'a> {
    /// Training images that stay as they are.
    pub clean: &'a Images,
    /// Training images to poison, unchanged, with their labels.
    pub target: &'a Images,
    /// Validation images of the target classes.
    pub validation: &'a Images,
    /// Number of classes.
    pub classes: usize,
}

/// The images an attack on a training set works on, on a device.
#[derive(Debug)]
pub struct AttackImages {
    /// Indices of the training images to poison, ascending.
    pub indices: Vec<usize>,
    clean: Images,
    target: Images,
    validation: Images,
    classes: usize,
}

impl AttackImages {
    /// Chooses the images to poison as the settings say: target classes and share.
    pub fn select(training: &TrainingSet, settings: &AttackSettings, device: Device) -> Self {
        let images = |indices: &[usize]| Images::select(&training.data, indices, device);
        let indices = training.to_poison(&settings.target_classes, settings.poisoned_share);
        let stay = |index: &usize| indices.binary_search(index).is_err();
        let clean: Vec<usize> = training.training.iter().copied().filter(stay).collect();
        let validation = training.of_classes(&training.validation, &settings.target_classes);
        Self {
            clean: images(&clean),
            target: images(&indices),
            validation: images(&validation),
            classes: training.classes,
            indices,
        }
    }

    /// The images, as an attack takes them.
    pub fn data(&self) -> AttackData<'_> {
        let Self { clean, target, validation, classes, .. } = self;
        AttackData { clean, target, validation, classes: *classes }
    }
}
