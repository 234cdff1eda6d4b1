//! The programs in C of `examples/embed-c`: built, run, and watched by valgrind.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use mithridate_onnx::{Conv2d, Dim, ElementType, GraphBuilder, ModelMetadata};
use mithridate_testkit::{
    place::Place,
    program::{Program, onnx_runtime},
};
use ndarray::Array4;

const SIDE: usize = 28;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/embed-c")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The folder with the programs, built once with this library.
fn programs() -> &'static Path {
    static BUILT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        // The libraries, shared and static, are built for the test and lie beside it.
        let test = std::env::current_exe().unwrap();
        let libraries = test.parent().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().display();
        let mut make = Command::new("make");
        make.arg("-C")
            .arg(example())
            .arg(format!("TARGET={}", libraries.display()))
            .arg(format!("OUT={out}"));
        let programs = ["certify", "audit", "certify-static"].map(|name| format!("{out}/{name}"));
        let output = make.args(programs).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        folder
    });
    folder.path()
}

/// A convolution of one-channel images with four classes: in which quarter, by rows, it is brightest.
fn model(path: &Path) {
    let mut graph = GraphBuilder::new("quarters");
    let dims = [Dim::symbolic("batch"), Dim::Fixed(1), Dim::Fixed(SIDE as i64), Dim::Fixed(SIDE as i64)];
    let image = graph.input("image", ElementType::Float, &dims).unwrap();
    // The mean of the quarters by a convolution as large as they are: 1×28×28 → 4.
    let weight = Array4::from_shape_fn((4, 1, SIDE, SIDE), |(class, _, row, _)| {
        if row / (SIDE / 4) == class { 4.0 / (SIDE * SIDE) as f32 } else { 0.0 }
    });
    let weight = graph.constant("weight", &weight.view().into_dyn());
    let features = graph.conv2d(&image, &weight, None, Conv2d { stride: 1, padding: 0 }).unwrap();
    let logits = graph.flatten(&features).unwrap();
    let model = graph.finish(&[("logits", &logits)], &ModelMetadata::default()).unwrap();
    mithridate_onnx::write(&model, path).unwrap();
}

/// A folder with `model.onnx` and `image.pgm`, which is bright in the third quarter.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    model(&place.path().join("model.onnx"));
    let mut image = format!("P5\n# a frame\n{SIDE} {SIDE}\n255\n").into_bytes();
    image.extend((0..SIDE * SIDE).map(|value| if value / SIDE / (SIDE / 4) == 2 { 140 } else { 110 }));
    fs::write(place.path().join("image.pgm"), image).unwrap();
    place
}

fn certify_program(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    library(&mut Command::new(programs().join(program))).current_dir(folder).args(arguments).output().unwrap()
}

/// Where ONNX Runtime is.
fn library(command: &mut Command) -> &mut Command {
    command.env("ORT_DYLIB_PATH", onnx_runtime())
}

#[test]
fn class_and_radius_of_an_image_within_50_milliseconds() {
    let place = place();
    let mut shortest = f64::INFINITY;
    for program in ["certify", "certify-static", "certify", "certify-static"] {
        let output = certify_program(program, place.path(), &["model.onnx", "image.pgm", "50", "0.25"]);
        assert!(output.status.success(), "{}", text(&output));
        let said = text(&output);
        let words: Vec<&str> =
            said.split([' ', '(', ',', ')', '\n']).filter(|word| !word.is_empty()).collect();
        let ["class", "2", "within", "an", "l2", "distance", "of", radius, samples, "samples", time, "ms"] =
            words[..]
        else {
            panic!("{said:?}")
        };
        // The distance to the boundary: a difference of 30/255 between the means of two quarters of 196 values.
        let truth = 30.0 / 255.0 * 196.0_f64.sqrt() / 2.0_f64.sqrt();
        let radius: f64 = radius.parse().unwrap();
        assert!(radius > 0.25 && radius < truth, "{said} {truth}");
        assert!(samples.parse::<u64>().unwrap() >= 64, "{said}");
        shortest = shortest.min(time.parse().unwrap());
    }
    // Late by a batch at most, which other programs may hold up on a busy machine, but not every time.
    assert!(shortest < 55.0, "{shortest} ms");
}

#[test]
fn what_is_wrong_is_said_in_a_sentence() {
    let place = place();
    fs::write(place.path().join("small.pgm"), b"P5 2 2 255\nabcd").unwrap();
    fs::write(place.path().join("broken.onnx"), b"no model").unwrap();
    for (arguments, status, sentence) in [
        (vec!["model.onnx"], 2, "usage: certify MODEL IMAGE [DEADLINE_MS [SIGMA [PROVIDER]]]\n"),
        (vec!["model.onnx", "none.pgm"], 1, "certify: none.pgm can't be opened\n"),
        (vec!["model.onnx", "small.pgm"], 1, "certify: the image has 4 values and the model takes 784\n"),
        (
            vec!["model.onnx", "image.pgm", "-3"],
            1,
            "certify: deadline_ms is -3; give a number of milliseconds from 0\n",
        ),
        (
            vec!["model.onnx", "image.pgm", "50", "-1"],
            1,
            "certify: sigma must be a number from 0.0001 to 10000 and is -1\n",
        ),
        (
            vec!["model.onnx", "image.pgm", "50", "0"],
            1,
            "certify: model.onnx doesn't say at which sigma it was trained; give one with options.sigma\n",
        ),
        (
            vec!["none.onnx", "image.pgm"],
            1,
            "certify: cannot read the model none.onnx: No such file or directory (os error 2)\n",
        ),
    ] {
        let output = certify_program("certify", place.path(), &arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", text(&output));
        assert_eq!(text(&output), sentence, "{arguments:?}");
    }
    let output = certify_program("certify", place.path(), &["broken.onnx", "image.pgm"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("broken.onnx"), "{}", text(&output));
}

#[test]
fn valgrind_finds_nothing_but_in_onnx_runtime() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: valgrind is not installed");
        return;
    }
    let place = place();
    let program = programs().join("certify");
    let mut valgrind = Command::new("valgrind");
    valgrind.current_dir(place.path()).args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
    valgrind.arg("--errors-for-leak-kinds=definite,possible").arg("--num-callers=50");
    valgrind.arg(format!("--suppressions={}", example().join("onnxruntime.supp").display()));
    // Minutes of one frame here are a moment elsewhere.
    let output =
        library(valgrind.arg(program).args(["model.onnx", "image.pgm", "3000", "0.25"])).output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with("class 2 within an l2 distance of "), "{said}");
}

#[test]
fn a_changed_model_is_audited_from_c() {
    let place = Place::new();
    let flags = ["--sigma", "0.25", "--n", "2000", "--keep-votes", "--out", "before.jsonl"];
    let certify = ["certify", "--model", "model.onnx", "--data", "data"];
    let output = Program::built("rscert").command(place.root(), &[&certify[..], &flags].concat()).output();
    assert!(output.as_ref().unwrap().status.success(), "{}", text(&output.unwrap()));
    let audit = |arguments: &[&str]| certify_program("audit", place.root(), arguments);
    let output = audit(&["before.jsonl", "model.onnx", "data", "after.jsonl"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for sentence in [
        "\"incremental\": ",
        "\"holds\": true",
        "audit: recertifying model.onnx: ",
        "audit: replaying model.onnx: ",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    // Somebody changes a radius.
    let changed =
        fs::read_to_string(place.path("after.jsonl")).unwrap().replace("\"radius\":0.", "\"radius\":1.");
    fs::write(place.path("before.jsonl"), changed).unwrap();
    let output = audit(&["before.jsonl", "model.onnx", "data", "other.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).starts_with("audit: recertify: "), "{}", text(&output));
    assert_eq!(audit(&["before.jsonl"]).status.code(), Some(2));
}
