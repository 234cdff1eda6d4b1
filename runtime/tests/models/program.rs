//! The same through the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use mithridate_onnx::{GraphBuilder, ModelMetadata};
use mithridate_runtime::{
    backend::{OnnxModel, OnnxRuntime},
    evidence::{ModelUse, read_evidence},
};
use mithridate_testkit::{place::zoo_images, program};
use serde_json::Value as Json;

use super::{with_external_weights, zoo};

pub fn rscert(folder: &Path, arguments: &[&str]) -> Output {
    program::rscert(folder, arguments).output().unwrap()
}

/// What a run that must succeed prints.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = rscert(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with six images of the size of the zoo.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    zoo_images(&path);
    (folder, path)
}

fn certify<'a>(model: &'a str, out: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["certify", "--data", ".", "--sigma", "0.25", "--n", "300", "--seed", "3", "--threads", "1"];
    [&fixed[..], &["--model", model, "--out", out], flags].concat()
}

#[test]
fn forms_of_a_model_get_the_same_votes_and_the_evidence_says_what_was_done() {
    let (_folder, path) = place();
    let (external, weights) = with_external_weights(zoo::plain(2), "w.bin");
    fs::write(path.join("w.bin"), weights).unwrap();
    for (name, model) in [
        ("plain.onnx", zoo::plain(0)),
        ("fixed.onnx", zoo::stubborn(5)),
        ("last.onnx", zoo::channels_last()),
        ("bytes.onnx", zoo::normalising(&[0.0], &[1.0 / 256.0])),
        ("external.onnx", external),
        ("several.onnx", zoo::softmax_among_others()),
    ] {
        mithridate_onnx::write(&model, path.join(name)).unwrap();
    }
    let votes = |model: &str, out: &str, flags: &[&str]| {
        let text = printed(&path, &certify(model, out, flags));
        let evidence = read_evidence(&path.join(out)).unwrap();
        let again = evidence.header.input_options();
        let again = OnnxModel::open(&OnnxRuntime::load().unwrap(), &path.join(model), &again).unwrap();
        assert_eq!(again.preprocessing, evidence.header.model.r#use.preprocessing, "read the same way again");
        assert_eq!(again.sha256, evidence.header.model.sha256);
        let records = evidence.records.into_iter();
        let votes: Vec<_> =
            records.map(|record| (record.class, record.selection, record.estimation)).collect();
        (votes, evidence.header.model, text)
    };
    let (reference, plain, _) = votes("plain.onnx", "plain.jsonl", &[]);
    let header = fs::read_to_string(path.join("plain.jsonl")).unwrap();
    assert!(
        !header.contains("preprocessing") && !header.contains("external"),
        "nothing where nothing was done"
    );
    assert_eq!(plain.r#use, ModelUse::default());
    let (found, source, _) = votes("fixed.onnx", "fixed.jsonl", &["--batch", "64"]);
    assert_eq!((found, source.r#use.batch_rewritten_from), (reference.clone(), None));
    let (found, source, _) = votes("last.onnx", "last.jsonl", &[]);
    assert_eq!(found, reference);
    assert_eq!(source.r#use.preprocessing.layout.to_string(), "nhwc");
    // Powers of two, so that rounding changes no vote.
    let (found, source, text) = votes("bytes.onnx", "bytes.jsonl", &["--range", "0,256"]);
    assert_eq!(found, reference);
    assert_eq!(source.r#use.sigma_in_model, [64.0; 3]);
    assert!(text.contains("to the model, sigma is 64.0000"), "{text}");
    let (found, source, _) = votes("external.onnx", "external.jsonl", &[]);
    assert_eq!((found, source.r#use.batch_rewritten_from), (reference.clone(), Some(2)));
    assert_eq!(source.external[0].file, "w.bin");
    let (found, source, _) = votes("several.onnx", "several.jsonl", &["--output", "probabilities"]);
    assert_eq!((found, source.r#use.output.as_deref()), (reference, Some("probabilities")));

    // Other weights under the same name are another model.
    fs::write(path.join("w.bin"), vec![0; 4 * (zoo::CLASSES * zoo::VALUES + zoo::CLASSES)]).unwrap();
    let resumed = rscert(&path, &certify("external.onnx", "external.jsonl", &["--resume"]));
    assert_eq!(resumed.status.code(), Some(1));
    let text = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(text.contains("can't be resumed: its model.external differs"), "{text}");
}

#[test]
fn inspect_says_what_it_found_and_its_command_works() {
    let (_folder, path) = place();
    for (name, model, flags, expected) in [
        (
            "a.onnx",
            zoo::reshaped(4),
            &[][..],
            &["4 in the file; rewritten to take any number", "which holds logits"][..],
        ),
        ("b.onnx", zoo::stubborn(2), &[], &["exactly 2; an incomplete last batch is filled up"]),
        ("c.onnx", zoo::channels_last(), &[], &["nhwc (channels last), 3 channels"]),
        (
            "d.onnx",
            zoo::normalising(&[-127.5], &[1.0 / 51.0]),
            &[],
            &["inside the model (Add, Mul), apparently of inputs from 0 to 255", "--range=0,255"],
        ),
        (
            "e.onnx",
            zoo::softmax_among_others(),
            &["--output", "probabilities"],
            &["holds probabilities", "--output probabilities"],
        ),
        (
            "f.onnx",
            zoo::of_type(mithridate_onnx::ElementType::Float16),
            &[],
            &["precision:  weights in float16", "providers:  cpu"],
        ),
        (
            "g h.onnx",
            zoo::entangled(0),
            &[],
            &["one at a time, because an answer depends", "--model 'g h.onnx'"],
        ),
        ("i.onnx", zoo::any_size(), &[], &["not fixed by the model; tested with 32 x 32", "3 channels"]),
    ] {
        mithridate_onnx::write(&model, path.join(name)).unwrap();
        let text = printed(&path, &[&["inspect", name], flags].concat());
        for expected in expected {
            assert!(text.contains(expected), "'{expected}' in:\n{text}");
        }
        let document: Json =
            serde_json::from_str(&printed(&path, &[&["inspect", name, "--json"], flags].concat())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("certify:    ")).unwrap();
        assert_eq!(document["command"], line);
        if name == "i.onnx" {
            // Its three classes are fewer than the labels.
            continue;
        }
        let line = line.replace("DATA", ".").replace("SIGMA", "0.25");
        let words = line.replace("'g h.onnx'", "g\0h.onnx");
        let words: Vec<String> = words.split(' ').skip(1).map(|word| word.replace('\0', " ")).collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        let out = format!("{name}.jsonl");
        words.extend(["--n", "20", "--max", "1", "--out", &out]);
        printed(&path, &words);
    }
    let several = printed(&path, &["inspect", "e.onnx"]);
    assert!(
        several.contains("certify:    not possible: e.onnx can't be certified: it has 3 outputs"),
        "{several}"
    );
}

#[test]
fn what_the_metadata_say_is_the_default_and_a_difference_is_said() {
    let (_folder, path) = place();
    let mut graph = GraphBuilder::new("own");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let metadata = ModelMetadata {
        training_sigma: Some(0.5),
        input_range: Some(vec![-1.0, 1.0]),
        input_mean: Some(vec![0.5]),
        ..ModelMetadata::default()
    };
    let model = graph.finish(&[("logits", &y)], &metadata).unwrap();
    mithridate_onnx::write(&model, path.join("own.onnx")).unwrap();
    let output = rscert(&path, &certify("own.onnx", "a.jsonl", &["--max", "1"]));
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && notes.contains("at sigma 0.25 a model that was trained at sigma 0.5"));
    let source = read_evidence(&path.join("a.jsonl")).unwrap().header.model;
    assert_eq!(source.r#use.preprocessing.range, [-1.0, 1.0]);
    assert_eq!(source.r#use.preprocessing.mean, [0.5]);
    let output = rscert(&path, &certify("own.onnx", "b.jsonl", &["--max", "1", "--range", "0,255"]));
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(notes.contains("--range is [0.0, 255.0] and the model's metadata say [-1.0, 1.0]"), "{notes}");
}

#[test]
fn names_from_a_stranger_are_escaped() {
    let (_folder, path) = place();
    let name = "<img src=x>&.onnx";
    let mut model = zoo::plain(0);
    model.graph.as_mut().unwrap().name = Some("\u{1b}[2Jgraph".into());
    mithridate_onnx::write(&model, path.join(name)).unwrap();
    printed(&path, &certify(name, "<b>.jsonl", &[]));
    printed(&path, &["audit", "<b>.jsonl", "--html", "audit.html"]);
    let page = fs::read_to_string(path.join("audit.html")).unwrap();
    assert!(!page.contains("<img") && !page.contains("<b>"), "{page}");
    assert!(page.contains("img src=x"), "the name is there");
    assert!(!printed(&path, &["inspect", name]).contains('\u{1b}'));
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let (_folder, path) = place();
    mithridate_onnx::write(&zoo::plain(0), path.join("m.onnx")).unwrap();
    for (flags, status, expected) in [
        (&["--range", "1"][..], 2, "it must be two numbers"),
        (&["--range", "1,0"], 2, "it must be two numbers"),
        (&["--layout", "chw"], 2, "'chw' is not a layout; use nchw or nhwc"),
        (&["--layout", "nhwc"], 1, "read as nhwc, and the images of the data set have shape [3, 4, 4]"),
        (&["--mean", "0.5,0.5"], 1, "--mean has 2 values and the images have 3 channels"),
        (&["--std", "0"], 1, "--std contains 0; a standard deviation must be greater than 0"),
        (&["--std", "x"], 2, "invalid float literal"),
        (&["--output", "none"], 1, "it has no output 'none', only logits: float [n, 5]"),
    ] {
        let output = rscert(&path, &certify("m.onnx", "run.jsonl", flags));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{flags:?}: {text}");
        assert!(text.contains(expected), "{flags:?}: {text}");
    }
    assert!(!path.join("run.jsonl").exists());
}
