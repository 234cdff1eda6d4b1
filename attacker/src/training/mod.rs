//! Robust training: the victim's side, and the lower level of the attack.

mod adam;
mod loss;
mod method;
mod victim;

pub use adam::{Adam, ImageAdam};
pub use loss::cross_entropy;
pub use method::Method;
pub use victim::{VictimSettings, accuracy_by_class, train};
pub(crate) use victim::{at_least_one, image_shape, positive};
