//! A LeNet exported in float16 and in 8-bit integers votes as it does in float32, on noisy test images of MNIST.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use mithridate_runtime::{
    backend::{Classifier, InputOptions, OnnxModel, OnnxRuntime, Provider, vote},
    certify::Vote,
    data::{Dataset, Split},
    noise::{Distribution, Noise, NoiseKey, Role},
    units::Sigma,
};
use mithridate_testkit::program::workspace;
use mithridate_tests::{bars, command, trained_with};

/// Test images, and noisy samples of each.
const IMAGES: usize = 500;
const SAMPLES: usize = 40;

/// MNIST where it is there, else made-up images of its size; whether it is MNIST.
fn data(folder: &Path) -> (PathBuf, bool) {
    let mnist = workspace().join("data/mnist");
    if mnist.join("train-images-idx3-ubyte").is_file() {
        return (mnist, true);
    }
    eprintln!(
        "there is no MNIST in data/mnist, which `python3 scripts/setup.py mnist` fetches: made-up images"
    );
    bars(folder, 28, 10, 2100, IMAGES);
    (folder.to_owned(), false)
}

/// Exports weights in a precision; returns the model.
fn export(weights: &Path, precision: &str, flags: &[&str]) -> PathBuf {
    let out = weights.with_file_name(format!("{precision}.onnx"));
    let mut export = command("pacd");
    export.arg("export").arg("--weights").arg(weights).arg("--out").arg(&out);
    export.args(["--precision", precision]).args(flags).assert().success();
    out
}

fn open(model: &Path) -> OnnxModel {
    OnnxModel::open(&OnnxRuntime::load().unwrap(), model, &InputOptions::default()).unwrap()
}

/// The class that a model votes for, input by input.
fn votes(model: &OnnxModel, inputs: &[f32]) -> Vec<Vote> {
    let mut classifier = model.classifier(&OnnxRuntime::load().unwrap(), Provider::Cpu, 2).unwrap();
    let (mut votes, mut logits) = (Vec::new(), Vec::new());
    for batch in inputs.chunks(SAMPLES * classifier.input_len()) {
        classifier.logits(batch, &mut logits).unwrap();
        votes.extend(logits.chunks(classifier.classes()).map(vote));
    }
    votes
}

/// Test images with noise, and their labels.
fn noisy(data: &Path) -> (Vec<f32>, Vec<Vote>) {
    let data = Dataset::open(data, Split::Test).unwrap();
    let noise = Noise::new(Distribution::Gaussian, Sigma::new(0.25).unwrap()).unwrap();
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for index in 0..IMAGES {
        let image = pixels(&data, index);
        let mut samples = vec![0.0; SAMPLES * image.len()];
        let key = NoiseKey { seed: 1, role: Role::Estimation, input: index as u64, block: 0 };
        noise.add(&key, &image, &mut samples);
        inputs.append(&mut samples);
        labels.extend([Vote::from(data.labels()[index]); SAMPLES]);
    }
    (inputs, labels)
}

fn pixels(data: &Dataset, index: usize) -> Vec<f32> {
    data.pixels(index).iter().map(|&pixel| f32::from(pixel) / 255.0).collect()
}

#[test]
fn votes_in_reduced_precision_are_nearly_all_those_of_float32() {
    let folder = tempfile::tempdir().unwrap();
    let (data, is_mnist) = data(folder.path());
    let flags = ["--images", "2000", "--epochs", "3", "--sigma", "0.25"];
    let weights = trained_with(folder.path(), &data, "lenet", &flags).join("weights.safetensors");
    let (inputs, labels) = noisy(&data);
    let float32 = open(&export(&weights, "float32", &[]));
    let reference = votes(&float32, &inputs);
    let right = reference.iter().zip(&labels).filter(|(a, b)| a == b).count() as f64 / labels.len() as f64;
    println!("float32: {:.2} % of {} noisy samples right", 100.0 * right, labels.len());
    assert!(right > if is_mnist { 0.85 } else { 0.5 }, "{right}");
    let calibration = ["--calibration", data.to_str().unwrap()];
    for (precision, flags, most) in [("float16", &[][..], 0.001), ("int8", &calibration, 0.005)] {
        let model = open(&export(&weights, precision, flags));
        assert_eq!((model.precision(), model.metadata.precision.as_deref()), (precision, Some(precision)));
        assert_eq!(model.summary.inputs, float32.summary.inputs);
        assert_eq!(model.summary.outputs, float32.summary.outputs);
        assert_eq!(model.summary.parameters, float32.summary.parameters);
        let found = votes(&model, &inputs);
        let changed =
            found.iter().zip(&reference).filter(|(a, b)| a != b).count() as f64 / found.len() as f64;
        println!("{precision}: {:.3} % of votes changed", 100.0 * changed);
        assert!(changed < most, "{precision}: {changed}");
        // A model that is the same one would prove nothing.
        assert!(changed > 0.0 || precision == "float16", "8 bits change a vote");
    }
}

/// A residual network, whose sums and mean over pixels work on integers too.
#[test]
fn a_residual_network_survives_8_bits() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path(), 28, 10, 420, 100);
    let flags = ["--images", "400", "--epochs", "5", "--batch", "20", "--rate", "0.003"];
    let weights = trained_with(folder.path(), folder.path(), "resnet20", &flags).join("weights.safetensors");
    let data = Dataset::open(folder.path(), Split::Test).unwrap();
    let inputs: Vec<f32> = (0..100).flat_map(|index| pixels(&data, index)).collect();
    let reference = votes(&open(&export(&weights, "float32", &[])), &inputs);
    for precision in ["float16", "int8"] {
        let calibration = ["--calibration", folder.path().to_str().unwrap()];
        let flags = if precision == "int8" { &calibration[..] } else { &[] };
        let model = open(&export(&weights, precision, flags));
        let normalisations = model.summary.operators.get("BatchNormalization").copied();
        assert_eq!(normalisations, if precision == "int8" { None } else { Some(19) });
        let found = votes(&model, &inputs);
        let changed = found.iter().zip(&reference).filter(|(a, b)| a != b).count();
        println!("resnet20, {precision}: {changed} of 100 votes changed");
        assert!(changed <= 3, "{precision}: {changed}");
    }
}
