//! Robust training: the victim's side, and the lower level of the attack.

mod augment;
mod defence;
mod loss;
mod macer;
mod margin;
mod method;
mod preset;
mod schedule;
mod settings;
mod smoothadv;
mod victim;

pub use augment::{Augmentation, Crops};
pub use defence::{Defence, Perturbation};
pub use loss::cross_entropy;
pub use macer::MacerSettings;
pub(crate) use margin::margin;
pub use method::Method;
pub use preset::Preset;
pub use schedule::Schedule;
pub use settings::TrainingSettings;
pub(crate) use settings::{at_least_one, not_negative, positive};
pub use smoothadv::SmoothAdvSettings;
pub use victim::{ClassAccuracy, Training, TrainingPosition, TrainingState, accuracy_by_class};
