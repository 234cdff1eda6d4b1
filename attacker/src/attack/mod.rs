//! The attack: poison that lowers the average certified radius of networks trained on it, and two baselines without
//! optimisation to compare it with.
//!
//! An [`Attack`] makes steps on the poison. Each step asks the lower level (`LowerLevel`: a pool of networks in
//! training, or a convex problem that is solved) for hypergradients, and moves the poison along them. [`AttackSettings`]
//! has a doc comment for each setting; [`check`] compares the derivatives with finite differences.

mod baselines;
mod check;
mod choices;
mod clock;
mod convex;
mod data;
mod lower_level;
mod optimise;
mod pool;
mod range;
mod selection;
mod settings;
mod soft_radius;
mod state;
mod upper_level;

pub(crate) use baselines::{random_signs, watermark};
pub use check::{Agreement, CheckReport, SolveCheck, check};
pub use choices::{Curvature, Differentiation, Objective, PoisonStep};
pub(crate) use clock::{Part, now};
pub use data::{AttackData, AttackImages};
pub use optimise::{Attack, StepReport};
pub(crate) use optimise::{Bench, Found, solved_network};
pub(crate) use range::{check_classes, check_epsilon, check_share};
pub(crate) use selection::certified_acr;
pub use selection::{CertifiedRadius, SelectionSettings, certified_radii};
pub use settings::AttackSettings;
pub use soft_radius::{SoftRadius, soft_radius};
pub use state::{AttackPosition, AttackState};
