//! From CIFAR-10 binary files to a certificate, on made-up images.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use mithridate_onnx::ModelMetadata;
use mithridate_tests::command;
use serde_json::Value;

/// Records of one image a class, each with a bright row where its class says and a value of its own elsewhere.
fn batch(value: u8) -> Vec<u8> {
    let pixel = |class: usize, position: usize| if position / 32 == 3 * class { 250 } else { value };
    let record = |class| (0..3 * 1024).map(move |position| pixel(class, position % 1024));
    (0..10).flat_map(|class| [class as u8].into_iter().chain(record(class))).collect()
}

fn cifar10(folder: &Path, names: &str) {
    for number in 1..=5 {
        fs::write(folder.join(format!("data_batch_{number}.bin")), batch(10 * number)).unwrap();
    }
    fs::write(folder.join("test_batch.bin"), batch(35)).unwrap();
    fs::write(folder.join("batches.meta.txt"), names).unwrap();
}

#[test]
fn cifar_10_is_trained_on_and_certified_with_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let (data, victim, evidence) =
        (folder.path().join("data"), folder.path().join("victim"), folder.path().join("run.jsonl"));
    fs::create_dir(&data).unwrap();
    cifar10(&data, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
    let mut train = command("pacd");
    train.args(["train", "--network", "linear", "--validation", "10", "--epochs", "20", "--batch", "10"]);
    train.args(["--threads", "1", "--data"]).arg(&data).arg("--out").arg(&victim).assert().success();
    let model = victim.join("model.onnx");
    let metadata = ModelMetadata::of(&mithridate_onnx::read(&model).unwrap()).unwrap();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(str::to_owned);
    assert_eq!(metadata.class_names, Some(names.to_vec()));
    assert_eq!(metadata.input_shape, Some(vec![3, 32, 32]));

    let mut certify = command("rscert");
    certify.args(["certify", "--n", "200", "--max", "3", "--model"]).arg(&model);
    certify.arg("--data").arg(&data).arg("--out").arg(&evidence).assert().success();
    let lines = fs::read_to_string(&evidence).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["data"]["file"], "test_batch.bin");
    let labels: Vec<&Value> = lines[1..4].iter().map(|line| &line["label"]).collect();
    assert_eq!(labels, [0, 1, 2]);
    // A row of 96 values that no other class has is found under any noise of 0.25.
    for line in &lines[1..4] {
        assert_eq!(line["class"], line["label"], "{line}");
        assert!(line["radius"].as_f64().unwrap() > 0.25, "{line}");
    }
}
