//! Robust training: how victims are trained from scratch, and the losses of the attack's lower level.

mod accuracy;
mod augment;
mod loss;
mod margin;
mod methods;
mod preset;
mod range;
mod schedule;
mod settings;
mod victim;

pub use accuracy::{ClassAccuracy, accuracy_by_class};
pub(crate) use augment::{Augmentation, Crops};
pub use loss::cross_entropy;
pub(crate) use margin::margin;
pub use methods::*;
pub use preset::Preset;
pub(crate) use range::{at_least_one, not_negative, positive};
pub use schedule::Schedule;
pub use settings::TrainingSettings;
pub use victim::{Training, TrainingPosition, TrainingState};
