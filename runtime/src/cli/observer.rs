//! What a job says, on standard error: notes, and progress as a bar or as plain lines.

use std::sync::{Arc, Mutex, PoisonError};

use super::{interruption::Stoppable, note, probe::ProbeArguments};
use crate::{
    jobs::{Control, Observer, Work},
    terminal::Progress,
};

/// Hears of a job for whoever started the program.
#[derive(Default)]
struct Terminal {
    /// Work under way, and what lets a signal stop it.
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

/// How jobs speak to the terminal, stop at a signal, and have models tried by a process of its own.
pub(super) fn control(probe: ProbeArguments) -> Control {
    Control {
        observer: Arc::new(Terminal::default()),
        stop: Stoppable::flag(),
        load: Arc::new(move |file, options| probe.load(file, options)),
    }
}
