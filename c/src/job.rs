//! Jobs: what `rscert` does, by the name of its sub-command.

use std::{
    ffi::{CString, c_char, c_void},
    ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use mithridate_runtime::jobs::{Control, Work, run_by_name};

use crate::{
    border::{guarded, text},
    error::{Failure, Status},
};

/// Receives notes and progress of a job. Its functions may be called from any thread, one call at a time. They must not
/// call back into this library. Each may be null.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Observer {
    /// Passed on to the functions.
    pub context: *mut c_void,
    /// Gets a note for the user: one sentence, UTF-8, valid during the call.
    pub note: Option<unsafe extern "C" fn(context: *mut c_void, sentence: *const c_char)>,
    /// Gets the title of the current work, and its steps, samples or inputs, that are done and that there are. Returns
    /// whether to go on: after `false` the job stops, and what is finished stays in its evidence file.
    pub progress: Option<
        unsafe extern "C" fn(context: *mut c_void, title: *const c_char, done: u64, steps: u64) -> bool,
    >,
}

/// The observer of C as one of the library.
struct Observed {
    observer: Observer,
    stop: Arc<AtomicBool>,
    /// The current work; locked during every call of a function of C.
    work: Mutex<Progress>,
}

/// The work that a job does at the moment.
#[derive(Default)]
struct Progress {
    title: CString,
    done: u64,
    steps: u64,
}

// SAFETY: the caller of `mithridate_run_job` promises that the functions may be called from any thread.
unsafe impl Send for Observed {}
// SAFETY: as above; a lock is held during each call.
unsafe impl Sync for Observed {}

impl Observed {
    /// Changes the current work, and reports it.
    fn report(&self, change: impl FnOnce(&mut Progress)) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut work);
        let Some(progress) = self.observer.progress else { return };
        // SAFETY: promised by the caller of `mithridate_run_job`; the title lives as long as the call.
        if !unsafe { progress(self.observer.context, work.title.as_ptr(), work.done, work.steps) } {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl mithridate_runtime::jobs::Observer for Observed {
    fn note(&self, sentence: &str) {
        let _work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(note) = self.observer.note else { return };
        let sentence = c_string(sentence);
        // SAFETY: promised by the caller of `mithridate_run_job`; the sentence lives as long as the call.
        unsafe { note(self.observer.context, sentence.as_ptr()) };
    }

    fn begin(&self, work: &Work<'_>) {
        self.report(|current| {
            *current = Progress { title: c_string(work.title), done: work.done, steps: work.steps };
        });
    }

    fn advance(&self, steps: u64) {
        self.report(|current| current.done = current.done.saturating_add(steps));
    }
}

/// A text for C, which can't contain a zero byte.
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// Runs a job, what a sub-command of `rscert` does: `certify`, `predict`, `recertify`, `merge`, `verify`, `audit`,
/// `inspect`, `keygen`, `sign` or `bench`.
///
/// `settings` is a JSON object, such as `{"run": "run.jsonl", "model": "lenet.onnx", "data": "data/mnist", "replay":
/// 5}`. Its members are named as flags of the sub-command, with `_` for `-`, except `classes` (`--class`), `table`
/// (`--tsv`), and `distribution` (`--noise` and `--exact-noise`: `gaussian`, `uniform` or `quantized-gaussian`). What is left
/// out has the same value as on the command line, except that `out` has to be named.
///
/// On success `*result` is the JSON document that the sub-command prints with `--json`; free it with
/// `mithridate_free_text()`. On failure it is null. A verification that finds something wrong succeeds: look at `holds`
/// in its document. ONNX Runtime is searched as described for `mithridate_options`. Models are loaded in this process;
/// use `rscert inspect` to try an untrusted model in a separate process.
///
/// # Safety
/// `job` and `settings` end with a zero byte; `observer` is null, or points to an observer whose functions can be called
/// with its context from any thread; `result` is null or points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mithridate_run_job(
    job: *const c_char,
    settings: *const c_char,
    observer: *const Observer,
    result: *mut *mut c_char,
) -> Status {
    guarded(|| {
        if !result.is_null() {
            // SAFETY: it is not null, and the caller promises that it points to a pointer.
            unsafe { result.write(ptr::null_mut()) };
        }
        // SAFETY: promised by the caller.
        let (job, settings) = unsafe { (text(job, "job")?, text(settings, "settings")?) };
        let job = job.ok_or_else(|| Failure::argument("job is null; name a sub-command of rscert"))?;
        let settings = settings.unwrap_or("{}");
        // SAFETY: null is checked, and the caller promises that else it points to an observer.
        let control =
            unsafe { observer.as_ref() }.map_or_else(Control::default, |&observer| control(observer));
        let document = run_by_name(job, settings, &control)?;
        if !result.is_null() {
            let document = c_string(&format!("{document:#}")).into_raw();
            // SAFETY: as above.
            unsafe { result.write(document) };
        }
        Ok(())
    })
}

fn control(observer: Observer) -> Control {
    let stop = Arc::new(AtomicBool::new(false));
    let observed = Observed { observer, stop: stop.clone(), work: Mutex::default() };
    Control { observer: Arc::new(observed), stop, ..Control::default() }
}

/// Frees the document of a job; does nothing for a null pointer.
///
/// # Safety
/// `text` is null, or comes from `mithridate_run_job()` and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mithridate_free_text(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: it came from `CString::into_raw`, and the caller promises that nobody uses it any more.
        drop(unsafe { CString::from_raw(text) });
    }
}
