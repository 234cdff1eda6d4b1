//! Signals end a run with a sentence that says how to go on; what is finished is kept, and going on gives the same run.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command, thread::sleep, time::Duration};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::evidence::read_evidence;
use mithridate_testkit::{
    halves::model,
    looping::slow,
    place::place,
    processes::{Watched, until_lines},
    program::{after, certification, handed, rscert},
};

/// A run of three inputs that takes seconds.
fn long() -> Vec<&'static str> {
    let flags = ["--sigma", "0.25", "--n", "4000000", "--seed", "7", "--batch", "256", "--threads", "1"];
    certification("model.onnx", "data", &flags)
}

fn run(root: &Path, flags: &[&str]) {
    let output = rscert(root, &[&long()[..], flags].concat()).output().unwrap();
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
        let child =
            Watched::start(rscert(root, &[&long()[..], &["--keep-votes", "--json", "--out", &out]].concat()));
        until_lines(&root.join(&out), 2);
        child.send(signal);
        let (found, said, time) = child.end();
        assert_eq!(found.code(), Some(status), "{said}");
        assert_eq!(
            said,
            format!(
                "rscert: interrupted by {name}; the finished inputs are in {out}: run the same command with --resume to continue\n"
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
    let child = Watched::start(rscert(root, &[&long()[..], &["--out", "again.jsonl"]].concat()));
    until_lines(&root.join("again.jsonl"), 2);
    child.send("-TERM");
    assert_eq!(child.end().0.code(), Some(143));
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
    let child = Watched::start(rscert(root, &[&again[..], &plan].concat()));
    until_lines(&root.join("new.jsonl"), 2);
    child.send("-INT");
    let (status, said, _) = child.end();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(
        said.ends_with(
            "the finished inputs are in new.jsonl: run the same command with --resume to continue\n"
        ),
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
    mithridate_onnx::write(&slow(model(&ModelMetadata::default())), root.join("slow.onnx")).unwrap();
    let settings = ["--sigma", "0.25", "--n", "1000", "--seed", "1"];
    let plan = ["--batch", "256", "--threads", "1", "--out", "slow.jsonl"];
    let certify = certification("slow.onnx", "data", &[&settings[..], &plan].concat());
    for twice in [false, true] {
        let _ = fs::remove_file(root.join("slow.jsonl"));
        let child = Watched::start(rscert(root, &certify));
        until_lines(&root.join("slow.jsonl"), 1);
        sleep(Duration::from_millis(300));
        child.send("-INT");
        if twice {
            sleep(Duration::from_millis(100));
            child.send("-INT");
        }
        let (status, said, time) = child.end();
        assert_eq!(status.code(), Some(130), "{said}");
        assert!(
            said.ends_with("run the same command with --resume to continue\n") && said.lines().count() == 1,
            "{said}"
        );
        assert!(time < Duration::from_secs(10), "{time:?}");
    }
}

#[test]
fn what_a_process_was_started_to_ignore_it_ignores() {
    let folder = place();
    let root = folder.path();
    let command = rscert(root, &[&long()[..], &["--out", "run.jsonl"]].concat());
    let child = Watched::start(after("trap '' HUP", &command));
    until_lines(&root.join("run.jsonl"), 2);
    child.send("-HUP");
    let (status, said, _) = child.end();
    assert!(status.success(), "{said}");
    assert_eq!(read_evidence(&root.join("run.jsonl")).unwrap().records.len(), 3);
}

#[test]
fn a_limit_on_the_size_of_files_loses_nothing() {
    let folder = place();
    let root = folder.path();
    let flags = certification("model.onnx", "data", &["--sigma", "0.25", "--n", "200", "--seed", "1"]);
    let output = rscert(root, &[&flags[..], &["--out", "whole.jsonl"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Room for the header, an input and a part of the next.
    let whole = fs::read_to_string(root.join("whole.jsonl")).unwrap();
    let room = 100 + whole.split_inclusive('\n').take(2).map(str::len).sum::<usize>();
    let command = rscert(root, &[&flags[..], &["--out", "run.jsonl"]].concat());
    let mut limit = Command::new("prlimit");
    limit.arg(format!("--fsize={room}"));
    let limited = handed(limit, &command);
    let (status, said, _) = Watched::start(limited).end();
    assert_eq!(status.code(), Some(1), "{status}: {said}");
    assert_eq!(
        said,
        "rscert: cannot write run.jsonl: File too large (os error 27); the finished inputs are in this file: free space on \
         the disk, then run the same command with --resume\n"
    );
    let output = rscert(root, &[&flags[..], &["--out", "run.jsonl", "--resume"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let chain = |name: &str| read_evidence(&root.join(name)).unwrap().footer.chain;
    assert_eq!(chain("run.jsonl"), chain("whole.jsonl"));
}
