use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::Vote;
use crate::backend::{Answers, BackendError, Classifier, Samples, VoteSampler};

/// A callback that gets notices for the user, one sentence each, during a run.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// Notices and stop conditions of a run of the model.
pub(super) struct Forward<'a> {
    /// Gets a notice when the batch size is halved.
    pub notices: Option<&'a Notices>,
    /// No batch is begun after this.
    pub until: Option<Instant>,
    /// No batch is begun once this is true.
    pub stop: Option<&'a AtomicBool>,
}

/// A batch that was run.
pub(super) struct Batch<'a> {
    /// Index of its first row among all rows that are run.
    pub first: usize,
    /// Its noisy inputs, N×(C·H·W) values.
    pub inputs: &'a [f32],
    /// Logits of the rows, N×K values; `None` from engines that give votes only.
    pub logits: Option<&'a [f32]>,
    /// Vote of each row.
    pub votes: &'a [Vote],
    /// Largest number of inputs in one call of the model.
    pub most: usize,
}

/// Time spent on running a model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ForwardTime {
    /// The forward pass.
    pub forward: Duration,
    /// Reading the votes.
    pub count: Duration,
}

/// Runs the model on noisy inputs, `batch` of them at a time, and appends the vote of each to `answers.votes`.
/// `on_batch` is called after every batch.
///
/// If the engine has too little memory for a batch, `batch` is halved from then on and the run continues; votes do not
/// depend on the batch size. If the deadline `run.until` passes, or `run.stop` becomes true, there are fewer votes than
/// inputs.
///
/// # Errors
/// [`BackendError`]; [`BackendError::OutOfMemory`] only if not even one input, or the batch of a model with a fixed
/// batch size, fits.
pub(super) fn forward(
    model: &mut dyn VoteSampler,
    inputs: &[f32],
    batch: &mut usize,
    answers: &mut Answers,
    run: &Forward<'_>,
    mut on_batch: impl FnMut(&mut dyn Classifier, &Batch<'_>) -> Result<(), BackendError>,
) -> Result<ForwardTime, BackendError> {
    let (len, fixed_batch) = (model.classifier().input_len(), model.classifier().fixed_batch());
    let mut time = ForwardTime::default();
    let mut rest = inputs;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*batch * len));
        let before = Instant::now();
        let is_stopped = run.stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
        if is_stopped || run.until.is_some_and(|until| before >= until) {
            break;
        }
        let first = answers.votes.len();
        match model.votes(Samples::Noisy(now), answers) {
            Err(BackendError::OutOfMemory { batch: failed, problem })
                if *batch > 1 && fixed_batch.is_none() =>
            {
                answers.votes.truncate(first);
                *batch = halved(*batch, failed, &problem, run.notices);
            }
            other => {
                other?;
                time.forward += before.elapsed().saturating_sub(answers.reading);
                time.count += answers.reading;
                rest = later;
                let logits = (!answers.logits.is_empty()).then_some(&answers.logits[..]);
                let votes = &answers.votes[first..];
                on_batch(model.classifier_mut(), &Batch { first, inputs: now, logits, votes, most: *batch })?;
            }
        }
    }
    Ok(time)
}

/// The next batch size after a batch of `failed` inputs ran out of memory: half of `failed` or of `batch`, whichever is
/// less. Sends a notice.
pub(super) fn halved(batch: usize, failed: usize, problem: &str, notices: Option<&Notices>) -> usize {
    // The batch that failed may have been the last one, which can be smaller than `batch`.
    let smaller = (failed.min(batch) / 2).max(1);
    if let Some(notices) = notices {
        notices(&format!(
            "too little memory for a batch of {failed} inputs ({problem}); continuing with batches of {smaller}"
        ));
    }
    smaller
}
