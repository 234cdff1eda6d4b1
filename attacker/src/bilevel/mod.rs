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

mod gauss_newton;
mod hessian;
mod solvers;

pub use gauss_newton::GaussNewton;
pub use hessian::{Hessian, mixed_product};
pub use solvers::{LinearOperator, Solution, Solver, SolverSettings, solve};
