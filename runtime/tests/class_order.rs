//! Folders of images whose names stand in another order than the classes of the model.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Output};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::evidence::read_evidence;
use mithridate_testkit::{halves::model, place::place, program::rscert};

/// Status, what is printed and what is noted.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = rscert(folder, arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn certify<'a>(model: &'a str, out: &'a str) -> Vec<&'a str> {
    let fixed =
        ["certify", "--data", "images", "--sigma", "0.25", "--n", "1000", "--seed", "1", "--threads", "1"];
    [&fixed[..], &["--model", model, "--out", out]].concat()
}

fn named(folder: &Path, file: &str, names: &[&str]) {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    let metadata = ModelMetadata { class_names: Some(names), ..ModelMetadata::default() };
    mithridate_onnx::write(&model(&metadata), folder.join(file)).unwrap();
}

#[test]
fn labels_are_those_of_the_model_and_verified_as_such() {
    let folder = place();
    let root = folder.path();
    // Folders above and below; the classes of the model in `place` are in that order.
    named(root, "same.onnx", &["above", "below"]);
    named(root, "other.onnx", &["below", "above"]);
    named(root, "foreign.onnx", &["oben", "unten"]);
    named(root, "part.onnx", &["above", "beside"]);
    let (status, _, notes) = run(root, &certify("same.onnx", "same.jsonl"));
    assert_eq!((status, notes.contains("class")), (Some(0), false), "{notes}");

    let (status, _, notes) = run(root, &certify("other.onnx", "other.jsonl"));
    assert_eq!(status, Some(0), "{notes}");
    assert!(notes.contains("not in the order of their names: above 1, below 0"), "{notes}");
    let evidence = read_evidence(&root.join("other.jsonl")).unwrap();
    assert_eq!(evidence.header.data.class_names, ["below", "above"]);
    let labels: Vec<_> = evidence.records.iter().map(|record| record.label).collect();
    assert_eq!(labels, [Some(1), Some(0)]);
    let (status, text, _) =
        run(root, &["verify", "other.jsonl", "--model", "other.onnx", "--data", "images"]);
    assert!(status == Some(0) && text.contains("checked:\n"), "{text}");
    // The audit names the classes by the model's numbers.
    let (_, text, _) = run(root, &["audit", "other.jsonl"]);
    assert!(
        text.lines().any(|line| line.trim_start().starts_with("0 ") && line.ends_with("below")),
        "{text}"
    );

    let (status, _, notes) = run(root, &certify("foreign.onnx", "foreign.jsonl"));
    assert!(
        status == Some(0) && notes.contains("class 0 is oben in the model and above in the data; make sure"),
        "{notes}"
    );

    let (status, _, error) = run(root, &certify("part.onnx", "part.jsonl"));
    assert_eq!(status, Some(1));
    assert!(
        error.contains("the class below of images is not a class of the model (above, beside)"),
        "{error}"
    );
    assert!(!root.join("part.jsonl").exists());
    let predict = ["predict", "--model", "other.onnx", "--data", "images", "--sigma", "0.25", "--n", "100"];
    let (status, text, notes) = run(root, &predict);
    assert!(status == Some(0) && notes.contains("above 1, below 0"), "{notes}");
    assert!(text.lines().any(|line| line.split_whitespace().take(3).eq(["all", "2", "0.0000"])), "{text}");

    // Labels that are numbers are no names; a model whose names are other numbers may mean something else by them.
    named(root, "lettered.onnx", &["1", "0"]);
    let data = ["predict", "--model", "lettered.onnx", "--data", "data", "--sigma", "0.25", "--n", "100"];
    let (status, _, notes) = run(root, &data);
    assert!(status == Some(0) && notes.contains("calls its class 0 '1', and the labels of data"), "{notes}");
}
