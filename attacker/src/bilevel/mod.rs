//! Hypergradients: derivatives of an upper-level loss through the solution of a lower-level problem.
//!
//! For an inner loss L(θ, u) with minimiser θ*(u) and an outer loss R(θ), the implicit function theorem gives
//!
//! ```text
//! dR/du = −(∂²L/∂u∂θ)ᵀ p,     (H + ρI) p = ∂R/∂θ,     H = ∂²L/∂θ²
//! ```
//!
//! with damping ρ (Pedregosa, 2016; Mehra et al., 2021). H of a deep network is indefinite. The linear solvers here stop
//! at negative curvature or work in spite of it, and report the relative residual they reached; the Gauss–Newton matrix,
//! which is never indefinite, can replace H.
//!
//! Nothing here depends on poison. Implement [`BilevelProblem`], then call [`hypergradient`] or [`descend`];
//! `examples/regularisation_weight.rs` finds the weight decay of a logistic regression this way. The lower level of the
//! attack is too large for one batch, so the attack calls the same parts itself.

mod gauss_newton;
mod hessian;
mod newton;
mod problem;
mod solvers;
mod unrolled;

pub use gauss_newton::GaussNewton;
pub(crate) use hessian::mixed_product_of;
pub use hessian::{Hessian, mixed_product};
pub use newton::{NewtonReport, NewtonSettings, minimise};
pub use problem::{
    BilevelProblem, DescentSettings, DescentStep, Hypergradient, HypergradientMethod, descend, hypergradient,
};
pub use solvers::{LinearOperator, Solution, Solver, SolverSettings, WarmStart, solve};
pub use unrolled::Unrolling;
pub(crate) use unrolled::{Unrolled, unrolled};
