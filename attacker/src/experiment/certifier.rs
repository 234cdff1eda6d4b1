use std::{
    env,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, events::Events};

/// Destination of the progress and the error messages of the certifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// To the standard error of this process, where a terminal shows a progress bar.
    Inherited,
    /// To [`Events`], each line as a note.
    Noted,
}

/// The program `rscert`, run as a child process: ONNX Runtime and libtorch must not share a process.
#[derive(Clone, Debug)]
pub struct CertifierProgram {
    program: PathBuf,
    threads: Option<usize>,
    messages: Messages,
}

impl CertifierProgram {
    /// The program `named`, or else `rscert` in the folder of this program. It uses `threads` threads, or as many as it
    /// chooses itself if that is `None`.
    ///
    /// # Errors
    /// [`Error::NoCertifier`] if there is no such file.
    pub fn find(named: Option<&Path>, threads: Option<usize>, messages: Messages) -> Result<Self, Error> {
        let program = match named {
            Some(path) => path.to_owned(),
            None => env::current_exe().unwrap_or_default().with_file_name("rscert"),
        };
        if program.is_file() {
            return Ok(Self { program, threads, messages });
        }
        Err(Error::NoCertifier { path: program })
    }

    /// Certifies `model` on the test images of `data`, and writes the file `evidence`. `settings` are flags with their
    /// values. Evidence of an interrupted run is continued; finished evidence is not changed.
    ///
    /// # Errors
    /// [`Error::Certifier`] if it can't be run or doesn't succeed; its own message goes to [`Messages`].
    pub fn certify(
        &self,
        model: &Path,
        data: &Path,
        evidence: &Path,
        settings: &[(&str, String)],
        events: Events<'_>,
    ) -> Result<(), Error> {
        let mut command = Command::new(&self.program);
        command.args(["certify", "--split", "test", "--resume"]);
        command.arg("--model").arg(model).arg("--data").arg(data).arg("--out").arg(evidence);
        for (flag, value) in settings {
            command.arg(flag).arg(value);
        }
        if let Some(threads) = self.threads {
            command.arg("--threads").arg(threads.to_string());
        }
        // Its summary is not part of the output of this program.
        command.stdout(Stdio::null());
        let cannot =
            |error: io::Error| Error::Certifier(format!("{} can't be run: {error}", self.program.display()));
        let status = match self.messages {
            Messages::Inherited => command.status().map_err(cannot)?,
            Messages::Noted => {
                let mut child = command.stderr(Stdio::piped()).spawn().map_err(cannot)?;
                if let Some(errors) = child.stderr.take() {
                    for line in BufReader::new(errors).split(b'\n') {
                        events.note(&String::from_utf8_lossy(&line.map_err(cannot)?));
                    }
                }
                child.wait().map_err(cannot)?
            }
        };
        if status.success() {
            return Ok(());
        }
        Err(Error::Certifier(format!(
            "certification of {} failed ({status}); its message is above",
            model.display()
        )))
    }
}
