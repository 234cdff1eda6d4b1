//! Signals end a run with a sentence that says how to go on; what is finished is kept, and going on gives the same run.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

mod program;

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use mithridate_runtime::evidence::read_evidence;
use program::{looping::slow, place, rscert};

/// A run of three inputs that takes seconds, and its flags.
const RUN: [&str; 15] = [
    "certify",
    "--model",
    "model.onnx",
    "--data",
    "data",
    "--sigma",
    "0.25",
    "--n",
    "4000000",
    "--seed",
    "7",
    "--batch",
    "256",
    "--threads",
    "1",
];

/// Ends a command that a failed test would leave behind.
struct Watched(Child);

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command) -> Watched {
    Watched(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn send(signal: &str, child: &Watched) {
    assert!(Command::new("kill").args([signal, &child.0.id().to_string()]).status().unwrap().success());
}

/// Waits until a file of evidence has so many lines.
fn until_lines(path: &Path, count: usize) {
    let started = Instant::now();
    while fs::read_to_string(path).unwrap_or_default().lines().count() < count {
        assert!(started.elapsed() < Duration::from_mins(2), "{} does not grow", path.display());
        sleep(Duration::from_millis(2));
    }
}

/// How a command ended, what it said on standard error, and how long that took.
fn end(mut child: Watched) -> (ExitStatus, String, Duration) {
    let started = Instant::now();
    let mut said = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.0.wait().unwrap(), said, started.elapsed())
}

fn run(root: &Path, flags: &[&str]) {
    let output = rscert(root, &[&RUN[..], flags].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_run_that_is_interrupted_says_how_to_go_on_and_does() {
    let folder = place();
    let root = folder.path();
    run(root, &["--out", "whole.jsonl"]);
    let whole = read_evidence(&root.join("whole.jsonl")).unwrap();
    for (signal, name, status) in
        [("-INT", "SIGINT", 130), ("-TERM", "SIGTERM", 143), ("-HUP", "SIGHUP", 129)]
    {
        let out = format!("{name}.jsonl");
        let child = start(rscert(root, &[&RUN[..], &["--keep-votes", "--json", "--out", &out]].concat()));
        until_lines(&root.join(&out), 2);
        send(signal, &child);
        let (found, said, time) = end(child);
        assert_eq!(found.code(), Some(status), "{said}");
        assert_eq!(
            said,
            format!(
                "rscert: interrupted by {name}; what is finished is in {out}: run the same command with --resume to go on\n"
            )
        );
        assert!(time < Duration::from_secs(10), "{name}: {time:?}");
        let lines = fs::read_to_string(root.join(&out)).unwrap().lines().count();
        assert!((2..5).contains(&lines), "{lines} lines");
        run(root, &["--keep-votes", "--json", "--out", &out, "--resume"]);
        let again = read_evidence(&root.join(&out)).unwrap();
        assert_eq!(again.records.len(), whole.records.len());
        for (again, whole) in again.records.iter().zip(&whole.records) {
            assert_eq!((again.radius, &again.estimation), (whole.radius, &whole.estimation));
        }
    }
    // Without votes, which are part of the chain, it is the same to the last value.
    let child = start(rscert(root, &[&RUN[..], &["--out", "again.jsonl"]].concat()));
    until_lines(&root.join("again.jsonl"), 2);
    send("-TERM", &child);
    assert_eq!(end(child).0.code(), Some(143));
    run(root, &["--out", "again.jsonl", "--resume"]);
    assert_eq!(read_evidence(&root.join("again.jsonl")).unwrap().footer.chain, whole.footer.chain);
}

#[test]
fn recertification_is_interrupted_alike() {
    let folder = place();
    let root = folder.path();
    run(root, &["--keep-votes", "--out", "old.jsonl"]);
    let again =
        ["recertify", "--from", "old.jsonl", "--model", "model.onnx", "--data", "data", "--n", "4000000"];
    let plan = ["--seed", "8", "--batch", "256", "--threads", "1", "--out", "new.jsonl"];
    let child = start(rscert(root, &[&again[..], &plan].concat()));
    until_lines(&root.join("new.jsonl"), 2);
    send("-INT", &child);
    let (status, said, _) = end(child);
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(
        said.ends_with("what is finished is in new.jsonl: run the same command with --resume to go on\n"),
        "{said}"
    );
    let output = rscert(root, &[&again[..], &plan, &["--resume"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = rscert(root, &["verify", "new.jsonl", "--from", "old.jsonl"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_batch_that_takes_long_is_not_waited_for() {
    let folder = place();
    let root = folder.path();
    mithridate_onnx::write(&slow(), root.join("slow.onnx")).unwrap();
    let certify = [
        "certify",
        "--model",
        "slow.onnx",
        "--data",
        "data",
        "--sigma",
        "0.25",
        "--n",
        "1000",
        "--seed",
        "1",
    ];
    let plan = ["--batch", "256", "--threads", "1", "--out", "slow.jsonl"];
    for twice in [false, true] {
        let _ = fs::remove_file(root.join("slow.jsonl"));
        let child = start(rscert(root, &[&certify[..], &plan].concat()));
        until_lines(&root.join("slow.jsonl"), 1);
        sleep(Duration::from_millis(300));
        send("-INT", &child);
        if twice {
            sleep(Duration::from_millis(100));
            send("-INT", &child);
        }
        let (status, said, time) = end(child);
        assert_eq!(status.code(), Some(130), "{said}");
        assert!(
            said.ends_with("run the same command with --resume to go on\n") && said.lines().count() == 1,
            "{said}"
        );
        assert!(time < Duration::from_secs(10), "{time:?}");
    }
}

#[test]
fn what_a_process_was_started_to_ignore_it_ignores() {
    let folder = place();
    let root = folder.path();
    let command = rscert(root, &[&RUN[..], &["--out", "run.jsonl"]].concat());
    let mut shell = Command::new("sh");
    shell.current_dir(root).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    let child = start(shell);
    until_lines(&root.join("run.jsonl"), 2);
    send("-HUP", &child);
    let (status, said, _) = end(child);
    assert!(status.success(), "{said}");
    assert_eq!(read_evidence(&root.join("run.jsonl")).unwrap().records.len(), 3);
}

#[test]
fn a_limit_on_the_size_of_files_loses_nothing() {
    let folder = place();
    let root = folder.path();
    let flags = [
        "certify",
        "--model",
        "model.onnx",
        "--data",
        "data",
        "--sigma",
        "0.25",
        "--n",
        "200",
        "--seed",
        "1",
    ];
    let output = rscert(root, &[&flags[..], &["--out", "whole.jsonl"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Room for the header, an input and a part of the next.
    let whole = fs::read_to_string(root.join("whole.jsonl")).unwrap();
    let room = 100 + whole.split_inclusive('\n').take(2).map(str::len).sum::<usize>();
    let command = rscert(root, &[&flags[..], &["--out", "run.jsonl"]].concat());
    let mut limited = Command::new("prlimit");
    limited.current_dir(root).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.arg(format!("--fsize={room}")).arg(command.get_program()).args(command.get_args());
    let (status, said, _) = end(start(limited));
    assert_eq!(status.code(), Some(1), "{status}: {said}");
    assert_eq!(
        said,
        "rscert: cannot write run.jsonl: File too large (os error 27); what is finished is in it: make room, then run the \
         same command with --resume\n"
    );
    let output = rscert(root, &[&flags[..], &["--out", "run.jsonl", "--resume"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let chain = |name: &str| read_evidence(&root.join(name)).unwrap().footer.chain;
    assert_eq!(chain("run.jsonl"), chain("whole.jsonl"));
}
