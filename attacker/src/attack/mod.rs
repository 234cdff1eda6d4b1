//! The attack: poison that lowers the average certified radius of networks trained on it, and two baselines without
//! optimisation to compare it with.
//!
//! An [`Attack`] makes steps on the poison. Each step asks the lower level (`LowerLevel`: a pool of networks in
//! training, or a convex problem that is solved) for hypergradients, and moves the poison along them. [`AttackSettings`]
//! has a doc comment for each setting; [`check`] compares the derivatives with finite differences.

mod baselines;
mod candidates;
mod check;
mod choices;
mod convex;
mod data;
mod lower_level;
mod optimise;
mod pool;
mod range;
mod settings;
mod soft_radius;
mod state;
mod stopwatch;
mod upper_level;

pub(crate) use baselines::{random_signs, watermark};
pub(crate) use candidates::certified_acr;
pub use candidates::{CandidateSettings, CertifiedRadius, certified_radii};
pub use check::{Agreement, CheckReport, SolveCheck, check};
pub use choices::{Curvature, Differentiation, Objective, PoisonStep};
pub use data::{AttackData, AttackImages};
pub use optimise::{Attack, StepReport};
pub(crate) use optimise::{MeasuredAttack, MeasuredHypergradient, solved_network};
pub(crate) use range::{check_classes, check_epsilon, check_share};
pub use settings::AttackSettings;
pub use soft_radius::{SoftRadius, soft_radius};
pub use state::{AttackPosition, AttackState};
pub(crate) use stopwatch::{Part, now};
