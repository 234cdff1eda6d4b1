use std::{cell::RefCell, time::Instant};

use serde::Serialize;
use tch::{Cuda, Device};

use crate::{
    bilevel::{LinearOperator, Solution, SolverSettings, WarmStart, solve},
    parameters::Parameters,
};

/// A part of a hypergradient whose time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The upper level and its gradient, noise included.
    OuterGradient,
    /// Forward pass of the lower level and the graph of its gradient.
    InnerGraph,
    /// One product with the curvature.
    Product,
    /// The whole linear solve.
    Solve,
    /// The mixed product of all images moved, noise included.
    MixedProduct,
}

/// Measures the times of the parts of a hypergradient, or does nothing if it is off. On a GPU it waits until all work
/// queued so far is done before it reads the time, which slows the whole down.
#[derive(Debug)]
pub(super) struct Stopwatch {
    device: Device,
    /// Seconds of each part in order; `None` if the stopwatch is off.
    times: Option<RefCell<Vec<(Part, f64)>>>,
}

impl Stopwatch {
    /// A stopwatch that measures nothing.
    pub fn off(device: Device) -> Self {
        Self { device, times: None }
    }

    /// A stopwatch that measures.
    pub fn on(device: Device) -> Self {
        Self { device, times: Some(RefCell::default()) }
    }

    /// The measured times in order, in seconds.
    pub fn into_times(self) -> Vec<(Part, f64)> {
        self.times.map(RefCell::into_inner).unwrap_or_default()
    }

    /// The time now, if the stopwatch is on.
    pub fn start(&self) -> Option<Instant> {
        self.times.is_some().then(|| now(self.device))
    }

    /// Records the time that a part took since `started`.
    pub fn stop(&self, part: Part, started: Option<Instant>) {
        if let (Some(times), Some(started)) = (&self.times, started) {
            let seconds = now(self.device).duration_since(started).as_secs_f64();
            times.borrow_mut().push((part, seconds));
        }
    }

    /// Does `work`, and records its time as that of `part`.
    pub fn time<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        let started = self.start();
        let result = work();
        self.stop(part, started);
        result
    }

    /// Solves a linear system, and measures the solve and each product in it.
    pub fn solve(
        &self,
        operator: &impl LinearOperator,
        b: &Parameters,
        settings: &SolverSettings,
        start: Option<WarmStart>,
    ) -> Solution {
        self.time(Part::Solve, || solve(&Timed { operator, stopwatch: self }, b, settings, start))
    }
}

/// The time now, after all work queued on the device is done.
pub(crate) fn now(device: Device) -> Instant {
    if let Device::Cuda(number) = device {
        Cuda::synchronize(number as i64);
    }
    Instant::now()
}

/// A linear map whose products are measured.
struct Timed<'a, Operator> {
    operator: &'a Operator,
    stopwatch: &'a Stopwatch,
}

impl<Operator: LinearOperator> LinearOperator for Timed<'_, Operator> {
    fn apply(&self, vector: &Parameters) -> Parameters {
        self.stopwatch.time(Part::Product, || self.operator.apply(vector))
    }
}
