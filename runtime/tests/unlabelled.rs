//! Images whose true classes nobody knows: class and radius are certified, and nothing is said of accuracy.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Output};

use mithridate_runtime::evidence::{read_evidence, read_results};
use mithridate_testkit::{
    place::{place, put},
    program::rscert,
};
use ndarray::{Array3, array};
use ndarray_npy::write_npy;
use serde_json::Value;

/// What a command prints that must succeed, and what it notes.
fn good(folder: &Path, arguments: &[&str]) -> (String, String) {
    let Output { status, stdout, stderr } = rscert(folder, arguments).output().unwrap();
    let (out, notes) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{arguments:?}: {notes}");
    (out, notes)
}

fn certify<'a>(data: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "certify",
        "--model",
        "model.onnx",
        "--sigma",
        "0.25",
        "--n",
        "1000",
        "--seed",
        "1",
        "--threads",
        "1",
    ];
    [&fixed[..], &["--data", data], flags].concat()
}

const IMAGE: &str = "images/below/1.png";

#[test]
fn one_image_without_a_label_gets_a_class_and_a_radius() {
    let folder = place();
    let root = folder.path();
    let (text, notes) = good(root, &certify(IMAGE, &["--out", "run.jsonl", "--tsv", "run.tsv"]));
    assert!(notes.contains("images/below/1.png has no labels (--label gives"), "{notes}");
    assert!(text.contains("  input 0: class 1 within radius 0."), "{text}");
    assert!(!text.contains("ACR") && !text.contains("accuracy"), "{text}");

    let evidence = read_evidence(&root.join("run.jsonl")).unwrap();
    assert_eq!((evidence.records[0].label, evidence.records[0].class), (None, Some(1)));
    let file = fs::read_to_string(root.join("run.jsonl")).unwrap();
    assert!(!file.contains("\"label\"") && !file.contains("labels_sha256"), "{file}");
    let table = fs::read_to_string(root.join("run.tsv")).unwrap();
    let cells: Vec<&str> = table.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!((cells[1], cells[2], cells[4]), ("", "1", ""));
    assert!(read_results(&root.join("run.tsv")).is_ok());

    for run in ["run.jsonl", "run.tsv"] {
        let (json, _) =
            good(root, &["audit", run, "--sigma", "0.25", "--n", "1000", "--json", "--html", "audit.html"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        let run = &json["runs"][0];
        assert_eq!(run["unlabelled"][0]["class"], 1, "{run}");
        assert!(run["unlabelled"][0]["radius"].as_f64().unwrap() > 0.1, "{run}");
        assert!(
            run.get("acr").is_none() && run.get("inputs").is_none() && run["acr_by_norm"].is_null(),
            "{run}"
        );
        let page = fs::read_to_string(root.join("audit.html")).unwrap();
        assert!(page.contains("true classes unknown") && page.contains("inputs of unknown class"));
        assert!(!page.contains("By class") && !page.contains("<svg"), "nothing to draw");
    }

    let verify = [
        "verify",
        "run.jsonl",
        "--model",
        "model.onnx",
        "--data",
        IMAGE,
        "--replay",
        "all",
        "--threads",
        "1",
    ];
    assert!(good(root, &verify).0.contains("every vote is the same"));
    let (text, _) =
        good(root, &["predict", "--model", "model.onnx", "--data", IMAGE, "--sigma", "0.25", "--n", "100"]);
    assert!(text.contains("input 0: class 1 (p-value") && !text.contains("accuracy"), "{text}");

    // The same image of known class gets the same votes.
    let (text, _) = good(root, &certify(IMAGE, &["--out", "known.jsonl", "--label", "1"]));
    assert!(text.contains("ACR"), "{text}");
    let known = read_evidence(&root.join("known.jsonl")).unwrap();
    assert_eq!(known.records[0].estimation, evidence.records[0].estimation);
    let output = rscert(root, &["audit", "run.jsonl", "--baseline", "known.jsonl"]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("certify the same images with different labels, or one of them without labels"),
        "{error}"
    );
}

#[test]
fn arrays_without_labels_are_certified_in_parts_and_as_a_whole() {
    let folder = place();
    let root = folder.path();
    let pixels = vec![200, 190, 20, 10, 20, 10, 200, 190, 180, 170, 30, 20, 0, 0, 90, 90];
    let images = Array3::<u8>::from_shape_vec((4, 2, 2), pixels).unwrap();
    write_npy(root.join("frames.npy"), &images).unwrap();
    let (_, notes) = good(root, &certify("frames.npy", &["--out", "whole.jsonl"]));
    assert!(notes.contains("a file named like it, with labels for images, would hold them"), "{notes}");
    for (shard, out) in [("1/2", "1.jsonl"), ("2/2", "2.jsonl")] {
        good(root, &certify("frames.npy", &["--shard", shard, "--out", out]));
    }
    good(root, &["merge", "1.jsonl", "2.jsonl", "--out", "merged.jsonl"]);
    let [whole, merged] =
        ["whole.jsonl", "merged.jsonl"].map(|name| read_evidence(&root.join(name)).unwrap());
    assert_eq!(whole.footer.chain, merged.footer.chain);
    assert!(
        good(root, &["verify", "merged.jsonl", "--data", "frames.npy"])
            .0
            .contains("their true classes are not known")
    );

    let refused = |arguments: &[&str]| {
        let output = rscert(root, arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let text = refused(&certify("frames.npy", &["--class", "1", "--out", "none.jsonl"]));
    assert!(text.contains("--class selects inputs by label, and frames.npy has no labels"), "{text}");
    let text = refused(&["audit", "whole.jsonl", "--baseline", "merged.jsonl"]);
    assert!(text.contains("have 0 inputs of known class in common"), "{text}");
    // Whoever adds labels afterwards is found out.
    write_npy(root.join("images.npy"), &images).unwrap();
    write_npy(root.join("labels.npy"), &array![0_u8, 1, 0, 1]).unwrap();
    let text = refused(&["verify", "whole.jsonl", "--data", "images.npy"]);
    assert!(text.contains("the data have labels, and the certified data had none"), "{text}");
}

#[test]
fn in_a_table_some_inputs_may_have_no_label() {
    let folder = place();
    let root = folder.path();
    put(
        root,
        "t.tsv",
        b"idx\tlabel\tpredict\tradius\tcorrect\n0\t1\t1\t0.5\t1\n1\t\t1\t0.25\t\n2\t0\t1\t0.75\t0\n",
    );
    let (text, _) = good(root, &["audit", "t.tsv"]);
    assert!(
        text.contains(
            "the true classes of 1 inputs are not known: ACR and accuracy are those of the other 2"
        ),
        "{text}"
    );
    assert!(text.contains("input 1: class 1 within radius 0.2500"), "{text}");
    // One of two is right, with radius 0.5.
    let all = text.lines().find(|line| line.trim_start().starts_with("all")).unwrap();
    assert_eq!(all.split_whitespace().take(4).collect::<Vec<_>>(), ["all", "2", "0.2500", "0.5000"]);
}
