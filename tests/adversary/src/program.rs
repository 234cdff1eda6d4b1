//! `rscert`, run as a user runs it. The harness is that program too, so nothing has to be found or built for it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// The program.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status; none if it was ended because it took too long, or died of a signal.
    pub status: Option<i32>,
    /// What it printed.
    pub output: String,
    /// What it said on standard error.
    pub errors: String,
}

impl Program {
    /// In this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// This process's own.
    ///
    /// # Errors
    /// If the system can't say which file it is.
    pub fn this() -> io::Result<Self> {
        std::env::current_exe().map(Self)
    }

    /// Runs a command in a folder, and ends it if it takes longer than `patience`.
    ///
    /// # Errors
    /// If it can't be started, or says what is no text.
    pub fn run(
        &self,
        folder: &Path,
        arguments: &[impl AsRef<OsStr>],
        patience: Duration,
    ) -> io::Result<Ended> {
        // Files, so that nothing waits for a pipe to be read.
        let places = [".output", ".errors"].map(|name| folder.join(name));
        let mut command = Command::new(&self.0);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        let mut child =
            command.stdout(File::create(&places[0])?).stderr(File::create(&places[1])?).spawn()?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status.code();
            }
            if started.elapsed() > patience {
                child.kill()?;
                child.wait()?;
                break None;
            }
            sleep(Duration::from_millis(2));
        };
        let text = |place| Ok::<_, io::Error>(String::from_utf8_lossy(&fs::read(place)?).into_owned());
        Ok(Ended { status, output: text(&places[0])?, errors: text(&places[1])? })
    }
}
