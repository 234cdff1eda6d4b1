//! The whole way at small scale: poison, victims, certification by the other program, results and report; what is done
//! is not done again, and how it is run does not change what comes out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mithridate_tests::{bars, command};
use serde_json::Value;

const EXPERIMENT: &str = r#"
name = "small"
seed = 3

[data]
path = "data"
split_seed = 1
validation = 60
images = 200

[attack]
target_classes = [2]
epsilon = 0.15
network = "mlp"
steps = 8
batch = 40
validation_batch = 10
validation_noises = 4
warm_up = 30

[victims]
kinds = ["clean", "random", "poison"]
seeds = [1, 2]

[victims.training]
epochs = 6
batch = 20
rate = 2e-3

[certify]
alpha = 0.001
n0 = 50
target = { inputs = 6, n = 500 }
others = { inputs = 9, n = 300 }
"#;

fn place(experiment: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    bars(&folder.path().join("data"), 16, 4, 300, 60);
    write(folder.path(), experiment);
    folder
}

fn write(folder: &Path, experiment: &str) {
    fs::write(folder.join("small.toml"), experiment).unwrap();
}

/// What `pacd experiment` prints.
fn printed(folder: &Path, flags: &[&str]) -> String {
    let mut run = command("pacd");
    let output = run.current_dir(folder).args(["experiment", "small.toml"]).args(flags).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn run(folder: &Path) -> Value {
    serde_json::from_str(&printed(folder, &["--json", "--threads", "1"])).unwrap()
}

/// What lies in a folder of the experiment, by the part of its name before the hash.
fn made(folder: &Path, kind: &str) -> BTreeMap<String, PathBuf> {
    fs::read_dir(folder.join("runs/small").join(kind))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let stem = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".jsonl").to_owned();
            let (name, hash) = stem.rsplit_once('-').unwrap();
            assert!(hash.len() == 8 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{stem}");
            (name.to_owned(), path)
        })
        .collect()
}

/// When every file of the experiment but its results was last written.
fn times(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> =
        ["poison", "models", "evidence"].map(|kind| folder.join("runs/small").join(kind)).into();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            found.insert(path, time);
        }
    }
    found
}

fn results(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("runs/small/results.json")).unwrap()).unwrap()
}

#[test]
fn an_experiment_leaves_poison_models_evidence_results_and_report() {
    let folder = place(EXPERIMENT);
    let printed = run(folder.path());
    let results = results(folder.path());
    assert_eq!(results, printed);
    let (models, evidence) = (made(folder.path(), "models"), made(folder.path(), "evidence"));
    for kind in ["clean", "random", "poison"] {
        let kind_results = &results["victims"][kind];
        assert_eq!(kind_results["seeds"], serde_json::json!([1, 2]));
        for (group, points) in [("target", 6), ("others", 9)] {
            let group = &kind_results[group];
            assert_eq!(group["points"], points);
            for key in ["acr_mean", "acr_std", "accuracy_mean", "test_accuracy_mean"] {
                let value = group[key].as_f64().unwrap_or(-1.0);
                assert!(value >= 0.0, "{kind} {key}");
            }
            let drop = &group["relative_drop"];
            assert_eq!(drop.is_null(), kind == "clean");
            if kind != "clean" {
                assert!(
                    drop["low"].as_f64() <= drop["value"].as_f64()
                        && drop["value"].as_f64() <= drop["high"].as_f64()
                );
            }
        }
        for seed in [1, 2] {
            assert!(models[&format!("{kind}-{seed}")].join("model.onnx").is_file());
            let evidence = &evidence[&format!("{kind}-{seed}-target")];
            command("rscert").arg("audit").arg(evidence).assert().success();
        }
    }
    assert_eq!(made(folder.path(), "poison").into_keys().collect::<Vec<_>>(), ["poison", "random"]);
    let clean_accuracy = results["victims"]["clean"]["test_accuracy_mean"].as_f64().unwrap();
    assert!(clean_accuracy > 0.9, "the victims learn: {clean_accuracy}");
    let report = fs::read_to_string(folder.path().join("runs/small/report.html")).unwrap();
    assert_eq!(report.matches("<svg").count(), 2);
    assert_eq!(report.matches("data:image/png;base64,").count(), 15);
    assert!(!report.contains("http"), "a page that needs nothing else");
}

#[test]
fn the_same_seed_gives_the_same_poison_and_a_finished_step_is_not_done_again() {
    let (first, second) = (place(EXPERIMENT), place(EXPERIMENT));
    run(first.path());
    run(second.path());
    let read = |path: &Path| fs::read(path).unwrap();
    for (kind, name, file) in [
        ("poison", "poison", "images-idx3-ubyte"),
        ("poison", "poison", "manifest.json"),
        ("poison", "random", "images-idx3-ubyte"),
        ("models", "poison-2", "model.onnx"),
    ] {
        let [one, other] = [&first, &second].map(|folder| made(folder.path(), kind)[name].join(file));
        assert!(one.strip_prefix(&first).unwrap() == other.strip_prefix(&second).unwrap(), "the same hash");
        assert!(read(&one) == read(&other), "{name}/{file}");
    }
    // As if interrupted before the last victim: only what is missing is made again, and comes out the same.
    let models = made(first.path(), "models");
    let model = read(&models["poison-2"].join("model.onnx"));
    let before = times(first.path());
    fs::remove_dir_all(&models["poison-2"]).unwrap();
    let evidence = made(first.path(), "evidence");
    for group in ["target", "others"] {
        fs::remove_file(&evidence[&format!("poison-2-{group}")]).unwrap();
    }
    fs::remove_file(first.path().join("runs/small/results.json")).unwrap();
    run(first.path());
    assert!(read(&models["poison-2"].join("model.onnx")) == model);
    for (path, time) in times(first.path()) {
        let again = path.to_str().unwrap().contains("poison-2-");
        assert_eq!(before[&path] == time, !again, "{}", path.display());
    }
    assert_eq!(results(first.path()), results(second.path()));
    // Evidence of another model than the victim's is refused.
    fs::copy(models["clean-1"].join("model.onnx"), models["poison-2"].join("model.onnx")).unwrap();
    let mut again = command("pacd");
    let output = again.current_dir(first.path()).args(["experiment", "small.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("it holds evidence of another model than its victim's"), "{error}");
}

#[test]
fn a_widened_experiment_does_only_what_is_missing() {
    let folder = place(EXPERIMENT);
    let small = EXPERIMENT
        .replace("[\"clean\", \"random\", \"poison\"]", "[\"clean\", \"poison\"]")
        .replace("seeds = [1, 2]", "seeds = [1]");
    write(folder.path(), &small);
    run(folder.path());
    let read_results = || fs::read(folder.path().join("runs/small/results.json")).unwrap();
    let (first, before) = (read_results(), times(folder.path()));
    let wide = EXPERIMENT.replace("\"random\", \"poison\"", "\"watermark\", \"erm\", \"poison\"");
    write(folder.path(), &wide);
    let printed = run(folder.path());
    let kinds: Vec<&String> = printed["victims"].as_object().unwrap().keys().collect();
    assert_eq!(kinds, ["clean", "erm", "poison", "watermark"]);
    for kind in kinds {
        assert_eq!(printed["victims"][kind]["seeds"], serde_json::json!([1, 2]), "{kind}");
    }
    let after = times(folder.path());
    for (path, time) in &before {
        assert_eq!(after.get(path), Some(time), "{} was written again", path.display());
    }
    assert_eq!(made(folder.path(), "models").len(), 8);
    assert_eq!(made(folder.path(), "evidence").len(), 16);
    // Back to the first file: nothing is left to do, and the first results are there again.
    write(folder.path(), &small);
    run(folder.path());
    assert!(read_results() == first);
    assert_eq!(times(folder.path()), after);
    // Another setting of the attack makes other poison beside the old; what it does not touch stays.
    write(folder.path(), &small.replace("steps = 8", "steps = 9"));
    run(folder.path());
    let last = times(folder.path());
    assert!(after.iter().all(|(path, time)| last.get(path) == Some(time)));
    let fresh: Vec<&PathBuf> = last.keys().filter(|path| !after.contains_key(*path)).collect();
    assert!(!fresh.is_empty() && fresh.iter().all(|path| !path.to_str().unwrap().contains("clean")));
}

#[test]
fn a_dry_run_says_what_there_is_to_do_and_does_nothing() {
    let folder = place(EXPERIMENT);
    let names = |text: &str, state: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with(state));
        lines.map(|line| line.split_whitespace().last().unwrap().to_owned()).collect()
    };
    let text = printed(folder.path(), &["--dry-run", "--threads", "1"]);
    assert!(!folder.path().join("runs").exists(), "a dry run makes no folder");
    // Two poison sets, six victims, each certified on two groups.
    assert_eq!((names(&text, "to do ").len(), names(&text, "done ").len()), (20, 0), "{text}");
    assert!(text.lines().last().unwrap().starts_with("20 of 20 steps to do, about "), "{text}");
    let document = |flags: &[&str]| -> Value {
        serde_json::from_str(&printed(folder.path(), &[flags, &["--dry-run", "--json"]].concat())).unwrap()
    };
    let plan = document(&["--out", "elsewhere"]);
    assert!(!folder.path().join("elsewhere").exists());
    assert_eq!(plan["folder"], "elsewhere");
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 20);
    let seconds: Vec<f64> = steps.iter().map(|step| step["seconds"].as_f64().unwrap()).collect();
    assert!(seconds.iter().all(|&seconds| seconds > 0.0), "{seconds:?}");
    let total = plan["seconds"].as_f64().unwrap();
    assert!((total - seconds.iter().sum::<f64>()).abs() < 1e-9 * total);

    run(folder.path());
    let places = times(folder.path());
    let text = printed(folder.path(), &["--dry-run"]);
    assert_eq!((names(&text, "to do ").len(), names(&text, "done ").len()), (0, 20), "{text}");
    for place in names(&text, "done ") {
        assert!(folder.path().join(&place).exists(), "{place} is where it says");
    }
    write(folder.path(), &EXPERIMENT.replace("seeds = [1, 2]", "seeds = [1, 2, 5]"));
    let plan = document(&[]);
    for step in plan["steps"].as_array().unwrap() {
        let (name, done) = (step["name"].as_str().unwrap(), step["state"] == "done");
        assert_eq!(done, !name.contains("-5"), "{step}");
        assert_eq!(done, step["seconds"] == 0.0, "{step}");
    }
    assert_eq!(times(folder.path()), places, "a dry run writes nothing");
}

#[test]
fn jobs_side_by_side_come_to_the_same_figures() {
    let [one, two] = [["--threads", "1", "--jobs", "1"], ["--threads", "2", "--jobs", "2"]].map(|flags| {
        let folder = place(EXPERIMENT);
        printed(folder.path(), &[&flags[..], &["--json"]].concat());
        let mut found = results(folder.path());
        // How many threads the machine has is not a figure, but must not differ either.
        found["machine"].take();
        let manifest = fs::read(made(folder.path(), "poison")["poison"].join("manifest.json")).unwrap();
        let model = fs::read(made(folder.path(), "models")["poison-1"].join("model.onnx")).unwrap();
        (found, manifest, model)
    });
    assert_eq!(one.0, two.0);
    assert!(one.1 == two.1 && one.2 == two.2);
}

/// The published settings, cut short, with several classes poisoned in part.
#[test]
fn the_official_preset_on_several_classes_in_part() {
    let experiment = EXPERIMENT
        .replace(
            "target_classes = [2]",
            "preset = \"official-mnist\"\ntarget_classes = [0, 2]\npoisoned_share = 0.5",
        )
        .replace("steps = 8\n", "epochs = 1\nrenew_epochs = 1\ninner_steps = 2\nsolver_steps = 3\n")
        .replace("\"random\", ", "")
        .replace("seeds = [1, 2]", "seeds = [1]");
    let folder = place(&experiment);
    let found = run(folder.path());
    assert_eq!(found["target_classes"], serde_json::json!([0, 2]));
    let set = &made(folder.path(), "poison")["poison"];
    let manifest: Value = serde_json::from_slice(&fs::read(set.join("manifest.json")).unwrap()).unwrap();
    for (key, value) in [
        ("preset", Value::from("official-mnist")),
        ("solver", "least-squares-adam".into()),
        ("step", "slot-adam".into()),
        ("frozen_bn", true.into()),
        ("warm_start", true.into()),
        ("same_batch", true.into()),
        ("epochs", 1.into()),
    ] {
        assert_eq!(manifest["generator"][key], value, "{key}");
    }
    // Half of the images of each class, and their pass in batches of 4 (a tenth of 40).
    let labels = fs::read(folder.path().join("data/train-labels-idx1-ubyte")).unwrap()[8..].to_vec();
    let poisoned = |class: u8| {
        let indices = manifest["indices"].as_array().unwrap().iter();
        indices.filter(|index| labels[index.as_u64().unwrap() as usize] == class).count()
    };
    let (zero, two) = (poisoned(0), poisoned(2));
    assert_eq!(manifest["indices"].as_array().unwrap().len(), zero + two);
    // About 50 of the 200 training images are of each class.
    assert!((20..=30).contains(&zero) && (20..=30).contains(&two), "{zero} {two}");
    let log = fs::read_to_string(set.join("log.jsonl")).unwrap();
    assert_eq!(log.lines().count(), (zero + two).div_ceil(4));
    let report = fs::read(made(folder.path(), "models")["poison-1"].join("train.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(
        (&report["settings"]["preset"], &report["settings"]["epochs"]),
        (&"official-mnist".into(), &6.into())
    );
    assert_eq!(found["victims"]["poison"]["target"]["points"], 6);
}

#[test]
fn every_certified_defence_is_attacked_and_retrained() {
    for (method, settings) in [
        ("smoothadv", "smoothadv = { radius = 0.5, noises = 2 }"),
        ("macer", "macer = { noises = 3, lambda = 2.0 }"),
    ] {
        let experiment = EXPERIMENT
            .replace(
                "network = \"mlp\"",
                &format!("network = \"mlp\"\nmethod = \"{method}\"\nbeta = 2.0\n{settings}"),
            )
            .replace("rate = 2e-3", &format!("rate = 2e-3\n{settings}"))
            .replace("\"random\", ", "")
            .replace("seeds = [1, 2]", "seeds = [1]");
        let folder = place(&experiment);
        let found = run(folder.path());
        let model = &made(folder.path(), "models")["poison-1"];
        let report: Value = serde_json::from_slice(&fs::read(model.join("train.json")).unwrap()).unwrap();
        assert_eq!(report["settings"]["method"], method);
        let clean = &found["victims"]["clean"];
        assert!(clean["test_accuracy_mean"].as_f64().unwrap() > 0.9, "{method}: {clean}");
        assert!(clean["target"]["acr_mean"].as_f64().unwrap() > 0.0);
        let log = fs::read_to_string(made(folder.path(), "poison")["poison"].join("log.jsonl")).unwrap();
        assert_eq!(log.lines().count(), 8);
        assert!(!log.contains("skipped"), "{method}: {log}");
        let evidence = &made(folder.path(), "evidence")["poison-1-target"];
        command("rscert").arg("audit").arg(evidence).assert().success();
    }
}
