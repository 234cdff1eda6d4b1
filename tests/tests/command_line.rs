//! What the programs say: help, and one sentence with exit status 1 or 2 for everything a user can get wrong.
//!
//! The sentences are snapshots, to be read as a user would; `cargo insta review` or `INSTA_UPDATE=always` renews them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fmt::Write, fs, path::Path, process::Stdio, thread::sleep, time::Duration};

use mithridate_runtime::data::write_idx;
use mithridate_tests::{bars, command, program, trained, trained_with, workspace};

/// A case: what is wrong, the arguments, variables of the environment.
type Case<'a> = (&'a str, Vec<&'a str>, Vec<(&'a str, &'a str)>);

/// Runs each case in `folder` and lists exit status and first line of standard error.
fn sentences(program: &str, folder: &Path, cases: &[Case<'_>]) -> String {
    let mut text = String::new();
    for (what, arguments, variables) in cases {
        let mut run = command(program);
        run.current_dir(folder).args(arguments);
        for (name, value) in variables {
            run.env(name, value);
        }
        let output = run.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let status = output.status.code().unwrap_or(-1);
        assert!(status == 1 || status == 2, "{what}: exit status {status}, {error}");
        assert!(output.stdout.is_empty(), "{what}: results in spite of an error");
        assert!(!error.contains("panicked"), "{what}: {error}");
        let lines: Vec<&str> = error.lines().filter(|line| !line.is_empty()).collect();
        assert!(status == 2 || lines.len() == 1, "{what}: one sentence, not {lines:#?}");
        let line = lines[0].replace(&folder.display().to_string(), "[FOLDER]");
        let line = line.replace(&workspace().join("").display().to_string(), "[WORKSPACE]/");
        let _ = writeln!(text, "{what}\n  {status}: {line}");
    }
    text
}

/// A folder with a small data set, a linear model for it, and the ways in which both can be broken.
fn broken_things(folder: &Path) {
    fs::create_dir(folder.join("data")).unwrap();
    bars(&folder.join("data"), 16, 4, 60, 20);
    let place = trained(folder, &folder.join("data"), "linear");
    fs::rename(place.join("model.onnx"), folder.join("model.onnx")).unwrap();
    fs::rename(place.join("weights.safetensors"), folder.join("weights.safetensors")).unwrap();
    fs::write(folder.join("text.onnx"), "this is not a model").unwrap();
    let cut = |from: &str, to: &str| {
        let bytes = fs::read(folder.join(from)).unwrap();
        fs::write(folder.join(to), &bytes[..bytes.len() / 2]).unwrap();
    };
    cut("model.onnx", "cut.onnx");
    cut("weights.safetensors", "cut.safetensors");
    fs::write(folder.join("empty.onnx"), "").unwrap();
    for name in ["small", "cut", "labels", "few"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    bars(&folder.join("small"), 12, 4, 60, 20);
    for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
        fs::copy(folder.join("data").join(name), folder.join("cut").join(name)).unwrap();
    }
    for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        fs::copy(folder.join("data").join(name), folder.join("cut").join(name)).unwrap();
        fs::copy(folder.join("data").join(name), folder.join("labels").join(name)).unwrap();
        fs::copy(folder.join("data").join(name), folder.join("few").join(name)).unwrap();
    }
    cut("data/t10k-images-idx3-ubyte", "cut/t10k-images-idx3-ubyte");
    let mut labels = vec![1; 20];
    labels[5] = 9;
    write_idx(&folder.join("labels/t10k-labels-idx1-ubyte"), &[20], &labels).unwrap();
    write_idx(&folder.join("few/t10k-labels-idx1-ubyte"), &[19], &[1; 19]).unwrap();
    other_formats(folder);
    fs::write(folder.join("file"), "").unwrap();
    fs::write(folder.join("old.jsonl"), "what was here before\n").unwrap();
    fs::write(folder.join("fake.so"), "not a library").unwrap();
}

/// Broken data sets in formats other than IDX.
fn other_formats(folder: &Path) {
    for name in ["cifar", "both"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::write(folder.join("cifar/test_batch.bin"), [0; 3000]).unwrap();
    fs::write(folder.join("label.bin"), [10; 3073]).unwrap();
    for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        fs::copy(folder.join("data").join(name), folder.join("both").join(name)).unwrap();
    }
    fs::write(folder.join("both/test_batch.bin"), [0; 3073]).unwrap();
    for name in ["floats.npz", "unlabelled.npz", "images.npy"] {
        let fixture = workspace().join("runtime/tests/fixtures/npz").join(name);
        fs::copy(fixture, folder.join(name)).unwrap();
    }
    let bytes = fs::read(folder.join("unlabelled.npz")).unwrap();
    fs::write(folder.join("cut.npz"), &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn rscert_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    broken_things(folder);
    let certify = |changes: &[&'static str]| {
        let mut arguments = vec!["certify"];
        for (flag, value) in [
            ("--model", "model.onnx"),
            ("--data", "data"),
            ("--sigma", "0.25"),
            ("--n", "100"),
            ("--out", "out.jsonl"),
        ] {
            if !changes.contains(&flag) {
                arguments.extend([flag, value]);
            }
        }
        arguments.extend(changes);
        arguments
    };
    let plain = |what, changes: &[&'static str]| (what, certify(changes), vec![]);
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
        plain("npz without labels", &["--data", "unlabelled.npz"]),
        plain("npz of floats", &["--data", "floats.npz"]),
        plain("npz cut short", &["--data", "cut.npz"]),
        plain("npy without labels beside it", &["--data", "images.npy"]),
        plain("a class outside the classes", &["--class", "4"]),
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
        plain("a provider this ONNX Runtime lacks", &["--provider", "cuda"]),
        plain("an output folder that does not exist", &["--out", "none/run.jsonl"]),
        plain("an output folder that is a file", &["--out", "file/run.jsonl"]),
        plain("an output file that exists", &["--out", "old.jsonl"]),
        plain("a run to resume that is none", &["--out", "old.jsonl", "--resume"]),
        plain("a flag that does not exist", &["--sygma", "0.25"]),
        ("a missing native library", certify(&[]), vec![("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")]),
        ("a native library that is none", certify(&[]), vec![("ORT_DYLIB_PATH", "fake.so")]),
        ("no command", vec![], vec![]),
        ("a command that does not exist", vec!["certifi"], vec![]),
        ("an audit of nothing", vec!["audit"], vec![]),
        ("an audit of a missing file", vec!["audit", "none.jsonl"], vec![]),
        ("an audit of something else", vec!["audit", "old.jsonl"], vec![]),
        ("an audit at a negative radius", vec!["audit", "old.jsonl", "--radii=-1"], vec![]),
        ("an audit at a radius that is no number", vec!["audit", "old.jsonl", "--radii", "x"], vec![]),
        ("inspecting text", vec!["inspect", "text.onnx"], vec![]),
        ("inspecting nothing", vec!["inspect", "none.onnx"], vec![]),
        ("measuring a missing model", vec!["bench", "--model", "none.onnx"], vec![]),
    ];
    insta::assert_snapshot!("rscert_sentences", sentences("rscert", folder, &cases));
    assert!(!folder.join("out.jsonl").exists(), "an error leaves no evidence");
    assert_eq!(fs::read_to_string(folder.join("old.jsonl")).unwrap(), "what was here before\n");
}

/// Starts a run and kills it when its checkpoint is there.
fn interrupted(folder: &Path, arguments: &[&str]) {
    let mut run = std::process::Command::new(program("pacd"));
    run.current_dir(folder).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = run.spawn().unwrap();
    let out = arguments.iter().position(|flag| *flag == "--out").unwrap() + 1;
    let checkpoint = folder.join(arguments[out]).join("checkpoint.safetensors");
    while !checkpoint.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended without a checkpoint");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A command with defaults for the flags that are not given.
fn with_defaults(
    start: &[&'static str],
    defaults: &[(&'static str, &'static str)],
    changes: &[&'static str],
) -> Vec<&'static str> {
    let mut arguments = start.to_vec();
    for (flag, value) in defaults {
        if !changes.contains(flag) {
            arguments.extend([flag, value]);
        }
    }
    arguments.extend(changes);
    arguments
}

fn poison(changes: &[&'static str]) -> Vec<&'static str> {
    let defaults = [("--data", "data"), ("--out", "poison"), ("--class", "1"), ("--network", "mlp")];
    with_defaults(&["poison", "--validation", "20"], &defaults, changes)
}

fn train(changes: &[&'static str]) -> Vec<&'static str> {
    let defaults = [("--data", "data"), ("--out", "victim"), ("--network", "mlp")];
    with_defaults(&["train", "--validation", "20"], &defaults, changes)
}

fn inspect(changes: &[&'static str]) -> Vec<&'static str> {
    [&["inspect"], changes, &["--data", "data"]].concat()
}

fn export(weights: &'static str) -> Vec<&'static str> {
    vec!["export", "--weights", weights, "--out", "again.onnx"]
}

/// Files and folders for `pacd` that are wrong in some way, and some that are right.
fn broken_runs(folder: &Path) {
    let quick = fs::read_to_string(workspace().join("examples/mnist-quick.toml")).unwrap();
    let experiment = |name: &str, from: &str, to: &str| {
        let text = quick.replace("data/mnist", "data").replace(from, to);
        fs::write(folder.join(name), text).unwrap();
    };
    experiment("key.toml", "inner_steps", "iner_steps");
    experiment("value.toml", "\"lenet\"", "\"lennet\"");
    experiment("epsilon.toml", "epsilon = 0.1", "epsilon = -0.1");
    experiment("syntax.toml", "seed = 0", "seed = ");
    experiment("images.toml", "", "");
    experiment("preset.toml", "target_classes = [8]", "target_classes = [8]\npreset = \"oficial-mnist\"");
    let small =
        quick.replace("data/mnist", "data").replace("5000\nimages = 6000", "20").replace("[8]", "[1]");
    fs::write(folder.join("small.toml"), small).unwrap();
    fs::write(folder.join("attack.toml"), "stepz = 3\n").unwrap();
    fs::write(folder.join("type.toml"), "sigma = 0.5\nsteps = \"many\"\n").unwrap();
    fs::write(folder.join("training.toml"), "[smoothadv]\nsteps = 1.5\n").unwrap();
    let mut set = command("pacd");
    set.current_dir(folder).args(poison(&["--attack", "random", "--out", "set"])).assert().success();
    fs::create_dir(folder.join("torn")).unwrap();
    fs::write(folder.join("torn/manifest.json"), "this is no manifest").unwrap();
    for (name, file, content) in [
        ("torn-network", "train.json", "{\"tool\": \"pacd"),
        ("torn-attack", "checkpoint.safetensors", "PK"),
        ("new", "manifest.json", "{\"schema\": \"mithridate-poison/9\"}"),
    ] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join(file), content).unwrap();
    }
    interrupted(
        folder,
        &poison(&["--out", "begun", "--steps", "1000", "--checkpoint-every", "0", "--seed", "1"]),
    );
    fs::create_dir(folder.join("little")).unwrap();
    bars(&folder.join("little"), 16, 4, 20, 20);
}

/// `pacd train`.
fn training_cases() -> Vec<Case<'static>> {
    vec![
        ("data that do not exist", train(&["--data", "none"]), vec![]),
        ("test data cut short", train(&["--data", "cut"]), vec![]),
        ("training on one file", train(&["--data", "data/train-images-idx3-ubyte"]), vec![]),
        ("a folder without training data", train(&["--data", "cifar"]), vec![]),
        ("more images than there are", train(&["--images", "1000"]), vec![]),
        ("no images", train(&["--images", "0"]), vec![]),
        ("a network that does not exist", train(&["--network", "vgg"]), vec![]),
        ("a network too large for the images", train(&["--data", "small", "--network", "lenet"]), vec![]),
        ("a method that does not exist", train(&["--method", "magic"]), vec![]),
        ("a negative sigma", train(&["--sigma", "-1"]), vec![]),
        ("no epochs", train(&["--epochs", "0"]), vec![]),
        ("an output folder that is a file", train(&["--out", "file/x"]), vec![]),
        ("a folder that holds a network", train(&["--out", "linear"]), vec![]),
        ("a poison set that does not exist", train(&["--poison", "none"]), vec![]),
        ("a device that does not exist", train(&["--device", "gpu"]), vec![]),
        ("a device this machine lacks", train(&["--device", "cuda:7"]), vec![]),
        ("settings within settings of the wrong type", train(&["--config", "training.toml"]), vec![]),
        ("settings of another command", train(&["--config", "attack.toml"]), vec![]),
        ("a preset for training that does not exist", train(&["--preset", "paper"]), vec![]),
        ("a setting of training that does not exist", train(&["--set", "epoch=3"]), vec![]),
        ("an optimiser that does not exist", train(&["--optimiser", "adamw"]), vec![]),
        ("a schedule that does not exist", train(&["--schedule", "linear"]), vec![]),
        ("a schedule that does not exist, by name", train(&["--set", "schedule=cosin"]), vec![]),
        ("a negative weight decay", train(&["--weight-decay", "-1"]), vec![]),
        ("a momentum of 1", train(&["--set", "momentum=1"]), vec![]),
        ("a crop wider than the images", train(&["--crop", "16"]), vec![]),
        ("an adversary without steps", train(&["--set", "smoothadv.steps=0"]), vec![]),
        ("a clamp that leaves nothing", train(&["--set", "macer.clamp=0.5"]), vec![]),
        ("a training that diverges", train(&["--rate", "1e38", "--epochs", "1", "--method", "erm"]), vec![]),
        ("checkpoints every -1", train(&["--checkpoint-every=-1"]), vec![]),
        ("training there", train(&["--out", "begun"]), vec![]),
        ("training where a checkpoint is torn", train(&["--out", "torn-attack"]), vec![]),
        ("training on poison whose manifest is torn", train(&["--poison", "torn"]), vec![]),
    ]
}

/// `pacd poison`.
fn poison_cases() -> Vec<Case<'static>> {
    vec![
        ("a negative epsilon", poison(&["--epsilon", "-0.1"]), vec![]),
        ("an epsilon below one step", poison(&["--epsilon", "0.001"]), vec![]),
        ("a class outside the classes", poison(&["--class", "4"]), vec![]),
        ("a solver that does not exist", poison(&["--solver", "magic"]), vec![]),
        ("no steps", poison(&["--steps", "0"]), vec![]),
        ("a poison rate of 0", poison(&["--rate", "0"]), vec![]),
        ("settings with a key that does not exist", poison(&["--config", "attack.toml"]), vec![]),
        ("settings of the wrong type", poison(&["--config", "type.toml"]), vec![]),
        ("settings that do not exist", poison(&["--config", "none.toml"]), vec![]),
        ("a preset that does not exist", poison(&["--preset", "official"]), vec![]),
        ("a preset that does not exist, by name", poison(&["--set", "preset=oficial-mnist"]), vec![]),
        ("a class twice", poison(&["--class", "1,1"]), vec![]),
        ("class 9 of 4", poison(&["--class", "9"]), vec![]),
        ("a class that is no number", poison(&["--class", "a"]), vec![]),
        ("no class", poison(&["--class", ""]), vec![]),
        ("all classes", poison(&["--class", "0,1,2,3"]), vec![]),
        ("a share of 0", poison(&["--share", "0"]), vec![]),
        ("a share of 2", poison(&["--share", "2"]), vec![]),
        ("a share that is no number", poison(&["--share", "half"]), vec![]),
        ("a setting without a value", poison(&["--set", "damping"]), vec![]),
        ("a setting that does not exist", poison(&["--set", "dampin=1"]), vec![]),
        ("a setting of the wrong type", poison(&["--set", "damping=much"]), vec![]),
        ("a negative number where none can be", poison(&["--set", "steps=-3"]), vec![]),
        ("a setting within a setting", poison(&["--set", "damping.x=1"]), vec![]),
        ("a setting within a table that does not exist", poison(&["--set", "macer.noise=3"]), vec![]),
        ("a crop wider than attacked images", poison(&["--set", "crop=20"]), vec![]),
        ("no restarts", poison(&["--restarts", "0"]), vec![]),
        ("no snapshots", poison(&["--set", "snapshots=0"]), vec![]),
        ("Adam by slot without slots", poison(&["--set", "step=slot-adam"]), vec![]),
        (
            "unrolling what is solved",
            poison(&["--network", "linear", "--set", "differentiation=unrolled"]),
            vec![],
        ),
        ("cropping what is solved", poison(&["--network", "linear", "--set", "crop=2"]), vec![]),
        ("checkpoints every x", poison(&["--checkpoint-every", "x"]), vec![]),
        ("poison where another attack was interrupted", poison(&["--out", "begun", "--seed", "2"]), vec![]),
        ("random poison there", poison(&["--out", "begun", "--attack", "random"]), vec![]),
        ("poison where a checkpoint is torn", poison(&["--out", "torn-attack"]), vec![]),
        ("poison where there is some", poison(&["--out", "set"]), vec![]),
        ("an output folder that can't be made", poison(&["--out", "file/x"]), vec![]),
    ]
}

/// `pacd experiment`.
fn experiment_cases() -> Vec<Case<'static>> {
    vec![
        ("an experiment with a preset that does not exist", vec!["experiment", "preset.toml"], vec![]),
        ("no jobs", vec!["experiment", "images.toml", "--jobs", "0"], vec![]),
        ("an experiment that does not exist", vec!["experiment", "none.toml"], vec![]),
        ("an experiment with a key that does not exist", vec!["experiment", "key.toml"], vec![]),
        ("an experiment with a value that does not exist", vec!["experiment", "value.toml"], vec![]),
        ("an experiment with a negative epsilon", vec!["experiment", "epsilon.toml"], vec![]),
        ("an experiment that is no TOML", vec!["experiment", "syntax.toml"], vec![]),
        ("an experiment with too little data", vec!["experiment", "images.toml"], vec![]),
        ("an experiment without a certifier", vec!["experiment", "small.toml", "--rscert", "none"], vec![]),
    ]
}

/// `pacd inspect`.
fn inspect_cases() -> Vec<Case<'static>> {
    vec![
        ("inspecting a folder that does not exist", inspect(&["none"]), vec![]),
        ("inspecting a folder that is nothing", inspect(&["data"]), vec![]),
        ("inspecting a file", inspect(&["model.onnx"]), vec![]),
        ("inspecting a manifest that is text", inspect(&["torn"]), vec![]),
        ("inspecting a manifest of another schema", inspect(&["new"]), vec![]),
        ("inspecting a report cut short", inspect(&["torn-network"]), vec![]),
        ("inspecting a torn checkpoint", inspect(&["torn-attack"]), vec![]),
        ("a picture of an interrupted attack", inspect(&["begun", "--picture", "p.svg"]), vec![]),
        ("inspecting a poison set without its data", vec!["inspect", "set"], vec![]),
        ("inspecting with data that do not exist", vec!["inspect", "set", "--data", "none"], vec![]),
        ("inspecting with data of another size", vec!["inspect", "set", "--data", "small"], vec![]),
        ("inspecting with too few data", vec!["inspect", "set", "--data", "little"], vec![]),
        ("a picture with an unknown ending", inspect(&["set", "--picture", "p.jpg"]), vec![]),
        ("a picture without an ending", inspect(&["set", "--picture", "p"]), vec![]),
        ("a picture that can't be written", inspect(&["set", "--picture", "file/p.svg"]), vec![]),
        ("a picture of no images", inspect(&["set", "--picture", "p.svg", "--images", "0"]), vec![]),
        ("images into a folder that is not empty", inspect(&["set", "--export", "data"]), vec![]),
        ("images into a file", inspect(&["set", "--export", "file"]), vec![]),
        ("a picture of a network", inspect(&["linear", "--picture", "p.svg"]), vec![]),
    ]
}

/// An export of the linear network, or of the weights that `flags` name.
fn precise(flags: &[&'static str]) -> Vec<&'static str> {
    let weights = ["--weights", "weights.safetensors"];
    let weights = if flags.contains(&"--weights") { &[][..] } else { &weights };
    [&["export", "--out", "again.onnx"], weights, flags].concat()
}

/// `pacd export`, `pacd bench`, and no command.
fn other_cases() -> Vec<Case<'static>> {
    let small = ["bench", "--network", "mlp", "--batch", "20", "--images", "5", "--repeats", "1"];
    let hopeless = [&small[..], &["--validation-batch", "5", "--set", "beta=1e9"]].concat();
    let unwritable = [&small[..], &["--reference", "file/r"]].concat();
    vec![
        ("weights that do not exist", export("none"), vec![]),
        ("weights cut short", export("cut.safetensors"), vec![]),
        ("weights that are text", export("text.onnx"), vec![]),
        ("a precision that does not exist", precise(&["--precision", "int4"]), vec![]),
        ("8 bits without calibration", precise(&["--precision", "int8"]), vec![]),
        ("calibration for float16", precise(&["--precision", "float16", "--calibration", "data"]), vec![]),
        (
            "calibration on data that do not exist",
            precise(&["--precision", "int8", "--calibration", "none"]),
            vec![],
        ),
        (
            "calibration on data of another size",
            precise(&["--precision", "int8", "--calibration", "small"]),
            vec![],
        ),
        (
            "calibration at sigma 0",
            precise(&["--precision", "int8", "--calibration", "data", "--sigma", "0"]),
            vec![],
        ),
        ("a sigma without calibration", precise(&["--sigma", "0.25"]), vec![]),
        (
            "calibration of a network trained without noise",
            precise(&[
                "--weights",
                "mlp/weights.safetensors",
                "--precision",
                "int8",
                "--calibration",
                "data",
            ]),
            vec![],
        ),
        ("measuring a network that does not exist", vec!["bench", "--network", "vgg"], vec![]),
        ("measuring a network that is solved", vec!["bench", "--network", "linear"], vec![]),
        ("measuring nothing", vec!["bench", "--repeats", "0"], vec![]),
        ("measuring no images", vec!["bench", "--images", "0"], vec![]),
        ("measuring an empty batch", vec!["bench", "--batch", "0"], vec![]),
        ("measuring a batch without poison", vec!["bench", "--batch", "4"], vec![]),
        ("measuring no noises", vec!["bench", "--validation-noises", "0"], vec![]),
        ("measuring with a setting that does not exist", vec!["bench", "--set", "dampin=1"], vec![]),
        ("measuring on a device this machine lacks", vec!["bench", "--device", "cuda:7"], vec![]),
        ("measuring where every softmax is saturated", hopeless, vec![]),
        ("a reference others can't compute", vec!["bench", "--method", "macer", "--reference", "r"], vec![]),
        ("a reference that can't be written", unwritable, vec![]),
        ("no command", vec![], vec![]),
    ]
}

#[test]
fn pacd_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    broken_things(folder);
    broken_runs(folder);
    let without_noise = ["--method", "erm", "--epochs", "1", "--batch", "20"];
    trained_with(folder, &folder.join("data"), "mlp", &without_noise);
    let cases =
        [training_cases(), poison_cases(), experiment_cases(), inspect_cases(), other_cases()].concat();
    insta::assert_snapshot!("pacd_sentences", sentences("pacd", folder, &cases));
    for name in ["poison/manifest.json", "victim/train.json", "again.onnx", "runs", "p", "p.jpg", "p.svg"] {
        assert!(!folder.join(name).exists(), "an error leaves no {name}");
    }
}

#[test]
fn pacd_boundary_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("file"), "").unwrap();
    fs::create_dir(folder.join("folder.svg")).unwrap();
    let cases = [
        ("no file", vec![]),
        ("an unknown ending", vec!["--out", "p.jpg"]),
        ("a folder that can't be made", vec!["--out", "file/p.svg"]),
        ("a folder in the place of the file", vec!["--out", "folder.svg"]),
        ("sigma 0", vec!["--out", "p.svg", "--sigma", "0"]),
        ("sigma NaN", vec!["--out", "p.svg", "--sigma", "NaN"]),
        ("too large a sigma", vec!["--out", "p.svg", "--sigma", "1.5"]),
        ("a negative epsilon", vec!["--out", "p.svg", "--epsilon", "-0.1"]),
        ("too large an epsilon", vec!["--out", "p.svg", "--epsilon", "1.5"]),
        ("no points", vec!["--out", "p.svg", "--points", "0"]),
        ("too many points", vec!["--out", "p.svg", "--points", "1000000"]),
        ("a method that does not exist", vec!["--out", "p.svg", "--method", "magic"]),
        ("a seed that is no number", vec!["--out", "p.svg", "--seed", "x"]),
    ]
    .map(|(what, arguments)| (what, [vec!["boundary"], arguments].concat(), vec![]));
    insta::assert_snapshot!("boundary_sentences", sentences("pacd", folder, &cases));
    assert!(!folder.join("p.svg").exists() && !folder.join("p.jpg").exists());
}

#[test]
fn help_shows_every_command_with_an_example() {
    for (program, commands) in [
        ("rscert", vec!["certify", "predict", "audit", "inspect", "bench"]),
        ("pacd", vec!["poison", "train", "check", "export", "experiment", "inspect", "boundary", "bench"]),
    ] {
        let general = command(program).arg("--help").output().unwrap();
        let general = String::from_utf8(general.stdout).unwrap();
        for name in commands {
            assert!(general.contains(name), "{program} --help names {name}");
            let output = command(program).args([name, "--help"]).output().unwrap();
            assert!(output.status.success());
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(
                text.contains(&format!("Example:\n  {program} {name}")),
                "{program} {name} --help:\n{text}"
            );
        }
    }
}
