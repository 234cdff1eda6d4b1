//! The whole way at small scale: poison, victims, certification by the other program, results and report.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path};

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

fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    bars(&folder.path().join("data"), 16, 4, 300, 60);
    fs::write(folder.path().join("small.toml"), EXPERIMENT).unwrap();
    folder
}

fn run(folder: &Path) -> Value {
    let output = command("pacd")
        .current_dir(folder)
        .args(["experiment", "small.toml", "--json", "--threads", "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_experiment_leaves_poison_models_evidence_results_and_report() {
    let folder = place();
    let printed = run(folder.path());
    let place = folder.path().join("runs/small");
    let results: Value = serde_json::from_slice(&fs::read(place.join("results.json")).unwrap()).unwrap();
    assert_eq!(results, printed);
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
            assert!(place.join(format!("models/{kind}-{seed}/model.onnx")).is_file());
            let evidence = place.join(format!("evidence/{kind}-{seed}-target.jsonl"));
            command("rscert").arg("audit").arg(evidence).assert().success();
        }
    }
    let clean_accuracy = results["victims"]["clean"]["test_accuracy_mean"].as_f64().unwrap();
    assert!(clean_accuracy > 0.9, "the victims learn: {clean_accuracy}");
    let report = fs::read_to_string(place.join("report.html")).unwrap();
    assert_eq!(report.matches("<svg").count(), 2);
    assert_eq!(report.matches("data:image/png;base64,").count(), 15);
    assert!(!report.contains("http"), "a page that needs nothing else");
}

#[test]
fn the_same_seed_gives_the_same_poison_and_a_finished_step_is_not_done_again() {
    let (first, second) = (place(), place());
    run(first.path());
    run(second.path());
    let read = |folder: &Path, name: &str| fs::read(folder.join("runs/small").join(name)).unwrap();
    for file in [
        "poison/images-idx3-ubyte",
        "poison/manifest.json",
        "random/images-idx3-ubyte",
        "models/poison-2/model.onnx",
    ] {
        assert!(read(first.path(), file) == read(second.path(), file), "{file}");
    }
    // As if interrupted before the last victim: only what is missing is made again, and comes out the same.
    let place = first.path().join("runs/small");
    let model = read(first.path(), "models/poison-2/model.onnx");
    let kept = fs::metadata(place.join("models/poison-1/model.onnx")).unwrap().modified().unwrap();
    fs::remove_dir_all(place.join("models/poison-2")).unwrap();
    for group in ["target", "others"] {
        fs::remove_file(place.join(format!("evidence/poison-2-{group}.jsonl"))).unwrap();
    }
    fs::remove_file(place.join("results.json")).unwrap();
    run(first.path());
    assert!(read(first.path(), "models/poison-2/model.onnx") == model);
    assert_eq!(fs::metadata(place.join("models/poison-1/model.onnx")).unwrap().modified().unwrap(), kept);
    assert_eq!(read(first.path(), "results.json"), read(second.path(), "results.json"));
}

#[test]
fn another_experiment_does_not_overwrite_a_folder() {
    let folder = place();
    run(folder.path());
    fs::write(folder.path().join("small.toml"), EXPERIMENT.replace("seed = 3", "seed = 4")).unwrap();
    let output =
        command("pacd").current_dir(folder.path()).args(["experiment", "small.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("it holds an experiment with other settings"), "{text}");
}
