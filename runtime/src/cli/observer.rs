//! Prints notes and progress of a job to standard error: progress as a bar on a terminal, otherwise as plain lines.

use std::sync::{Arc, Mutex, PoisonError};

use super::{interruption::Stoppable, note, probe::ProbeArguments};
use crate::{
    jobs::{Control, Observer, Work},
    terminal::Progress,
};

/// The observer that prints to standard error.
#[derive(Default)]
struct Terminal {
    /// Progress of the current work, and the guard that lets a signal stop it.
    work: Mutex<Option<(Progress, Option<Stoppable>)>>,
}

impl Observer for Terminal {
    fn note(&self, text: &str) {
        note(text);
    }

    fn begin(&self, work: &Work<'_>) {
        let mut progress = Progress::new(work.title, work.steps, work.unit);
        progress.resume_at(work.done);
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((progress, work.out.map(Stoppable::new)));
    }

    fn advance(&self, steps: u64) {
        if let Some((progress, _)) = &mut *self.work.lock().unwrap_or_else(PoisonError::into_inner) {
            progress.advance(steps);
        }
    }

    fn end(&self) {
        if let Some((progress, stoppable)) = self.work.lock().unwrap_or_else(PoisonError::into_inner).take() {
            progress.finish();
            drop(stoppable);
        }
    }
}

/// The control of jobs: they print to the terminal, stop at a signal, and test models in a separate process first.
pub(super) fn control(probe: ProbeArguments) -> Control {
    Control {
        observer: Arc::new(Terminal::default()),
        stop: Stoppable::flag(),
        load: Arc::new(move |file, options| probe.load(file, options)),
    }
}
