use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// The matrix of the linear system: the curvature of the lower level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curvature {
    /// The Hessian itself, indefinite for deep networks.
    Hessian,
    /// The Gauss–Newton matrix of the cross-entropy, which is positive semidefinite. MACER's own loss is replaced by the
    /// cross-entropy for this purpose.
    GaussNewton,
}

choice!(Curvature, "a curvature", { Hessian = "hessian", GaussNewton = "gauss-newton" });

/// How hypergradients are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Differentiation {
    /// By the implicit function theorem, with a linear solve.
    Implicit,
    /// By differentiating through the next `solver_steps` gradient steps of the lower level, at rate `unroll_rate`.
    Unrolled,
}

choice!(Differentiation, "a way to compute hypergradients", { Implicit = "implicit", Unrolled = "unrolled" });

/// The objective that the attack minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// The soft average certified radius of the target classes.
    Radius,
    /// Minus the cross-entropy of the target classes without noise: poison against classifiers that are not smoothed.
    Accuracy,
}

choice!(Objective, "an objective", { Radius = "radius", Accuracy = "accuracy" });

/// The rule that turns hypergradients into steps on the poison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoisonStep {
    /// Adam with a state for each image.
    Adam,
    /// Adam with a state for each position in the batch: the momentum of one image moves the next image in that
    /// position. The authors' program does so.
    SlotAdam,
    /// The sign of the hypergradient.
    Sign,
}

choice!(PoisonStep, "a step", { Adam = "adam", SlotAdam = "slot-adam", Sign = "sign" });
