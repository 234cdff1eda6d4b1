use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use mithridate_runtime::terminal::{Progress, say};

use crate::events::Event;

/// Shows events on standard error: on a terminal a bar for each piece of work, elsewhere plain lines.
#[derive(Default)]
pub(super) struct Screen {
    /// The bar of each piece of work that runs, by its number.
    bars: Mutex<BTreeMap<u64, WorkBar>>,
}

struct WorkBar {
    progress: Progress,
    done: u64,
}

impl Screen {
    pub fn show(&self, event: Event<'_>) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Progress { work, title, done, total } => {
                let bar = bars.entry(work).or_insert_with(|| {
                    let mut progress = Progress::new(title, total, "steps");
                    progress.resume_at(done);
                    WorkBar { progress, done }
                });
                if done > bar.done {
                    bar.progress.advance(done - bar.done);
                    bar.done = done;
                }
                if done >= total
                    && let Some(bar) = bars.remove(&work)
                {
                    bar.progress.finish();
                }
            }
            Event::Note(text) => match bars.values().next() {
                Some(bar) => bar.progress.note(text),
                None => say(text),
            },
        }
    }
}
