//! What is wrong most often: models, data, numbers, commands.

use std::{fs, path::Path};

use mithridate_runtime::data::write_idx;
use mithridate_testkit::{
    place::{place, put},
    program::rscert,
    sentences::list,
};

use super::{certify, fixture, sentences};

/// The ways in which a model and data sets can be broken.
fn broken_things(root: &Path) {
    let model = fs::read(root.join("model.onnx")).unwrap();
    put(root, "cut.onnx", &model[..model.len() / 2]);
    put(root, "text.onnx", b"this is not a model");
    put(root, "empty.onnx", b"");
    let (images_name, labels_name) = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte");
    let [images, labels] =
        [images_name, labels_name].map(|name| fs::read(root.join("data").join(name)).unwrap());
    put(root, &format!("cut/{images_name}"), &images[..images.len() / 2]);
    put(root, &format!("cut/{labels_name}"), &labels);
    for name in ["labels", "few", "both"] {
        put(root, &format!("{name}/{images_name}"), &images);
    }
    write_idx(&root.join("labels").join(labels_name), &[3], &[1, 9, 1]).unwrap();
    write_idx(&root.join("few").join(labels_name), &[2], &[1, 1]).unwrap();
    put(root, &format!("both/{labels_name}"), &labels);
    put(root, "both/test_batch.bin", &[0; 3073]);
    fs::create_dir(root.join("small")).unwrap();
    write_idx(&root.join("small").join(images_name), &[1, 1, 2], &[1, 2]).unwrap();
    write_idx(&root.join("small").join(labels_name), &[1], &[0]).unwrap();
    put(root, "cifar/test_batch.bin", &[0; 3000]);
    put(root, "label.bin", &[10; 3073]);
    put(root, "floats.npz", &fixture("npz/floats.npz"));
    let npz = fixture("npz/unlabelled.npz");
    put(root, "cut.npz", &npz[..npz.len() / 2]);
    put(root, "file", b"");
    put(root, "old.jsonl", b"what was here before\n");
    put(root, "fake.so", b"not a library");
}

#[test]
fn of_what_is_wrong_most_often() {
    let folder = place();
    let root = folder.path();
    broken_things(root);
    let plain = |what, changes: &[&'static str]| (what, certify(changes));
    let cases = [
        plain("a model that does not exist", &["--model", "none.onnx"]),
        plain("a model that is a folder", &["--model", "data"]),
        plain("a model cut short", &["--model", "cut.onnx"]),
        plain("a model that is text", &["--model", "text.onnx"]),
        plain("an empty model", &["--model", "empty.onnx"]),
        plain("data that do not exist", &["--data", "none"]),
        plain("a folder without data", &["--data", "."]),
        plain("data cut short", &["--data", "cut"]),
        plain("data that are a model", &["--data", "model.onnx"]),
        plain("images of another size", &["--data", "small"]),
        plain("a label outside the classes", &["--data", "labels"]),
        plain("fewer labels than images", &["--data", "few"]),
        plain("a split that is not there", &["--data", "labels", "--split", "train"]),
        plain("CIFAR-10 cut short", &["--data", "cifar"]),
        plain("CIFAR-10 without the split", &["--data", "cifar", "--split", "train"]),
        plain("CIFAR-10 with a label outside the classes", &["--data", "label.bin"]),
        plain("a folder with two data sets", &["--data", "both"]),
        plain("npz of floats", &["--data", "floats.npz"]),
        plain("npz cut short", &["--data", "cut.npz"]),
        plain("a class outside the classes", &["--class", "2"]),
        plain("a class that is no number", &["--class", "eight"]),
        plain("sigma 0", &["--sigma", "0"]),
        plain("a negative sigma", &["--sigma", "-0.25"]),
        plain("a sigma that is no number", &["--sigma", "much"]),
        plain("sigma NaN", &["--sigma", "NaN"]),
        plain("alpha 0", &["--alpha", "0"]),
        plain("alpha 1", &["--alpha", "1"]),
        plain("alpha 1.5", &["--alpha", "1.5"]),
        plain("n 0", &["--n", "0"]),
        plain("a negative n", &["--n", "-5"]),
        plain("more samples than can be bounded", &["--n", "1000000000000"]),
        plain("n0 0", &["--n0", "0"]),
        plain("batch 0", &["--batch", "0"]),
        plain("no threads", &["--threads", "0"]),
        plain("skip 0", &["--skip", "0"]),
        plain("max 0", &["--max", "0"]),
        plain("a provider that does not exist", &["--provider", "tpu"]),
        plain("an output folder that does not exist", &["--out", "none/run.jsonl"]),
        plain("an output folder that is a file", &["--out", "file/run.jsonl"]),
        plain("an output file that exists", &["--out", "old.jsonl"]),
        plain("a run to resume that is none", &["--out", "old.jsonl", "--resume"]),
        plain("a flag that does not exist", &["--sygma", "0.25"]),
        ("no command", vec![]),
        ("a command that does not exist", vec!["certifi"]),
        ("an audit of nothing", vec!["audit"]),
        ("an audit of a missing file", vec!["audit", "none.jsonl"]),
        ("an audit of something else", vec!["audit", "old.jsonl"]),
        ("an audit at a negative radius", vec!["audit", "old.jsonl", "--radii=-1"]),
        ("an audit at a radius that is no number", vec!["audit", "old.jsonl", "--radii", "x"]),
        ("inspecting text", vec!["inspect", "text.onnx"]),
        ("inspecting nothing", vec!["inspect", "none.onnx"]),
        ("measuring a missing model", vec!["bench", "--model", "none.onnx"]),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
    assert!(!root.join("out.jsonl").exists(), "an error leaves no evidence");
    assert_eq!(fs::read_to_string(root.join("old.jsonl")).unwrap(), "what was here before\n");
}

#[test]
fn of_libraries_and_providers() {
    let folder = place();
    let root = folder.path();
    put(root, "fake.so", b"not a library");
    let with = |what: &str, library: Option<&str>, flags: &[&'static str]| {
        let mut command = rscert(root, &certify(flags));
        if let Some(library) = library {
            command.env("ORT_DYLIB_PATH", library);
        }
        (what.to_owned(), command.output().unwrap())
    };
    let outputs = [
        with("a missing native library", Some("/nowhere/libonnxruntime.so"), &[]),
        with("a native library that is none", Some("fake.so"), &[]),
        with("a provider this ONNX Runtime lacks", None, &["--provider", "cuda"]),
    ];
    insta::assert_snapshot!(list(root, outputs.into_iter()));
}
