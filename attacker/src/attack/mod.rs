//! The attack: poison that lowers the average certified radius of networks trained on it, and baselines that show
//! what optimising it is worth.

mod optimise;
mod pool;
mod random_signs;
mod settings;
mod soft_radius;

pub use optimise::{AttackData, StepReport, optimise};
pub use random_signs::random_signs;
pub(crate) use settings::check_epsilon;
pub use settings::{AttackSettings, Curvature};
pub use soft_radius::{SoftRadius, soft_radius};
