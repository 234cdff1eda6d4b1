//! What long work tells its caller while it runs. The library itself prints nothing.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Something that long work tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A task has begun, or has made a step.
    Progress {
        /// Number of the task, its own within the process; several tasks can run at a time.
        task: u64,
        /// Name of the task.
        title: &'a str,
        /// Steps made. The first event of a task counts those that an interrupted run made before.
        done: u64,
        /// Steps in all; the task ends when `done` reaches it.
        total: u64,
    },
    /// A sentence for the user.
    Note(&'a str),
}

/// A callback for events. Work on several threads calls it from all of them.
///
/// ```
/// use std::sync::Mutex;
///
/// use mithridate_attacker::events::{Event, Events};
///
/// let notes = Mutex::new(Vec::new());
/// let listen = |event: Event<'_>| {
///     if let Event::Note(text) = event {
///         notes.lock().unwrap().push(text.to_owned());
///     }
/// };
/// Events::to(&listen).note("resuming after step 7");
/// assert_eq!(notes.into_inner().unwrap(), ["resuming after step 7"]);
/// ```
#[derive(Clone, Copy)]
pub struct Events<'a>(&'a (dyn Fn(Event<'_>) + Sync));

impl<'a> Events<'a> {
    /// Events go to this callback.
    pub fn to(callback: &'a (dyn Fn(Event<'_>) + Sync)) -> Self {
        Self(callback)
    }

    /// Nobody listens.
    pub fn ignored() -> Self {
        Self(&|_: Event<'_>| {})
    }

    /// Tells a sentence.
    pub fn note(self, text: &str) {
        (self.0)(Event::Note(text));
    }

    /// A task whose progress is told under this title.
    pub fn task(self, title: &'a str) -> Task<'a> {
        static TASKS: AtomicU64 = AtomicU64::new(0);
        Task { events: self, number: TASKS.fetch_add(1, Ordering::Relaxed), title }
    }
}

impl fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// A piece of long work with a known number of steps.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    events: Events<'a>,
    number: u64,
    title: &'a str,
}

impl Task<'_> {
    /// A task that nobody listens to.
    pub fn ignored() -> Self {
        Events::ignored().task("")
    }

    /// Tells how many of `total` steps are made.
    pub fn progress(&self, done: u64, total: u64) {
        (self.events.0)(Event::Progress { task: self.number, title: self.title, done, total });
    }

    /// Tells a sentence.
    pub fn note(&self, text: &str) {
        self.events.note(text);
    }
}
