//! Results that can't be written are known before anything is computed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mithridate_testkit::{
    place::{place, put},
    program::rscert,
    sentences::sentence,
};

use super::{certify, sentences};

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
fn of_places_where_something_would_be_lost() {
    let folder = place();
    let root = folder.path();
    for out in ["run.jsonl", "other.jsonl"] {
        let flags = ["--out", out, "--tsv", &format!("{out}.tsv"), "--seed", "1"];
        assert!(rscert(root, &certify(&flags)).output().unwrap().status.success());
    }
    put(root, "votes.jsonl.votes", b"precious");
    put(root, "torn.jsonl", b"{\"ki");
    put(root, "torn.jsonl.votes", b"precious");
    put(root, "page.html", b"<!doctype html><title>mine</title>");
    let page = rscert(root, &["audit", "run.jsonl", "--html", "audit.html"]).output().unwrap();
    assert!(page.status.success());
    let page = rscert(root, &["audit", "other.jsonl", "--html", "audit.html"]).output().unwrap();
    assert!(page.status.success(), "a page of an audit gives way to the next");
    let resumed =
        rscert(root, &certify(&["--out", "run.jsonl", "--tsv", "run.jsonl.tsv", "--resume"])).output();
    assert!(resumed.unwrap().status.success(), "the table of a run is written again");
    let before: Vec<_> = contents(root);
    let cases = [
        ("a table where the model is", certify(&["--tsv", "model.onnx"])),
        ("a table where the labels are", certify(&["--tsv", "data/t10k-labels-idx1-ubyte"])),
        ("a table where the evidence will be", certify(&["--tsv", "./out.jsonl"])),
        ("a table where the votes will be", certify(&["--keep-votes", "--tsv", "out.jsonl.votes"])),
        ("a table where another is", certify(&["--tsv", "run.jsonl.tsv"])),
        (
            "a table where another run is",
            certify(&["--out", "run.jsonl", "--seed", "1", "--resume", "--tsv", "other.jsonl"]),
        ),
        ("votes where something else is", certify(&["--out", "votes.jsonl", "--keep-votes"])),
        (
            "votes where something else is, resumed",
            certify(&["--out", "torn.jsonl", "--keep-votes", "--resume"]),
        ),
        ("a page where evidence is", vec!["audit", "run.jsonl", "--html", "run.jsonl"]),
        ("a page where another is", vec!["audit", "run.jsonl", "--html", "page.html"]),
        ("a whole where evidence is", vec!["merge", "run.jsonl", "--out", "other.jsonl"]),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
    assert_eq!(contents(root), before, "nothing was changed");
}

/// All files of a folder and of those in it.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            let content = fs::read(&path).unwrap();
            files.push((path, content));
        }
    }
    files.sort();
    files
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
        "alpha differs (in the file 0.001, now 0.01)",
        "n differs (in the file 100, now 200)",
        "selection.count differs (in the file 3, now 2)",
    ] {
        assert!(text.contains(setting), "{setting}: {text}");
    }
}
