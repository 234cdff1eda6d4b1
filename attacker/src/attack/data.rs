use tch::Device;

use super::AttackSettings;
use crate::data::{Images, TrainingSet};

/// The images an attack works on.
#[derive(Clone, Copy, Debug)]
pub struct AttackData<'a> {
    /// Training images that are not poisoned.
    pub clean: &'a Images,
    /// Training images to poison, as they are before the attack.
    pub target: &'a Images,
    /// Validation images of the target classes.
    pub validation: &'a Images,
    /// Number of classes.
    pub classes: usize,
}

/// The images an attack works on, chosen from a training set and copied to a device.
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
    /// Chooses the images by `target_classes` and `poisoned_share` of the settings.
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

    /// The images in the form that [`Attack`](super::Attack) takes.
    pub fn data(&self) -> AttackData<'_> {
        let Self { clean, target, validation, classes, .. } = self;
        AttackData { clean, target, validation, classes: *classes }
    }
}
