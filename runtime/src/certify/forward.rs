use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::backend::{BackendError, Classifier, vote};

/// Hears sentences for the user while a run goes on.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// Classes voted for by noisy inputs, `batch` at a time, with the time of the forward pass and of counting.
///
/// Where the engine has too little memory for a batch, it is halved, from now on, and the run goes on; votes do not
/// depend on the batch.
///
/// # Errors
/// [`BackendError`]; that of memory where not even one input, or a fixed batch, fits.
pub(super) fn forward(
    model: &mut dyn Classifier,
    inputs: &[f32],
    batch: &mut usize,
    logits: &mut Vec<f32>,
    notices: Option<&Notices>,
) -> Result<(Vec<Option<usize>>, Duration, Duration), BackendError> {
    let (len, classes) = (model.input_len(), model.classes());
    let mut voted = Vec::with_capacity(inputs.len() / len);
    let (mut forward, mut count) = (Duration::ZERO, Duration::ZERO);
    let mut rest = inputs;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*batch * len));
        let before = Instant::now();
        match model.logits(now, logits) {
            Err(BackendError::OutOfMemory { batch: failed, problem })
                if *batch > 1 && model.fixed_batch().is_none() =>
            {
                *batch = halved(*batch, failed, &problem, notices);
            }
            other => {
                other?;
                let after = Instant::now();
                forward += after - before;
                voted.extend(logits.chunks_exact(classes).map(vote));
                count += after.elapsed();
                rest = later;
            }
        }
    }
    Ok((voted, forward, count))
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
