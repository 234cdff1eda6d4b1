//! Tests of the crate against what comes from outside, as one test program: to link libtorch is most of what building
//! these tests costs.

mod batch_norm;
mod bilevel_problems;
mod hypergradient;
mod linear_solvers;
mod residual_networks;
