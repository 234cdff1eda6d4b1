//! Flags of checks and claims: parts, kinds of noise, predictions, verification, merging, tables.

use mithridate_testkit::{
    place::{place, put},
    program::rscert,
};

use super::{certify, sentences};

#[test]
fn of_checks_and_claims() {
    let folder = place();
    let root = folder.path();
    for out in ["run.jsonl", "old.jsonl"] {
        let output = rscert(root, &certify(&["--seed", "1", "--out", out])).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    put(root, "text.jsonl", b"some text\n");
    put(root, "columns.tsv", b"idx\tlabel\tpredict\n0\t1\t1\n");
    let plain = |what, changes: &[&'static str]| (what, certify(changes));
    let predict = |what, flags: &[&'static str]| {
        let fixed = ["predict", "--model", "model.onnx", "--data", "data", "--threads", "1"];
        (what, [&fixed[..], flags].concat())
    };
    let cases = [
        plain("part 0", &["--seed", "1", "--shard", "0/2"]),
        plain("part 3 of 2", &["--seed", "1", "--shard", "3/2"]),
        plain("a part that is none", &["--seed", "1", "--shard", "half"]),
        plain("a part without a seed", &["--shard", "1/2"]),
        plain("noise that does not exist", &["--noise", "laplace"]),
        plain("two kinds of noise", &["--noise", "uniform", "--exact-noise"]),
        plain("noise too small for the grid", &["--exact-noise", "--sigma", "0.0001"]),
        predict("predicting without a sigma", &[]),
        predict("predicting at alpha 2", &["--sigma", "0.25", "--alpha", "2"]),
        predict("predicting by no samples", &["--sigma", "0.25", "--n", "0"]),
        predict("predicting a class outside the classes", &["--sigma", "0.25", "--class", "2"]),
        ("verifying nothing", vec!["verify"]),
        ("verifying a missing file", vec!["verify", "none.jsonl"]),
        ("verifying a folder", vec!["verify", "data"]),
        ("verifying with a missing model", vec!["verify", "run.jsonl", "--model", "none.onnx"]),
        ("verifying with missing data", vec!["verify", "run.jsonl", "--data", "none"]),
        ("replaying without a model", vec!["verify", "run.jsonl", "--replay", "2"]),
        (
            "replaying nothing",
            vec!["verify", "run.jsonl", "--model", "model.onnx", "--data", "data", "--replay", "0"],
        ),
        ("merging nothing", vec!["merge", "--out", "merged.jsonl"]),
        ("merging without a place", vec!["merge", "run.jsonl"]),
        ("merging a missing file", vec!["merge", "none.jsonl", "--out", "merged.jsonl"]),
        ("merging text", vec!["merge", "text.jsonl", "--out", "merged.jsonl"]),
        ("merging whole runs", vec!["merge", "run.jsonl", "old.jsonl", "--out", "merged.jsonl"]),
        ("a norm that does not exist", vec!["audit", "run.jsonl", "--norm", "l3"]),
        ("a table without radii", vec!["audit", "columns.tsv"]),
        ("a table at a negative sigma", vec!["audit", "columns.tsv", "--sigma", "-1"]),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
    assert!(!root.join("merged.jsonl").exists() && !root.join("out.jsonl").exists());
}
