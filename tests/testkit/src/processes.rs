//! Programs that are stopped while they run.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// A process that is killed when it goes out of scope, so that a test that fails leaves none behind.
#[derive(Debug)]
pub struct Watched(Child);

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Watched {
    /// Starts a command whose standard output and standard error nobody sees before its end.
    pub fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal, such as `-INT`.
    pub fn send(&self, signal: &str) {
        send(signal, self.id());
    }

    /// Kills it and waits for its end.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// How it ended, what it said on standard error, and how long that took from now.
    pub fn end(mut self) -> (ExitStatus, String, Duration) {
        let started = Instant::now();
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap(), said, started.elapsed())
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it takes longer than `patience`, naming `what`.
    pub fn ends_within(&mut self, patience: Duration, what: &str) {
        let started = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < patience, "{what} goes on and on");
            sleep(Duration::from_millis(20));
        }
    }
}

/// Sends a signal, such as `-INT`, to a process.
pub fn send(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Waits until a file of evidence has `count` lines.
pub fn until_lines(path: &Path, count: usize) {
    let started = Instant::now();
    while fs::read_to_string(path).unwrap_or_default().lines().count() < count {
        assert!(started.elapsed() < Duration::from_mins(2), "{} does not grow", path.display());
        sleep(Duration::from_millis(2));
    }
}
