//! What the programs say: help, and one sentence with exit status 1 or 2 for everything that a user of `pacd` can get
//! wrong; that of `rscert` is in the tests of `runtime`.
//!
//! The sentences are snapshots, to be read as a user would; `cargo insta review` or `INSTA_UPDATE=always` renews them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path, process::Stdio, thread::sleep, time::Duration};

use mithridate_testkit::{
    program::{Program, workspace},
    sentences,
};
use mithridate_tests::{bars, command, trained, trained_with};

/// A case: what is wrong, and the arguments.
type Case<'a> = (&'a str, Vec<&'a str>);

/// Runs each case in `folder` and lists what was said.
fn sentences(folder: &Path, cases: &[Case<'_>]) -> String {
    let run = |(what, arguments): &Case<'_>| {
        let output = command("pacd").current_dir(folder).args(arguments).output().unwrap();
        ((*what).to_owned(), output)
    };
    let text = sentences::list(folder, cases.iter().map(run));
    text.replace(&workspace().join("").display().to_string(), "[WORKSPACE]/")
}

/// A folder with a small data set, a network and a model of it, and the ways in which these can be broken.
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
    cut("weights.safetensors", "cut.safetensors");
    for name in ["small", "cut", "cifar"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    bars(&folder.join("small"), 12, 4, 60, 20);
    for part in ["train-images-idx3", "train-labels-idx1", "t10k-labels-idx1"] {
        let name = format!("{part}-ubyte");
        fs::copy(folder.join("data").join(&name), folder.join("cut").join(&name)).unwrap();
    }
    cut("data/t10k-images-idx3-ubyte", "cut/t10k-images-idx3-ubyte");
    fs::write(folder.join("cifar/test_batch.bin"), [0; 3000]).unwrap();
    fs::write(folder.join("file"), "").unwrap();
}

/// Starts a run and kills it when its checkpoint is there.
fn interrupted(folder: &Path, arguments: &[&str]) {
    let mut run = Program::built("pacd").command(folder, arguments);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
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
        ("data that do not exist", train(&["--data", "none"])),
        ("test data cut short", train(&["--data", "cut"])),
        ("training on one file", train(&["--data", "data/train-images-idx3-ubyte"])),
        ("a folder without training data", train(&["--data", "cifar"])),
        ("more images than there are", train(&["--images", "1000"])),
        ("no images", train(&["--images", "0"])),
        ("a network that does not exist", train(&["--network", "vgg"])),
        ("a network too large for the images", train(&["--data", "small", "--network", "lenet"])),
        ("a method that does not exist", train(&["--method", "magic"])),
        ("a negative sigma", train(&["--sigma", "-1"])),
        ("no epochs", train(&["--epochs", "0"])),
        ("an output folder that is a file", train(&["--out", "file/x"])),
        ("a folder that holds a network", train(&["--out", "linear"])),
        ("a poison set that does not exist", train(&["--poison", "none"])),
        ("a device that does not exist", train(&["--device", "gpu"])),
        ("a device this machine lacks", train(&["--device", "cuda:7"])),
        ("settings within settings of the wrong type", train(&["--config", "training.toml"])),
        ("settings of another command", train(&["--config", "attack.toml"])),
        ("a preset for training that does not exist", train(&["--preset", "paper"])),
        ("a setting of training that does not exist", train(&["--set", "epoch=3"])),
        ("an optimiser that does not exist", train(&["--optimiser", "adamw"])),
        ("a schedule that does not exist", train(&["--schedule", "linear"])),
        ("a schedule that does not exist, by name", train(&["--set", "schedule=cosin"])),
        ("a negative weight decay", train(&["--weight-decay", "-1"])),
        ("a momentum of 1", train(&["--set", "momentum=1"])),
        ("a crop wider than the images", train(&["--crop", "16"])),
        ("an adversary without steps", train(&["--set", "smoothadv.steps=0"])),
        ("a clamp that leaves nothing", train(&["--set", "macer.clamp=0.5"])),
        ("a training that diverges", train(&["--rate", "1e38", "--epochs", "1", "--method", "erm"])),
        ("checkpoints every -1", train(&["--checkpoint-every=-1"])),
        ("training there", train(&["--out", "begun"])),
        ("training where a checkpoint is torn", train(&["--out", "torn-attack"])),
        ("training on poison whose manifest is torn", train(&["--poison", "torn"])),
    ]
}

/// `pacd poison`.
fn poison_cases() -> Vec<Case<'static>> {
    vec![
        ("a negative epsilon", poison(&["--epsilon", "-0.1"])),
        ("an epsilon below one step", poison(&["--epsilon", "0.001"])),
        ("a class outside the classes", poison(&["--class", "4"])),
        ("a solver that does not exist", poison(&["--solver", "magic"])),
        ("no steps", poison(&["--steps", "0"])),
        ("a poison rate of 0", poison(&["--rate", "0"])),
        ("settings with a key that does not exist", poison(&["--config", "attack.toml"])),
        ("settings of the wrong type", poison(&["--config", "type.toml"])),
        ("settings that do not exist", poison(&["--config", "none.toml"])),
        ("a preset that does not exist", poison(&["--preset", "official"])),
        ("a preset that does not exist, by name", poison(&["--set", "preset=oficial-mnist"])),
        ("a class twice", poison(&["--class", "1,1"])),
        ("class 9 of 4", poison(&["--class", "9"])),
        ("a class that is no number", poison(&["--class", "a"])),
        ("no class", poison(&["--class", ""])),
        ("all classes", poison(&["--class", "0,1,2,3"])),
        ("a share of 0", poison(&["--share", "0"])),
        ("a share of 2", poison(&["--share", "2"])),
        ("a share that is no number", poison(&["--share", "half"])),
        ("a setting without a value", poison(&["--set", "damping"])),
        ("a setting that does not exist", poison(&["--set", "dampin=1"])),
        ("a setting of the wrong type", poison(&["--set", "damping=much"])),
        ("a negative number where none can be", poison(&["--set", "steps=-3"])),
        ("a setting within a setting", poison(&["--set", "damping.x=1"])),
        ("a setting within a table that does not exist", poison(&["--set", "macer.noise=3"])),
        ("a crop wider than attacked images", poison(&["--set", "crop=20"])),
        ("no restarts", poison(&["--restarts", "0"])),
        ("no snapshots", poison(&["--set", "snapshots=0"])),
        ("Adam by slot without slots", poison(&["--set", "step=slot-adam"])),
        ("unrolling what is solved", poison(&["--network", "linear", "--set", "differentiation=unrolled"])),
        ("cropping what is solved", poison(&["--network", "linear", "--set", "crop=2"])),
        ("checkpoints every x", poison(&["--checkpoint-every", "x"])),
        ("poison where another attack was interrupted", poison(&["--out", "begun", "--seed", "2"])),
        ("random poison there", poison(&["--out", "begun", "--attack", "random"])),
        ("poison where a checkpoint is torn", poison(&["--out", "torn-attack"])),
        ("poison where there is some", poison(&["--out", "set"])),
        ("an output folder that can't be made", poison(&["--out", "file/x"])),
    ]
}

/// `pacd experiment`.
fn experiment_cases() -> Vec<Case<'static>> {
    vec![
        ("an experiment with a preset that does not exist", vec!["experiment", "preset.toml"]),
        ("no jobs", vec!["experiment", "images.toml", "--jobs", "0"]),
        ("an experiment that does not exist", vec!["experiment", "none.toml"]),
        ("an experiment with a key that does not exist", vec!["experiment", "key.toml"]),
        ("an experiment with a value that does not exist", vec!["experiment", "value.toml"]),
        ("an experiment with a negative epsilon", vec!["experiment", "epsilon.toml"]),
        ("an experiment that is no TOML", vec!["experiment", "syntax.toml"]),
        ("an experiment with too little data", vec!["experiment", "images.toml"]),
        ("an experiment without a certifier", vec!["experiment", "small.toml", "--rscert", "none"]),
    ]
}

/// `pacd inspect`.
fn inspect_cases() -> Vec<Case<'static>> {
    vec![
        ("inspecting a folder that does not exist", inspect(&["none"])),
        ("inspecting a folder that is nothing", inspect(&["data"])),
        ("inspecting a file", inspect(&["model.onnx"])),
        ("inspecting a manifest that is text", inspect(&["torn"])),
        ("inspecting a manifest of another schema", inspect(&["new"])),
        ("inspecting a report cut short", inspect(&["torn-network"])),
        ("inspecting a torn checkpoint", inspect(&["torn-attack"])),
        ("a picture of an interrupted attack", inspect(&["begun", "--picture", "p.svg"])),
        ("inspecting a poison set without its data", vec!["inspect", "set"]),
        ("inspecting with data that do not exist", vec!["inspect", "set", "--data", "none"]),
        ("inspecting with data of another size", vec!["inspect", "set", "--data", "small"]),
        ("inspecting with too few data", vec!["inspect", "set", "--data", "little"]),
        ("a picture with an unknown ending", inspect(&["set", "--picture", "p.jpg"])),
        ("a picture without an ending", inspect(&["set", "--picture", "p"])),
        ("a picture that can't be written", inspect(&["set", "--picture", "file/p.svg"])),
        ("a picture of no images", inspect(&["set", "--picture", "p.svg", "--images", "0"])),
        ("images into a folder that is not empty", inspect(&["set", "--export", "data"])),
        ("images into a file", inspect(&["set", "--export", "file"])),
        ("a picture of a network", inspect(&["linear", "--picture", "p.svg"])),
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
        ("weights that do not exist", export("none")),
        ("weights cut short", export("cut.safetensors")),
        (
            "an export in the place of the weights",
            vec!["export", "--weights", "weights.safetensors", "--out", "./weights.safetensors"],
        ),
        ("a reference in the place of the weights", precise(&["--reference", "weights.safetensors"])),
        ("weights that are text", export("text.onnx")),
        ("a precision that does not exist", precise(&["--precision", "int4"])),
        ("8 bits without calibration", precise(&["--precision", "int8"])),
        ("calibration for float16", precise(&["--precision", "float16", "--calibration", "data"])),
        ("calibration on data that do not exist", precise(&["--precision", "int8", "--calibration", "none"])),
        ("calibration on data of another size", precise(&["--precision", "int8", "--calibration", "small"])),
        (
            "calibration at sigma 0",
            precise(&["--precision", "int8", "--calibration", "data", "--sigma", "0"]),
        ),
        ("a sigma without calibration", precise(&["--sigma", "0.25"])),
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
        ),
        ("measuring a network that does not exist", vec!["bench", "--network", "vgg"]),
        ("measuring a network that is solved", vec!["bench", "--network", "linear"]),
        ("measuring nothing", vec!["bench", "--repeats", "0"]),
        ("measuring no images", vec!["bench", "--images", "0"]),
        ("measuring an empty batch", vec!["bench", "--batch", "0"]),
        ("measuring a batch without poison", vec!["bench", "--batch", "4"]),
        ("measuring no noises", vec!["bench", "--validation-noises", "0"]),
        ("measuring with a setting that does not exist", vec!["bench", "--set", "dampin=1"]),
        ("measuring on a device this machine lacks", vec!["bench", "--device", "cuda:7"]),
        ("measuring where every softmax is saturated", hopeless),
        ("a reference others can't compute", vec!["bench", "--method", "macer", "--reference", "r"]),
        ("a reference that can't be written", unwritable),
        ("no command", vec![]),
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
    insta::assert_snapshot!("pacd_sentences", sentences(folder, &cases));
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
    fs::write(folder.join("notes.svg"), "not drawn by anybody").unwrap();
    let cases = [
        ("no file", vec![]),
        ("an unknown ending", vec!["--out", "p.jpg"]),
        ("a folder that can't be made", vec!["--out", "file/p.svg"]),
        ("a folder in the place of the file", vec!["--out", "folder.svg"]),
        ("something else in the place of the file", vec!["--out", "notes.svg"]),
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
    .map(|(what, arguments)| (what, [vec!["boundary"], arguments].concat()));
    insta::assert_snapshot!("boundary_sentences", sentences(folder, &cases));
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
