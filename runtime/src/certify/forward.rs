use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::Vote;
use crate::backend::{Answers, BackendError, Classifier, Samples, VoteSampler};

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

/// Where the time of running a model went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ForwardTime {
    /// The forward pass.
    pub forward: Duration,
    /// Reading the votes.
    pub count: Duration,
}

/// Appends the vote of each noisy input to `answers.votes`, `batch` of them at a time; `on_batch` hears of every batch that
/// was run.
///
/// Where the engine has too little memory for a batch, it is halved, from now on, and the run goes on; votes do not
/// depend on the batch. Where time is up, or the run is to stop, the votes are fewer than the inputs.
///
/// # Errors
/// [`BackendError`]; that of memory where not even one input, or a fixed batch, fits.
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
