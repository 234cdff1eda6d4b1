use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::Vote;
use crate::backend::{BackendError, Classifier, vote};

/// Hears sentences for the user while a run goes on.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// How to go about running the model.
pub(super) struct Forward<'a> {
    /// Hears of a batch that had to be made smaller.
    pub notices: Option<&'a Notices>,
    /// No batch is begun after this.
    pub until: Option<Instant>,
    /// No batch is begun once this is true.
    pub stop: Option<&'a AtomicBool>,
}

/// A batch that was run.
pub(super) struct Batch<'a> {
    /// Number of its first row among all that are run.
    pub first: usize,
    /// Its noisy inputs.
    pub inputs: &'a [f32],
    /// Logits of each row, from engines that give them.
    pub logits: Option<&'a [f32]>,
    /// Vote of each row.
    pub votes: &'a [Vote],
    /// Most inputs that the model is given at once.
    pub most: usize,
}

/// Writes the vote of each noisy input, `batch` of them at a time; `on_batch` hears of every batch that was run. Returns
/// the time of the forward pass and of reading the votes.
///
/// Where the engine has too little memory for a batch, it is halved, from now on, and the run goes on; votes do not
/// depend on the batch. Where time is up, or the run is to stop, the votes are fewer than the inputs.
///
/// # Errors
/// [`BackendError`]; that of memory where not even one input, or a fixed batch, fits.
pub(super) fn forward(
    model: &mut dyn Classifier,
    inputs: &[f32],
    batch: &mut usize,
    logits: &mut Vec<f32>,
    voted: &mut Vec<Vote>,
    run: &Forward<'_>,
    mut on_batch: impl FnMut(&mut dyn Classifier, &Batch<'_>) -> Result<(), BackendError>,
) -> Result<(Duration, Duration), BackendError> {
    let (len, classes) = (model.input_len(), model.classes());
    let (mut forward, mut count) = (Duration::ZERO, Duration::ZERO);
    let mut rest = inputs;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*batch * len));
        let before = Instant::now();
        let is_stopped = run.stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
        if is_stopped || run.until.is_some_and(|until| before >= until) {
            break;
        }
        // Some engines count themselves.
        let begun = voted.len();
        let (by_engine, result) = match model.votes(now, voted) {
            Some(result) => (true, result),
            None => (false, model.logits(now, logits)),
        };
        match result {
            Err(BackendError::OutOfMemory { batch: failed, problem })
                if *batch > 1 && model.fixed_batch().is_none() =>
            {
                voted.truncate(begun);
                *batch = halved(*batch, failed, &problem, run.notices);
            }
            other => {
                other?;
                let after = Instant::now();
                forward += after - before;
                if !by_engine {
                    voted.extend(logits.chunks_exact(classes).map(vote));
                }
                count += after.elapsed();
                rest = later;
                let logits = (!by_engine).then_some(&logits[..]);
                on_batch(
                    model,
                    &Batch { first: begun, inputs: now, logits, votes: &voted[begun..], most: *batch },
                )?;
            }
        }
    }
    Ok((forward, count))
}

/// Half of a batch of `failed` inputs, for which memory was too small, or of `batch` if that is less; says so.
pub(super) fn halved(batch: usize, failed: usize, problem: &str, notices: Option<&Notices>) -> usize {
    // The batch may have been a last, smaller one.
    let smaller = (failed.min(batch) / 2).max(1);
    if let Some(notices) = notices {
        notices(&format!(
            "too little memory for a batch of {failed} inputs ({problem}); going on with batches of {smaller}"
        ));
    }
    smaller
}
