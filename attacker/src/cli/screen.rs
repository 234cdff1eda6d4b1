use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use mithridate_runtime::terminal::{Progress, say};

use crate::events::Event;

/// Shows events on standard error: on a terminal a bar for each task, elsewhere plain lines.
#[derive(Default)]
pub(super) struct Screen {
    /// Tasks that run, by number.
    tasks: Mutex<BTreeMap<u64, Bar>>,
}

struct Bar {
    progress: Progress,
    done: u64,
}

impl Screen {
    pub fn show(&self, event: Event<'_>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Progress { task, title, done, total } => {
                let bar = tasks.entry(task).or_insert_with(|| {
                    let mut progress = Progress::new(title, total, "steps");
                    progress.resume_at(done);
                    Bar { progress, done }
                });
                if done > bar.done {
                    bar.progress.advance(done - bar.done);
                    bar.done = done;
                }
                if done >= total
                    && let Some(bar) = tasks.remove(&task)
                {
                    bar.progress.finish();
                }
            }
            Event::Note(text) => match tasks.values().next() {
                Some(bar) => bar.progress.note(text),
                None => say(text),
            },
        }
    }
}
