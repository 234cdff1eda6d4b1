//! Results that can't be written are known before anything is computed.

use std::fs;

use crate::{
    certify,
    harness::sentence,
    program::{place, put, rscert},
    sentences,
};

#[test]
fn of_places_that_take_no_results() {
    let folder = place();
    let root = folder.path();
    put(root, "file", b"");
    let output = rscert(root, &certify(&["--out", "run.jsonl", "--seed", "1"])).output().unwrap();
    assert!(output.status.success());
    let cases = [
        ("a table in a folder that does not exist", certify(&["--tsv", "none/run.tsv"])),
        ("a table in a file", certify(&["--tsv", "file/run.tsv"])),
        ("a table that is a folder", certify(&["--tsv", "data"])),
        ("evidence in a folder that does not exist", certify(&["--out", "none/run.jsonl"])),
        ("evidence that is a folder", certify(&["--out", "data"])),
        ("a page in a folder that does not exist", vec!["audit", "run.jsonl", "--html", "none/a.html"]),
        ("a whole in a folder that does not exist", vec!["merge", "run.jsonl", "--out", "none/m.jsonl"]),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
    assert!(!root.join("out.jsonl").exists(), "nothing was certified");
}

#[test]
fn every_setting_that_differs_is_named() {
    let folder = place();
    let root = folder.path();
    let output = rscert(root, &certify(&["--out", "run.jsonl", "--seed", "1"])).output().unwrap();
    assert!(output.status.success());
    let text = fs::read_to_string(root.join("run.jsonl")).unwrap();
    put(root, "run.jsonl", text.split_inclusive('\n').take(2).collect::<String>().as_bytes());
    let other =
        certify(&["--resume", "--out", "run.jsonl", "--alpha", "0.01", "--n", "200", "--data", "images"]);
    let text = sentence(root, "other settings", &rscert(root, &other).output().unwrap());
    for setting in [
        "alpha differs (there 0.001, here 0.01)",
        "n differs (there 100, here 200)",
        "selection.count differs (there 3, here 2)",
    ] {
        assert!(text.contains(setting), "{setting}: {text}");
    }
}
