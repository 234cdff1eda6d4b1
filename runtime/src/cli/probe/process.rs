use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGKILL, SIGXCPU},
    low_level::signal_name,
};

use super::request::{Answer, Request};

/// Largest number of bytes kept of the output of the process.
const LONGEST: usize = 1 << 20;
/// Interval between checks whether a process that closed its output has ended.
const PAUSE: Duration = Duration::from_millis(1);

/// A process that loads and tests a model.
pub(super) struct Probe {
    path: PathBuf,
    process: Process,
    started: Instant,
    seconds: u64,
    memory: Option<u64>,
}

/// A child process that is killed and waited for when this value is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Usually the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a process ended.
struct Ended {
    /// `None` if it exceeded the time limit.
    status: Option<ExitStatus>,
    output: Vec<u8>,
    errors: Vec<u8>,
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
            "a process of its own that tries the model can't be started; give --probe-seconds 0 to load a model that \
             you trust without it",
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
            .context("the process that tries the model can't be watched; run this again")?;
        let (path, said) = (self.path.display(), String::from_utf8_lossy(&ended.errors));
        let signal = ended.status.and_then(|status| status.signal());
        let Some(status) = ended.status.filter(|_| signal != Some(SIGXCPU)) else {
            return Err(anyhow!(
                "{path} could not be loaded and tried within {} seconds; if it is not made to run for ever, give it longer \
                 with --probe-seconds",
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
                "the process that loaded {path} and tried it was killed, as the system does where memory runs out; limit \
                 it with --probe-memory, or free some memory"
            ),
            Some(signal) => anyhow!(
                "ONNX Runtime crashed when it loaded {path} and tried it (signal {signal}{}); the file may be damaged or \
                 made to do that, so that it is not loaded here: export it again, or try another version of ONNX Runtime",
                signal_name(signal).map(|name| format!(", {name}")).unwrap_or_default()
            ),
            None => anyhow!(
                "the process that loaded {path} and tried it ended without a result ({status}{first}); run this again"
            ),
        })
    }
}

/// The error for a model that takes more memory than allowed.
pub(super) fn too_little(path: &Path, memory: Option<u64>, problem: &str) -> anyhow::Error {
    let path = path.display();
    match memory {
        Some(bytes) => anyhow!(
            "loading {path} and trying it takes more memory than the {} MiB that it may take ({problem}); give it more \
             with --probe-memory, if the machine has more",
            bytes >> 20
        ),
        None => anyhow!("there is too little memory to load {path} and try it ({problem})"),
    }
}

/// Path of this program, even if its file was replaced since it started.
fn program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Reads the output of a process until it ends or its time is up.
fn watch(child: &mut Child, until: Option<Instant>) -> io::Result<Ended> {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let (mut from_output, mut from_errors) = (child.stdout.take(), child.stderr.take());
    let left = || until.map(|until| until.saturating_duration_since(Instant::now()));
    while from_output.is_some() || from_errors.is_some() {
        let pipes = (from_output.as_ref().map(AsFd::as_fd), from_errors.as_ref().map(AsFd::as_fd));
        let Some((has_output, has_errors)) = ready(pipes.0, pipes.1, left())? else {
            return Ok(Ended { status: None, output, errors });
        };
        if has_output && !take(from_output.as_mut(), &mut output)? {
            from_output = None;
        }
        if has_errors && !take(from_errors.as_mut(), &mut errors)? {
            from_errors = None;
        }
    }
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended { status: Some(status), output, errors });
        }
        if left().is_some_and(|left| left.is_zero()) {
            return Ok(Ended { status: None, output, errors });
        }
        thread::sleep(PAUSE);
    }
}

/// Waits until one of two pipes can be read. Returns which of them can; `None` if time is up before.
fn ready(
    output: Option<BorrowedFd<'_>>,
    errors: Option<BorrowedFd<'_>>,
    left: Option<Duration>,
) -> io::Result<Option<(bool, bool)>> {
    let mut pipes: Vec<PollFd<'_>> = [output, errors]
        .into_iter()
        .flatten()
        .map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN))
        .collect();
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut pipes, left.as_ref()) {
        Ok(0) => return Ok(None),
        Err(Errno::INTR) => return Ok(Some((false, false))),
        other => other?,
    };
    let mut found = pipes.iter().map(|pipe| !pipe.revents().is_empty());
    let mut is_ready = |pipe: Option<_>| pipe.is_some() && found.next().unwrap_or_default();
    Ok(Some((is_ready(output), is_ready(errors))))
}

/// Reads the available output and keeps its start, up to a limit. Returns whether there may be more.
fn take(pipe: Option<&mut impl Read>, kept: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 4096];
    let count = match pipe.map_or(Ok(0), |pipe| pipe.read(&mut piece)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
        other => other?,
    };
    let room = LONGEST.saturating_sub(kept.len());
    kept.extend_from_slice(&piece[..count.min(room)]);
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Process(command.spawn().unwrap())
    }

    #[test]
    fn a_process_is_heard_to_its_end_and_not_beyond_its_time() {
        let mut process = start("echo out; echo err >&2; sleep 0.05; echo more; exit 7");
        let ended = watch(&mut process.0, None).unwrap();
        assert_eq!((&ended.output[..], &ended.errors[..]), (&b"out\nmore\n"[..], &b"err\n"[..]));
        assert_eq!(ended.status.and_then(|status| status.code()), Some(7));
        // A process without output, one that closes its output, and one with endless output.
        for endless in ["exec sleep 60", "exec >&- 2>&-; exec sleep 60", "while :; do echo y; done"] {
            let mut process = start(endless);
            let (started, id) = (Instant::now(), process.0.id());
            let ended = watch(&mut process.0, Some(started + Duration::from_millis(200))).unwrap();
            assert!(ended.status.is_none() && ended.output.len() <= LONGEST, "{endless}");
            drop(process);
            assert!(started.elapsed() < Duration::from_secs(20), "{endless}: {:?}", started.elapsed());
            assert!(!Path::new(&format!("/proc/{id}")).exists(), "{endless}: it is still there");
        }
    }
}
