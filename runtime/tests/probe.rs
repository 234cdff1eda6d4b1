//! Models made to run for ever, to take all memory or to crash the engine: a process of its own finds that out, ends, and
//! leaves nothing, and the program says what happened in one sentence.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use mithridate_onnx::ModelMetadata;
use mithridate_testkit::{
    halves::model,
    looping::{endless, greedy},
    place::place,
    processes::{Watched, send},
    program::rscert,
};

/// Every command that loads a model, each with flags that let it come that far.
fn commands(root: &Path) -> Vec<Vec<&'static str>> {
    let good = ["certify", "--model", "model.onnx", "--data", "data", "--sigma", "0.25", "--n", "200"];
    let kept = [&good[..], &["--keep-votes", "--out", "run.jsonl"]].concat();
    let output = rscert(root, &kept).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data = ["--model", "bad.onnx", "--data", "data"];
    vec![
        [&["certify", "--sigma", "0.25", "--out", "bad.jsonl"][..], &data].concat(),
        [&["predict", "--sigma", "0.25"][..], &data].concat(),
        [&["recertify", "--from", "run.jsonl", "--n", "100", "--out", "bad.jsonl"][..], &data].concat(),
        [&["verify", "run.jsonl", "--replay", "all"][..], &["--model", "model.onnx", "--data", "data"]]
            .concat(),
        vec!["bench", "--model", "bad.onnx"],
    ]
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// The one line of an error.
fn sentence(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty() && said.lines().count() == 1, "{said}");
    said
}

#[test]
fn a_model_without_end_is_ended_wherever_it_is_loaded() {
    let folder = place();
    let root = folder.path();
    mithridate_onnx::write(&endless(model(&ModelMetadata::default())), root.join("bad.onnx")).unwrap();
    let commands = commands(root);
    let before = names(root);
    for arguments in &commands {
        // The model that is verified has to be the one certified, which ends.
        let is_good = arguments[0] == "verify";
        let started = Instant::now();
        let output = rscert(root, arguments).args(["--probe-seconds", "1"]).output().unwrap();
        let time = started.elapsed();
        if is_good {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            continue;
        }
        let said = sentence(&output);
        assert_eq!(
            said,
            "rscert: bad.onnx could not be loaded and tested within 1 seconds; if you trust that the model does not \
             run for ever, give it more time with --probe-seconds\n",
            "{arguments:?}"
        );
        assert!(time > Duration::from_secs(1) && time < Duration::from_secs(20), "{arguments:?}: {time:?}");
    }
    // Whether it can be certified is a result of the inspection.
    let output = rscert(root, &["inspect", "bad.onnx", "--probe-seconds", "1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("1 Loop") && said.contains("not possible: bad.onnx could not be loaded and tested"),
        "{said}"
    );
    assert_eq!(names(root), before, "something was left");
}

#[test]
fn a_model_that_takes_all_memory_is_ended_with_a_sentence() {
    let folder = place();
    let root = folder.path();
    mithridate_onnx::write(&greedy(model(&ModelMetadata::default())), root.join("bad.onnx")).unwrap();
    let limit = ["--probe-memory", "1G", "--probe-seconds", "120"];
    let output = rscert(root, &["bench", "--model", "bad.onnx"]).args(limit).output().unwrap();
    let said = sentence(&output);
    assert!(
        said.starts_with("rscert: loading and testing bad.onnx takes more than the allowed 1024 MiB"),
        "{said}"
    );
    assert!(said.trim_end().ends_with("if the machine has more, allow more with --probe-memory"), "{said}");
    let output = rscert(root, &["inspect", "bad.onnx"]).args(limit).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("takes more than the allowed 1024 MiB"), "{said}");
    // A good model has room in far less, and is refused where it has not.
    let small = ["inspect", "model.onnx", "--probe-memory"];
    let output = rscert(root, &small).arg("300M").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("classes:    2"));
    let output = rscert(root, &small).arg("1M").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("not possible: "), "{said}");
}

/// Starts the inspection of a model without end and returns the process that tries it, once that runs.
fn trying(root: &Path) -> (Watched, u32) {
    mithridate_onnx::write(&endless(model(&ModelMetadata::default())), root.join("bad.onnx")).unwrap();
    let parent = Watched::start(rscert(root, &["bench", "--model", "bad.onnx", "--probe-seconds", "100"]));
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < Duration::from_secs(30), "no process tries the model");
        let child = fs::read_to_string(&children).unwrap_or_default().trim().parse().ok();
        // It has asked for the end with its parent as soon as it takes processor time for the model.
        if let Some(child) = child.filter(|&child| processor_time(child) > 20) {
            return (parent, child);
        }
        sleep(Duration::from_millis(5));
    }
}

/// Fields of `/proc/PID/stat` after the name: the state first.
fn state(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Hundredths of a second.
fn processor_time(process: u32) -> u64 {
    state(process).and_then(|fields| fields.get(11)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_crash_of_the_engine_is_a_sentence() {
    for (signal, expected) in [
        (
            "-SEGV",
            "rscert: ONNX Runtime crashed when a test process loaded and tested bad.onnx (signal 11, SIGSEGV)",
        ),
        (
            "-ABRT",
            "rscert: ONNX Runtime crashed when a test process loaded and tested bad.onnx (signal 6, SIGABRT)",
        ),
        (
            "-KILL",
            "rscert: the process that loaded and tested bad.onnx was killed, probably by the system because memory",
        ),
        ("-XCPU", "rscert: bad.onnx could not be loaded and tested within 100 seconds"),
    ] {
        let folder = place();
        let root = folder.path();
        let (parent, child) = trying(root);
        let before = names(root);
        send(signal, child);
        // Rust takes the first of these for the end of a stack, and lets the next one through.
        if signal == "-SEGV" {
            sleep(Duration::from_millis(100));
            send(signal, child);
        }
        let (status, said, _) = parent.end();
        assert!(status.code() == Some(1) && said.starts_with(expected), "{signal}: {status}, {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(names(root), before, "{signal} left something, such as a core");
        assert!(state(child).is_none(), "{signal}: it was not waited for");
    }
}

#[test]
fn the_process_ends_with_the_one_that_started_it() {
    let folder = place();
    let (parent, child) = trying(folder.path());
    parent.kill();
    ends(child);
}

/// Fails if a process does not end.
fn ends(child: u32) {
    let started = Instant::now();
    // Whoever inherits it waits for it sooner or later.
    while state(child).is_some_and(|fields| fields[0] != "Z" && fields[0] != "X") {
        assert!(started.elapsed() < Duration::from_secs(5), "it goes on and on");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_interruption_ends_both() {
    let folder = place();
    let (parent, child) = trying(folder.path());
    parent.send("-INT");
    let (status, said, _) = parent.end();
    assert_eq!((status.code(), said.as_str()), (Some(130), "rscert: interrupted by SIGINT\n"));
    ends(child);
}

#[test]
fn a_refusal_is_the_same_with_and_without_a_process_of_its_own() {
    let folder = place();
    let root = folder.path();
    let mut odd = model(&ModelMetadata::default());
    odd.graph.as_mut().unwrap().node[0].op_type = Some("Exfiltrate".into());
    mithridate_onnx::write(&odd, root.join("odd.onnx")).unwrap();
    fs::write(root.join("-odd.onnx"), fs::read(root.join("odd.onnx")).unwrap()).unwrap();
    for flags in [
        &["--model", "odd.onnx"][..],
        &["--model=-odd.onnx"],
        &["--model", "model.onnx", "--output", "none"],
        &["--model", "model.onnx", "--mean", "nan"],
        &["--model", "model.onnx", "--std", "0"],
    ] {
        let run = |seconds| {
            let bench = [&["bench"], flags, &["--probe-seconds", seconds]].concat();
            sentence(&rscert(root, &bench).output().unwrap())
        };
        assert_eq!(run("60"), run("0"));
    }
    // The other way to start it has no request.
    let output = rscert(root, &["probe-model", "model.onnx"]).stdin(Stdio::null()).output().unwrap();
    assert!(sentence(&output).contains("use `rscert inspect`"));
    let help = rscert(root, &["--help"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("probe-model"));
}
