use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::attack::{Objective, lower_level::Hypergradients};

/// The report of one step of the attack: a line of the run log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Number of the restart, from 0.
    pub restart: usize,
    /// Number of the step, from 0.
    pub step: usize,
    /// Loss of the lower level, on the batch of the linear system.
    pub inner_loss: f64,
    /// Upper level: the soft average certified radius of the validation batch, or minus its cross-entropy.
    pub outer: f64,
    /// Validation images that the soft smoothed classifier got right.
    pub right: u64,
    /// Relative residual of the linear solve; after an unrolled hypergradient, the share of the upper level's gradient
    /// that reaches back beyond the unrolled steps.
    pub relative_residual: f64,
    /// Iterations of the solve.
    pub iterations: u64,
    /// Whether negative curvature ended the solve.
    pub negative_curvature: bool,
    /// Mean absolute change of a pixel so far, in \[0, 1\].
    pub mean_change: f64,
    /// Why the poison was not moved in this step; absent if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skipped: Option<String>,
    /// Time of the step, in seconds.
    pub seconds: f64,
}

impl StepReport {
    /// The report of step `step` of restart `restart`, without its time. `usable` is a boolean scalar: whether the poison
    /// was moved along the hypergradients `found`. `change` is the mean absolute change of a pixel, a scalar.
    ///
    /// It makes the only copy to the host, after all work of the step was queued on the device.
    pub(super) fn new(
        [restart, step]: [usize; 2],
        found: &Hypergradients,
        usable: &Tensor,
        change: &Tensor,
        objective: Objective,
    ) -> Self {
        let Hypergradients {
            inner_loss,
            outer,
            relative_residual,
            iterations,
            negative_curvature,
            finite,
            ..
        } = found;
        let scalars = [
            inner_loss,
            &outer.value,
            &outer.right,
            &outer.finite,
            &outer.nonzero,
            relative_residual,
            iterations,
            negative_curvature,
            finite,
            usable,
            change,
        ];
        let packed =
            Tensor::stack(&scalars.map(|scalar| scalar.to_kind(Kind::Double)), 0).to_device(Device::Cpu);
        let mut values = [0.0; 11];
        packed.copy_data(&mut values, 11);
        let [
            inner_loss,
            outer,
            right,
            finite_outer,
            nonzero,
            residual,
            iterations,
            negative,
            finite_p,
            moved,
            change,
        ] = values;
        let reason = || {
            let reason = match () {
                () if right == 0.0 && objective == Objective::Radius => "no validation image was right",
                () if finite_outer == 0.0 => "the gradient of the upper level was not finite",
                () if nonzero == 0.0 => "the gradient of the upper level was 0, its softmax saturated",
                () if finite_p == 0.0 => "the linear solve was not finite",
                () if negative != 0.0 => "the first direction of the linear solve had negative curvature",
                () => "the solution of the linear solve was 0",
            };
            reason.to_owned()
        };
        // JSON has no NaN and no infinity.
        let number = |value: f64| if value.is_finite() { value } else { -1.0 };
        Self {
            restart,
            step,
            inner_loss: number(inner_loss),
            outer: number(outer),
            right: right as u64,
            relative_residual: number(residual),
            iterations: iterations as u64,
            negative_curvature: negative != 0.0,
            mean_change: change,
            skipped: (moved == 0.0).then(reason),
            seconds: 0.0,
        }
    }
}
