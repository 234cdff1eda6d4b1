//! Output of the programs: results on standard output; messages and progress on standard error. Progress is a bar with
//! rate and time left on a terminal, and plain lines elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two plain lines of progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

static PLAIN: AtomicBool = AtomicBool::new(false);

/// Switches to plain lines of progress even on a terminal. Needed when several jobs report progress at once.
pub fn use_plain_lines() {
    PLAIN.store(true, Ordering::Relaxed);
}

/// Whether progress is reported as plain lines.
pub fn lines_are_plain() -> bool {
    PLAIN.load(Ordering::Relaxed) || !io::stderr().is_terminal()
}

/// Writes `text` to standard output. A broken pipe is not an error: the reader may stop early.
///
/// # Errors
/// Any other failure of standard output, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes one line to standard error, escaped by [`printable`]. Failures (a closed pipe, a full disk) are ignored.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// Makes text from untrusted files safe to print: control characters and characters that change the direction of text
/// are escaped. After 4,000 characters the text is cut and says how many are left out.
///
/// ```
/// use mithridate_runtime::terminal::printable;
///
/// assert_eq!(printable("größe 3.onnx"), "größe 3.onnx");
/// assert_eq!(printable("\u{1b}[2J\u{202e}cat"), "\\u{1b}[2J\\u{202e}cat");
/// assert!(printable(&"a".repeat(1_000_000)).ends_with("a… (996000 more letters)"));
/// ```
pub fn printable(name: &str) -> String {
    let steers = |letter: char| {
        letter.is_control()
            // Letters that nobody sees, or that change the direction of the text.
            || matches!(letter,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut text = String::new();
    let mut letters = name.chars();
    for letter in letters.by_ref().take(MOST_LETTERS) {
        if steers(letter) { text.extend(letter.escape_default()) } else { text.push(letter) }
    }
    match letters.count() {
        0 => {}
        more => text += &format!("… ({more} more letters)"),
    }
    text
}

/// Most characters of one message: names in an ONNX file can have millions.
const MOST_LETTERS: usize = 4000;

/// Progress of one job with a known number of steps.
pub struct Progress {
    bar: ProgressBar,
    title: String,
    plain: Option<Instant>,
    started: Instant,
    done_before: u64,
}

impl Progress {
    /// Starts a job named `title` with `total` steps; `unit` names the step, as in "12/500 inputs".
    pub fn new(title: &str, total: u64, unit: &str) -> Self {
        let terminal = !lines_are_plain();
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if terminal {
            let template =
                format!("{{msg:<28}} {{bar:30}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.set_message(printable(title));
        }
        let now = Instant::now();
        Self { bar, title: title.to_owned(), plain: (!terminal).then_some(now), started: now, done_before: 0 }
    }

    /// Sets the number of steps already done by an earlier, resumed run. They don't count towards the rate.
    pub fn resume_at(&mut self, done: u64) {
        self.done_before = done;
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// Adds `steps` to the steps done.
    pub fn advance(&mut self, steps: u64) {
        self.bar.inc(steps);
        let Some(last) = &mut self.plain else { return };
        if last.elapsed() >= PLAIN_INTERVAL {
            *last = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let share = done.saturating_mul(100) / total.max(1);
            let left = self.started.elapsed().as_secs_f64() * (total.saturating_sub(done)) as f64
                / done.saturating_sub(self.done_before).max(1) as f64;
            let left = HumanDuration(Duration::from_secs_f64(left));
            say(&format!("{}: {share} % ({done} of {total}), {left} left", self.title));
        }
    }

    /// Prints a line above the bar.
    pub fn note(&self, text: &str) {
        if self.plain.is_some() {
            say(text);
        } else {
            self.bar.println(printable(text));
        }
    }

    /// Removes the bar and returns the elapsed time.
    pub fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.started.elapsed()
    }
}
