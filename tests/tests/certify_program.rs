//! `rscert certify` as a program: what its evidence depends on and what not, interruption, memory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use mithridate_runtime::evidence::{Record, read_evidence};
use mithridate_testkit::program::Program;
use mithridate_tests::{bars, command, trained};
use serde_json::Value;

/// A folder with data and a model for them.
struct Place {
    folder: tempfile::TempDir,
    model: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        bars(folder.path(), 16, 4, 220, 40);
        let model = trained(folder.path(), folder.path(), "mlp").join("model.onnx");
        Self { folder, model }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, out: &Path, flags: &[&str]) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["certify", "--seed", "7", "--sigma", "0.25"].map(String::from).to_vec();
        for (flag, value) in
            [("--model", self.model.as_path()), ("--data", self.folder.path()), ("--out", out)]
        {
            arguments.extend([flag.to_owned(), value.display().to_string()]);
        }
        arguments.extend(flags.iter().map(ToString::to_string));
        arguments
    }

    /// Starts a run that nobody listens to.
    fn start(&self, out: &Path, flags: &[&str]) -> Child {
        let mut command = Program::built("rscert").command(self.folder.path(), &self.arguments(out, flags));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn certify(&self, name: &str, flags: &[&str]) -> PathBuf {
        let out = self.path(name);
        command("rscert").args(self.arguments(&out, flags)).assert().success();
        out
    }
}

/// Records without their times.
fn records(path: &Path) -> Vec<Record> {
    read_evidence(path).unwrap().records.into_iter().map(|record| Record { seconds: 0.0, ..record }).collect()
}

#[test]
fn votes_depend_on_neither_batch_nor_threads_nor_neighbours() {
    let place = Place::new();
    let reference = records(&place.certify("a.jsonl", &["--n", "900", "--threads", "1", "--batch", "64"]));
    assert_eq!(reference.len(), 40);
    assert!(reference.iter().any(|record| !record.abstained), "something is certified");
    for (name, flags) in
        [("b.jsonl", ["--threads", "2", "--batch", "200"]), ("c.jsonl", ["--threads", "3", "--batch", "33"])]
    {
        let flags = [&["--n", "900"][..], &flags].concat();
        assert_eq!(records(&place.certify(name, &flags)), reference, "{flags:?}");
    }
    let some = records(&place.certify("d.jsonl", &["--n", "900", "--class", "2", "--skip", "3"]));
    assert!(
        !some.is_empty() && some.iter().all(|record| reference.contains(record) && record.label == Some(2))
    );
}

#[test]
fn killed_and_resumed_it_leaves_the_evidence_of_an_uninterrupted_run() {
    let place = Place::new();
    let whole = records(&place.certify("whole.jsonl", &["--n", "20000"]));
    let out = place.path("killed.jsonl");
    let mut child = place.start(&out, &["--n", "20000"]);
    let lines = || fs::read_to_string(&out).unwrap_or_default().lines().count();
    let started = Instant::now();
    while lines() < 8 && started.elapsed() < Duration::from_mins(1) {
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = lines();
    assert!(kept >= 8, "some inputs were finished and kept");
    command("rscert").arg("audit").arg(&out).assert().failure();
    place.certify("killed.jsonl", &["--n", "20000", "--resume"]);
    assert_eq!(records(&out), whole);
    // A finished run is left as it is.
    let before = fs::read(&out).unwrap();
    place.certify("killed.jsonl", &["--n", "20000", "--resume"]);
    assert_eq!(fs::read(&out).unwrap(), before);
}

#[test]
fn a_seed_is_drawn_and_written_down_where_none_is_given() {
    let place = Place::new();
    let seed = |name: &str| {
        let mut arguments = place.arguments(&place.path(name), &["--n", "100", "--max", "1", "--json"]);
        let flag = arguments.iter().position(|argument| argument == "--seed").unwrap();
        arguments.drain(flag..flag + 2);
        let output = command("rscert").args(arguments).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["seed"], read_evidence(&place.path(name)).unwrap().header.settings.seed);
        document["seed"].as_u64().unwrap()
    };
    assert_ne!(seed("a.jsonl"), seed("b.jsonl"));
}

/// Largest resident set of a run, in KiB, read from the kernel while it runs.
#[cfg(target_os = "linux")]
fn peak_memory(place: &Place, name: &str, flags: &[&str]) -> u64 {
    let mut child = place.start(&place.path(name), flags);
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        if let Ok(status) = fs::File::open(format!("/proc/{}/status", child.id())) {
            let line =
                BufReader::new(status).lines().map_while(Result::ok).find(|line| line.starts_with("VmHWM"));
            let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
            peak = peak.max(value.unwrap_or(0));
        }
        thread::sleep(Duration::from_millis(2));
    }
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn memory_grows_with_neither_samples_nor_inputs() {
    let place = Place::new();
    let with = |name, n, max| {
        peak_memory(&place, name, &["--batch", "128", "--threads", "1", "--n", n, "--max", max])
    };
    let small = with("small.jsonl", "2000", "2");
    let samples = with("samples.jsonl", "400000", "2");
    let inputs = with("inputs.jsonl", "2000", "40");
    println!(
        "peak memory: {small} KiB; 200 times the samples {samples} KiB; 20 times the inputs {inputs} KiB"
    );
    // A few MiB are the allocator's own business; what grew with the work would be hundreds.
    assert!(samples < small + 8192, "{small} KiB became {samples} KiB with more samples");
    assert!(inputs < small + 8192, "{small} KiB became {inputs} KiB with more inputs");
}

#[test]
fn audits_sum_up_and_compare() {
    let place = Place::new();
    let (a, b) = (place.certify("a.jsonl", &["--n", "500"]), place.certify("b.jsonl", &["--n", "2000"]));
    let html = place.path("audit.html");
    let output = command("rscert")
        .arg("audit")
        .arg(&b)
        .arg("--baseline")
        .arg(&a)
        .args(["--radii", "0.1,0.25", "--json", "--html"])
        .arg(&html)
        .output()
        .unwrap();
    assert!(output.status.success());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &document["runs"][0];
    let evidence = read_evidence(&b).unwrap().records;
    let acr = evidence.iter().map(Record::right_radius).sum::<f64>() / 40.0;
    assert!((run["acr"].as_f64().unwrap() - acr).abs() < 1e-12);
    assert_eq!(run["inputs"], 40);
    for key in ["approximate_accuracy", "abstained", "certified_accuracy", "classes"] {
        assert!(!run[key].is_null(), "{key}");
    }
    let at = &run["certified_accuracy"][1];
    assert_eq!(at["radius"], 0.25);
    assert!(at["high_probability"].as_f64().unwrap() < at["value"].as_f64().unwrap() || at["value"] == 0.0);
    let difference = &document["comparisons"][0]["acr"];
    assert!(difference["low"].as_f64().unwrap() <= difference["value"].as_f64().unwrap());
    // More samples of the same inputs prove larger radii.
    assert!(difference["value"].as_f64().unwrap() > 0.0);
    let page = fs::read_to_string(html).unwrap();
    assert!(page.contains("<svg") && !page.contains("http"), "a page that needs nothing else");
}

#[test]
fn inspect_tells_what_a_model_is_and_how_to_certify_it() {
    let place = Place::new();
    let output = command("rscert").arg("inspect").arg(&place.model).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "image: float [batch, 1, 16, 16]",
        "classes:    4",
        "--sigma 0.25",
        "mithridate.training_method = gaussian",
    ] {
        assert!(text.contains(expected), "'{expected}' in:\n{text}");
    }
    let output = command("rscert")
        .args(["bench", "--seconds", "1", "--json", "--model"])
        .arg(&place.model)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["ratio_to_engine"].as_f64().unwrap() > 0.0);
}
