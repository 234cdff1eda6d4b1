//! The attack in two dimensions, as a picture: a linear and a non-linear classifier on two distributions of points in the
//! unit square are trained on clean and on poisoned points, and their smoothed decision boundaries and certified radii
//! are drawn.
//!
//! A point is an image with two channels and one pixel, so that the same code attacks, trains and certifies.

mod picture;
mod points;
mod settings;
mod smoothed;
mod study;

pub use picture::picture;
pub use points::PointDistribution;
use points::{PointSplit, TARGET};
pub use settings::BoundarySettings;
use smoothed::SmoothedClassifier;
pub use study::{Case, Certification, study};
