use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use mithridate_runtime::terminal;

use crate::Error;

/// The program `rscert`, run as a child: ONNX Runtime and libtorch are never in one process.
#[derive(Clone, Debug)]
pub struct Certifier {
    program: PathBuf,
    threads: Option<usize>,
}

impl Certifier {
    /// The program named, or the one beside this program; `threads` is how many it may use.
    ///
    /// # Errors
    /// [`Error::Certifier`] if there is none.
    pub fn find(named: Option<&Path>, threads: Option<usize>) -> Result<Self, Error> {
        let program = match named {
            Some(path) => path.to_owned(),
            None => env::current_exe().unwrap_or_default().with_file_name("rscert"),
        };
        if program.is_file() {
            return Ok(Self { program, threads });
        }
        Err(Error::Certifier(format!(
            "there is no certifier at {}; build it with `cargo build --release -p mithridate-runtime`, or name it with --rscert",
            program.display()
        )))
    }

    /// Certifies a model; evidence that is there already is continued, or left if it is finished.
    ///
    /// # Errors
    /// [`Error::Certifier`] if it doesn't succeed; its own message is then on standard error.
    pub fn certify(
        &self,
        model: &Path,
        data: &Path,
        evidence: &Path,
        settings: &[(&str, String)],
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
        // Its table is not ours; progress and errors go where ours go, as plain lines if ours are plain.
        command.stdout(Stdio::null());
        let cannot =
            |error: io::Error| Error::Certifier(format!("{} can't be run: {error}", self.program.display()));
        let status = if terminal::lines_are_plain() {
            let mut child = command.stderr(Stdio::piped()).spawn().map_err(cannot)?;
            if let Some(mut errors) = child.stderr.take() {
                io::copy(&mut errors, &mut io::stderr()).map_err(cannot)?;
            }
            child.wait().map_err(cannot)?
        } else {
            command.status().map_err(cannot)?
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
