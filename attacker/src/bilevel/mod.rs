//! Hypergradients: how the best response of a lower-level problem moves the upper level.
//!
//! For an inner loss L(θ, u) with minimiser θ*(u) and an outer loss R(θ), the implicit function theorem gives
//!
//! ```text
//! dR/du = −(∂²L/∂u∂θ)ᵀ p,     (H + ρI) p = ∂R/∂θ,     H = ∂²L/∂θ²
//! ```
//!
//! with damping ρ (Pedregosa, 2016; Mehra et al., 2021). H of a deep network is indefinite: the linear solvers here
//! guard against negative curvature or don't mind it, and report the relative residual they reached; the Gauss–Newton
//! matrix can stand for H.
//!
//! Nothing here knows of poison. [`BilevelProblem`] is what a problem has to be, [`hypergradient`] and [`descend`] are
//! all that is needed to optimise one; `examples/regularisation_weight.rs` finds the weight decay of a logistic
//! regression this way. The attack, whose lower level is too large for one batch, puts the same parts together itself.

mod gauss_newton;
mod hessian;
mod newton;
mod problem;
mod solvers;
mod unrolled;

pub use gauss_newton::GaussNewton;
pub use hessian::{Hessian, mixed_product, mixed_product_of};
pub use newton::{NewtonReport, NewtonSettings, minimise};
pub use problem::{
    BilevelProblem, DescentSettings, DescentStep, Hypergradient, HypergradientMethod, descend, hypergradient,
};
pub use solvers::{LinearOperator, Solution, Solver, SolverSettings, WarmStart, solve};
pub use unrolled::Unrolling;
pub(crate) use unrolled::{Unrolled, unrolled};
