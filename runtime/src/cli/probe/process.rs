use std::{
    io::{self, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use signal_hook::{
    consts::{SIGKILL, SIGXCPU},
    low_level::signal_name,
};

use super::{
    request::{Answer, Request},
    watched::{Process, watch},
};

/// A process that loads and tests a model.
pub(super) struct Probe {
    path: PathBuf,
    process: Process,
    started: Instant,
    seconds: u64,
    memory: Option<u64>,
}

impl Probe {
    /// Starts the process.
    ///
    /// # Errors
    /// If the system can't start it.
    pub fn start(path: &Path, request: &Request) -> anyhow::Result<Self> {
        let mut command = Command::new(program()?);
        command.args(["probe-model", "--"]).arg(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its own process group: a signal from the terminal should reach this process only. The child ends with this
        // process anyway.
        command.process_group(0);
        let child = command.spawn().context(
            "the separate process that tests the model can't be started; give --probe-seconds 0 to load a model that \
             you trust without this process",
        )?;
        let mut process = Process(child);
        if let Some(mut input) = process.0.stdin.take() {
            // If the process has ended before it got the request, `wait` reports that.
            let _ = input.write_all(&serde_json::to_vec(request)?);
        }
        let (started, &Request { seconds, memory, .. }) = (Instant::now(), request);
        Ok(Self { path: path.to_owned(), process, started, seconds, memory })
    }

    /// Waits for the answer of the process.
    ///
    /// # Errors
    /// Why there is no answer, and what can be done.
    pub fn wait(mut self) -> anyhow::Result<Answer> {
        // A limit beyond the range of the clock means no limit.
        let until = self.started.checked_add(Duration::from_secs(self.seconds));
        let ended = watch(&mut self.process.0, until)
            .context("the process that tests the model can't be watched; run this command again")?;
        let (path, said) = (self.path.display(), String::from_utf8_lossy(&ended.errors));
        let signal = ended.status.and_then(|status| status.signal());
        let Some(status) = ended.status.filter(|_| signal != Some(SIGXCPU)) else {
            return Err(anyhow!(
                "{path} could not be loaded and tested within {} seconds; if you trust that the model does not run for \
                 ever, give it more time with --probe-seconds",
                self.seconds
            ));
        };
        if let (true, Ok(answer)) = (status.success(), serde_json::from_slice(&ended.output)) {
            return Ok(answer);
        }
        if ["memory allocation of", "bad_alloc", "out of memory"].iter().any(|words| said.contains(words)) {
            return Err(too_little(&self.path, self.memory, "the process that did so ended"));
        }
        let first = said.lines().next().map(|line| format!(": {line}")).unwrap_or_default();
        Err(match signal {
            Some(SIGKILL) => anyhow!(
                "the process that loaded and tested {path} was killed, probably by the system because memory ran out; \
                 limit its memory with --probe-memory, or free some memory"
            ),
            Some(signal) => anyhow!(
                "ONNX Runtime crashed when a test process loaded and tested {path} (signal {signal}{}); the file may be \
                 damaged or malicious, so it is refused: export it again, or use another version of ONNX Runtime",
                signal_name(signal).map(|name| format!(", {name}")).unwrap_or_default()
            ),
            None => anyhow!(
                "the process that loaded and tested {path} ended without a result ({status}{first}); run this command \
                 again"
            ),
        })
    }
}

/// The error for a model that takes more memory than allowed.
pub(super) fn too_little(path: &Path, memory: Option<u64>, problem: &str) -> anyhow::Error {
    let path = path.display();
    match memory {
        Some(bytes) => anyhow!(
            "loading and testing {path} takes more than the allowed {} MiB of memory ({problem}); if the machine has more, \
             allow more with --probe-memory",
            bytes >> 20
        ),
        None => anyhow!("there is too little memory to load and test {path} ({problem})"),
    }
}

/// Path of this program, even if its file was replaced since it started.
fn program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}
