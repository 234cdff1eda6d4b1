//! The attack in two dimensions, where it can be seen: a linear and a non-linear classifier on two distributions of
//! points in the unit square, trained on clean and on poisoned points; decision boundary of the smoothed classifier and
//! certified radii.
//!
//! A point is an image of two channels and one pixel, so that attack, training and certification are those of the rest of
//! the program.

mod picture;
mod points;
mod settings;
mod smoothed;
mod study;

pub use picture::picture;
pub use points::{Distribution, Part, TARGET};
pub use settings::BoundarySettings;
pub use smoothed::SmoothedClassifier;
pub use study::{Case, Outcome, study};
