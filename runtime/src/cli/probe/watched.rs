//! A child process, watched until it ends or its time is up.

use std::{
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// Largest number of bytes kept of the output of the process.
const LONGEST: usize = 1 << 20;
/// Interval between checks whether a process that closed its output has ended.
const PAUSE: Duration = Duration::from_millis(1);

/// A child process that is killed and waited for when this value is dropped.
pub(super) struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Usually the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a process ended.
pub(super) struct Ended {
    /// `None` if it exceeded the time limit.
    pub status: Option<ExitStatus>,
    pub output: Vec<u8>,
    pub errors: Vec<u8>,
}

/// Reads the output of a process until it ends or its time is up.
pub(super) fn watch(child: &mut Child, until: Option<Instant>) -> io::Result<Ended> {
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
    use std::{
        path::Path,
        process::{Command, Stdio},
    };

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
