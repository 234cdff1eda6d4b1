//! The cluster examples, run for real: a Slurm of the test's own, and the commands of the Kubernetes pods.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kubernetes;
mod slurm;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use mithridate_runtime::evidence::read_evidence;
use mithridate_testkit::{
    place::halves,
    program::{Program, certify, rscert},
};

use slurm::Slurm;

const INPUTS: usize = 24;
/// Samples enough that a part takes seconds, long enough to stop it halfway.
const LONG: &str = "5000000";

fn flags(n: &str) -> [&str; 8] {
    ["--seed", "7", "--sigma", "0.25", "--n", n, "--batch", "256"]
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/cluster").join(path)
}

/// Writes `model.onnx` and `data/` for it.
fn prepare(folder: &Path) {
    let images: Vec<u8> = (0..INPUTS as u8).flat_map(|input| [60 + 6 * input, 130, 90, 100]).collect();
    let labels: Vec<u8> = (0..INPUTS).map(|input| u8::from(input < INPUTS / 2)).collect();
    halves(folder, &images, &labels);
}

/// The result hash of an undivided run.
fn undivided(folder: &Path, n: &str) -> String {
    let plan = ["--threads", "1", "--out", "whole.jsonl"];
    let output = certify(folder, &[&plan[..], &flags(n)].concat()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    read_evidence(&folder.join("whole.jsonl")).unwrap().footer.chain
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits for something, and fails with what `state` says if it doesn't come.
fn wait<T>(seconds: u64, mut found: impl FnMut() -> Option<T>, state: impl Fn() -> String) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(seconds), "waited {seconds} s\n{}", state());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whole lines of a file that is being written.
fn lines(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    bytes.truncate(end);
    bytes
}

fn count(lines: &[u8]) -> usize {
    lines.split(|&byte| byte == b'\n').count() - 1
}

/// The running program that writes a file.
fn writer_of(path: &Path) -> Option<String> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.map(|entry| entry.file_name().to_string_lossy().into_owned()).find(|process| {
        let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        arguments.starts_with(Program::tested("rscert").path().as_os_str().as_encoded_bytes())
            && String::from_utf8_lossy(&arguments).contains(&*path.to_string_lossy())
    })
}

#[test]
fn a_slurm_array_survives_a_killed_and_a_requeued_task() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::create_dir(folder.join("slurm")).unwrap();
    let slurm = match Slurm::start(&folder.join("slurm")) {
        Ok(slurm) => slurm,
        Err(why) => {
            eprintln!("skipped: no Slurm can be started here: {why}");
            return;
        }
    };
    prepare(folder);
    let whole = undivided(folder, LONG);

    let run = folder.join("run");
    let run_text = run.display().to_string();
    let mut submit = slurm.command(example("slurm/submit.sh"));
    submit.current_dir(folder).env("RSCERT", Program::tested("rscert").path());
    if let Some(library) = rscert(folder, &[]).get_envs().find(|(name, _)| *name == "ORT_DYLIB_PATH") {
        submit.env(library.0, library.1.unwrap());
    }
    let output = submit.args(["3", &run_text, "model.onnx", "data"]).args(flags(LONG)).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    let jobs: Vec<&str> = said.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    let [array, _shards, merge] = jobs[..] else { panic!("no job numbers in {said}") };

    let log = |name: &str| fs::read_to_string(run.join(name)).unwrap_or_default();
    let state = || {
        let queue = slurm.command("squeue").output().unwrap();
        let logs = ["certify-1.log", "certify-2.log", "certify-3.log", "merge.log"].map(log);
        format!("{}\n{}\n{}", text(&queue), logs.join("\n--\n"), slurm.logs())
    };
    // The node has two processors: parts 1 and 2 run. One is killed as the kernel would for want of memory, the other
    // is taken away as by a preemption.
    let mut before = Vec::new();
    for part in [1, 2] {
        let file = run.join(format!("part-{part}.jsonl"));
        // The header, and two inputs of eight.
        wait(60, || (count(&lines(&file)) >= 3).then_some(()), state);
        if part == 1 {
            let process = wait(10, || writer_of(&file), state);
            assert!(Command::new("kill").args(["-KILL", &process]).status().unwrap().success());
        } else {
            let task = format!("{array}_{part}");
            let requeue = slurm.command("scontrol").args(["requeue", &task]).output().unwrap();
            assert!(requeue.status.success(), "{}{}", text(&requeue), state());
        }
        wait(20, || writer_of(&file).is_none().then_some(()), state);
        let left = lines(&file);
        assert!(count(&left) < 1 + INPUTS / 3, "part {part} ended before it was stopped");
        before.push(left);
    }

    let end = wait(
        180,
        || {
            let state = slurm.state(merge);
            ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"].contains(&&*state).then_some(state)
        },
        state,
    );
    assert_eq!(end, "COMPLETED", "{}", state());
    for (part, left) in [1, 2].into_iter().zip(before) {
        let now = fs::read(run.join(format!("part-{part}.jsonl"))).unwrap();
        // Byte for byte, with its times: what was finished was not done again.
        assert!(now.starts_with(&left) && now.len() > left.len(), "part {part} began again");
        let log = log(&format!("certify-{part}.log"));
        assert!(log.contains(&format!("part {part} of 3, restart 1")), "{log}");
    }
    assert!(log("certify-1.log").contains("was killed (status 137) and is requeued"));
    assert!(!log("certify-3.log").contains("restart 1"));
    assert!(log("merge.log").contains("3 parts with 24 inputs joined"), "{}", state());
    assert_eq!(read_evidence(&run.join("run.jsonl")).unwrap().footer.chain, whole);
}

#[test]
fn a_wrong_submission_is_told_before_anything_is_queued() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    prepare(folder);
    for (arguments, status, sentence) in [
        (vec!["3", "run", "model.onnx"], 2, "usage: submit.sh SHARDS FOLDER MODEL DATA"),
        (vec!["0", "run", "model.onnx", "data", "--seed", "7"], 2, "SHARDS is '0'; give the number of parts"),
        (
            vec!["3", "run", "model.onnx", "data"],
            2,
            "the parts of one run need the same noise; give a --seed",
        ),
        (vec!["3", "run", "none.onnx", "data", "--seed", "7"], 1, "there is no none.onnx"),
    ] {
        let mut submit = Command::new(example("slurm/submit.sh"));
        let output = submit.current_dir(folder).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(text(&output).contains(sentence), "{arguments:?}: {}", text(&output));
        assert!(!folder.join("run").exists());
    }
}
