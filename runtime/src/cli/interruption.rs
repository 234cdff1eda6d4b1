//! Signals. SIGINT, SIGTERM and SIGHUP end the program with a message and the exit status 128 + signal; a run that can
//! be resumed first has a moment to stop by itself. SIGXFSZ does not end the program: the write that exceeds the limit
//! fails, as on a full disk.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    iterator::Signals,
    low_level::{exit, signal_name},
};

use crate::{
    certify::CertifyError,
    files,
    jobs::JobError,
    terminal::{self, printable},
};

/// Time that a run has to stop by itself, enough for a batch of most models.
const GRACE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);
/// Stack of the listening thread, in bytes.
const STACK: usize = 256 << 10;

static STATE: LazyLock<State> = LazyLock::new(State::default);

/// State shared by the listening thread and the work.
#[derive(Default)]
struct State {
    /// The signal received, 0 for none.
    signal: AtomicI32,
    /// Set to stop the work.
    stop: Arc<AtomicBool>,
    /// Whether there is work that checks `stop`.
    is_heeded: AtomicBool,
    /// Message about the state of the work and how to continue.
    advice: Mutex<String>,
    /// Whether the message was printed; it is printed once.
    said: Mutex<bool>,
}

/// While this value lives, there is work that stops when it is asked to.
pub(super) struct Stoppable(());

impl Stoppable {
    /// For a run that writes evidence to `out` and can be resumed.
    pub fn new(out: &Path) -> Self {
        let out = printable(&out.display().to_string());
        *lock(&STATE.advice) =
            format!("; the finished inputs are in {out}: run the same command with --resume to continue");
        STATE.is_heeded.store(true, Ordering::SeqCst);
        Self(())
    }

    /// The flag that is set when work should stop.
    pub fn flag() -> Arc<AtomicBool> {
        STATE.stop.clone()
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        STATE.is_heeded.store(false, Ordering::SeqCst);
    }
}

/// Starts to listen for signals. Signals that this process ignores from its start, as with `nohup`, stay ignored.
///
/// # Errors
/// If the system can't start a thread.
pub(super) fn listen() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ending = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(&status, signal));
    let mut signals = Signals::new(ending.chain([SIGXFSZ]))?;
    let attend = move || {
        loop {
            if let Some(signal) = signals.wait().find(|&signal| signal != SIGXFSZ) {
                STATE.signal.store(signal, Ordering::SeqCst);
                if STATE.is_heeded.load(Ordering::SeqCst) {
                    STATE.stop.store(true, Ordering::SeqCst);
                    let asked = Instant::now();
                    // A second signal ends the program at once.
                    while asked.elapsed() < GRACE && signals.pending().all(|signal| signal == SIGXFSZ) {
                        thread::sleep(PAUSE);
                    }
                }
                say(signal);
                files::remove_unfinished();
                // Exits without cleanup, because other threads still use the library.
                exit(status_of(signal));
            }
        }
    };
    thread::Builder::new().name("signals".into()).stack_size(STACK).spawn(attend).map(drop)
}

/// Prints the message and returns the exit status, if `error` is that of a run stopped by a signal; `None` for another
/// error.
pub(super) fn interrupted(error: &anyhow::Error) -> Option<ExitCode> {
    let is_stopped = matches!(error.downcast_ref(), Some(JobError::Certify(CertifyError::Interrupted)));
    let signal = STATE.signal.load(Ordering::SeqCst);
    (is_stopped && signal != 0).then(|| {
        say(signal);
        ExitCode::from(status_of(signal) as u8)
    })
}

fn status_of(signal: i32) -> i32 {
    128 + signal
}

fn say(signal: i32) {
    let mut said = lock(&STATE.said);
    if !*said {
        *said = true;
        if !terminal::lines_are_plain() {
            // Clears the progress bar from the line of the message.
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
        }
        let name = signal_name(signal).unwrap_or("a signal");
        terminal::say(&format!("rscert: interrupted by {name}{}", lock(&STATE.advice)));
    }
}

/// Locks a mutex, also after a panic in another thread, which can't leave these values invalid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a process ignores a signal, from its `/proc/self/status`.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        // SIGHUP is 1, SIGINT 2, SIGPIPE 13.
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(status, SIGHUP) && is_ignored(status, 13));
        assert!(!is_ignored(status, SIGINT) && !is_ignored("", SIGHUP));
    }
}
