//! `pacd bench`: what it reports, and that another implementation computes the same hypergradient from the file that it
//! writes. How fast anything is, is not asserted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{env, fs, process::Command};

use mithridate_testkit::program::workspace;
use mithridate_tests::command;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Settings that take a fraction of a second.
const SMALL: [&str; 12] = [
    "--batch",
    "20",
    "--images",
    "7",
    "--validation-batch",
    "40",
    "--validation-noises",
    "3",
    "--repeats",
    "2",
    "--threads",
    "1",
];

fn bench(flags: &[&str]) -> Value {
    let output = command("pacd").arg("bench").args(SMALL).args(flags).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_report_has_every_part_and_counts_what_was_done() {
    let document = bench(&["--network", "mlp", "--solver-steps", "4"]);
    assert_eq!(document["network"], "mlp");
    assert_eq!(document["method"], "gaussian");
    assert_eq!(document["threads"], 1);
    let report = &document["report"];
    // 784 inputs, two hidden layers of 256, 10 classes, each with biases.
    assert_eq!(report["parameters"], 785 * 256 + 257 * 256 + 257 * 10);
    assert_eq!(report["image_shape"], serde_json::json!([1, 28, 28]));
    assert_eq!(report["images"], 7);
    // Conjugate gradients take a product an iteration, and one more says what residual is left.
    assert_eq!((&report["iterations"], &report["products"]), (&4.into(), &5.into()));
    let times = &report["milliseconds"];
    let expected = [
        "attack_step",
        "hypergradient",
        "inner_graph",
        "mixed_product",
        "noise",
        "outer_gradient",
        "product",
        "solve",
        "training_step",
    ];
    assert_eq!(keys(times), expected);
    for name in expected {
        assert!(times[name].as_f64().unwrap() > 0.0, "{name}: {times}");
    }
    let rate = report["training_images_per_second"].as_f64().unwrap();
    let time = times["training_step"].as_f64().unwrap();
    assert!((rate * time / 1e3 / 20.0 - 1.0).abs() < 1e-9, "20 images in {time} ms are {rate} a second");
}

#[test]
fn every_method_and_solver_is_measured() {
    for flags in [
        ["--network", "mlp", "--method", "erm", "--solver", "minres", "--curvature", "hessian"],
        ["--network", "mlp", "--method", "smoothadv", "--solver", "normal-cg", "--set", "smoothadv.noises=2"],
        ["--network", "linear", "--method", "macer", "--solver", "neumann", "--set", "macer.noises=2"],
        [
            "--network",
            "mlp",
            "--method",
            "gaussian",
            "--solver",
            "least-squares-adam",
            "--set",
            "same_batch=true",
        ],
    ] {
        let report = &bench(&flags)["report"];
        let time = report["milliseconds"]["solve"].as_f64();
        assert!(time.unwrap() > 0.0 && report["products"].as_u64().unwrap() > 0, "{flags:?}: {report}");
    }
    // Differentiated through training steps, there is no linear system.
    let report = &bench(&["--network", "mlp", "--set", "differentiation=unrolled"])["report"];
    assert_eq!(report["milliseconds"]["solve"], Value::Null);
    assert!(report["milliseconds"]["hypergradient"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_reference_file_holds_what_the_hypergradient_is_computed_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reference.safetensors");
    bench(&["--network", "mlp", "--reference", path.to_str().unwrap()]);
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let shape = |name: &str| file.tensor(name).unwrap().shape().to_vec();
    assert_eq!(shape("batch.inputs"), [20, 1, 28, 28]);
    assert_eq!(shape("validation.images"), [40, 1, 28, 28]);
    assert_eq!(shape("validation.noise"), [120, 1, 28, 28]);
    assert_eq!(shape("poison.inputs"), [7, 1, 28, 28]);
    assert_eq!(shape("hypergradient"), [7, 1, 28, 28]);
    assert_eq!(file.tensor("batch.labels").unwrap().dtype(), Dtype::I64);
    for number in 0..6 {
        let of = |name: &str| shape(&format!("{name}.{number}"));
        assert_eq!(of("p"), of("parameter"));
        assert_eq!(of("outer_gradient"), of("parameter"));
    }
    let hypergradient = file.tensor("hypergradient").unwrap();
    assert!(hypergradient.data().iter().any(|&byte| byte != 0), "it is not zero");
}

/// The program in PyTorch, whose mathematics was written without this project's code. Where Python has no PyTorch there
/// is nothing to compare with, and the test says so; `MITHRIDATE_PYTHON` names another Python.
#[test]
fn pytorch_computes_the_same_hypergradient() {
    let python = env::var("MITHRIDATE_PYTHON").unwrap_or_else(|_| "python3".into());
    let imports = Command::new(&python).args(["-c", "import torch, safetensors"]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no torch and safetensors");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reference.safetensors");
    for (curvature, method) in
        [("gauss-newton", "gaussian"), ("hessian", "gaussian"), ("gauss-newton", "erm")]
    {
        let file = path.to_str().unwrap();
        // Conjugate gradients carry the rounding of their products on: few iterations.
        let ours = bench(&[
            "--network",
            "lenet",
            "--curvature",
            curvature,
            "--method",
            method,
            "--solver-steps",
            "3",
            "--reference",
            file,
        ]);
        let program = workspace().join("examples/peers/hypergradient.py");
        let peer = Command::new(&python)
            .arg(program)
            .args(["--repeats", "0", "--threads", "1", "--reference", file])
            .output()
            .unwrap();
        assert!(peer.status.success(), "{}", String::from_utf8_lossy(&peer.stderr));
        let peer: Value = serde_json::from_slice(&peer.stdout).unwrap();
        assert_eq!(peer["iterations"], ours["report"]["iterations"], "{curvature}, {method}");
        for name in
            ["relative_difference", "relative_difference_given_p", "relative_difference_of_outer_gradient"]
        {
            assert!(peer[name].as_f64().unwrap() < 1e-4, "{curvature}, {method}, {name}: {peer}");
        }
    }
}
