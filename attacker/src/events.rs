//! Progress and notes of long work, told to its caller while it runs. The library itself prints nothing.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// A message of long work to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Work has begun, or has made a step.
    Progress {
        /// Number that no other work of this process has; several pieces of work can run at a time.
        work: u64,
        /// Title for the user, such as "making poison".
        title: &'a str,
        /// Steps made, including those that an interrupted run made before.
        done: u64,
        /// Total number of steps; the work ends when `done` reaches it.
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

    /// Events without a listener.
    pub fn ignored() -> Self {
        Self(&|_: Event<'_>| {})
    }

    /// Tells a sentence for the user.
    pub fn note(self, text: &str) {
        (self.0)(Event::Note(text));
    }

    /// Work whose progress is told under this title.
    pub fn work(self, title: &'a str) -> Work<'a> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Work { events: self, number: COUNT.fetch_add(1, Ordering::Relaxed), title }
    }
}

impl fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// A piece of long work whose number of steps is known.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    events: Events<'a>,
    number: u64,
    title: &'a str,
}

impl Work<'_> {
    /// Work without a listener.
    pub fn ignored() -> Self {
        Events::ignored().work("")
    }

    /// Tells how many of `total` steps are made.
    pub fn progress(&self, done: u64, total: u64) {
        (self.events.0)(Event::Progress { work: self.number, title: self.title, done, total });
    }

    /// Tells a sentence for the user.
    pub fn note(&self, text: &str) {
        self.events.note(text);
    }
}
