//! A network exported to ONNX gives libtorch's logits under two independent engines.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use mithridate_onnx::messages::TensorProto;
use mithridate_runtime::backend::{Classifier, OnnxClassifier, OnnxRuntime, Provider};
use mithridate_tests::{bars, command, trained, trained_with};
use safetensors::SafeTensors;
use tract_onnx::prelude::*;

/// Largest difference allowed, relative to the largest logit of the input.
const TOLERANCE: f32 = 1e-5;

struct Reference {
    inputs: Vec<f32>,
    logits: Vec<f32>,
    count: usize,
}

fn export(weights: &Path, out: &Path, flags: &[&str]) -> Reference {
    let reference = out.with_extension("safetensors");
    let mut export = command("pacd");
    export
        .arg("export")
        .arg("--weights")
        .arg(weights)
        .arg("--out")
        .arg(out)
        .arg("--reference")
        .arg(&reference);
    export.args(flags).assert().success();
    let bytes = std::fs::read(reference).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).unwrap().data();
        data.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    };
    let count = file.tensor("inputs").unwrap().shape()[0];
    Reference { inputs: floats("inputs"), logits: floats("logits"), count }
}

/// Largest difference between logits of `count` inputs, relative to the largest logit of the input.
fn difference(found: &[f32], expected: &[f32], count: usize) -> f32 {
    assert_eq!(found.len(), expected.len());
    let classes = expected.len() / count;
    let mut worst = 0.0_f32;
    for (found, expected) in found.chunks(classes).zip(expected.chunks(classes)) {
        let size = expected.iter().fold(0.0_f32, |size, logit| size.max(logit.abs()));
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).is_finite(), "{a} and {b}");
            worst = worst.max((a - b).abs() / size);
        }
    }
    worst
}

fn compare(engine: &str, network: &str, found: &[f32], reference: &Reference) {
    let worst = difference(found, &reference.logits, reference.count);
    println!(
        "{network} under {engine}: largest relative difference {worst:e} over {} inputs",
        reference.count
    );
    assert!(worst <= TOLERANCE, "{network} under {engine}: {worst:e}");
}

fn under_onnx_runtime(model: &Path, reference: &Reference) -> Vec<f32> {
    let runtime = OnnxRuntime::load().unwrap();
    let mut classifier = OnnxClassifier::load(&runtime, model, Provider::Cpu, 1).unwrap();
    let mut logits = Vec::new();
    classifier.logits(&reference.inputs, &mut logits).unwrap();
    logits
}

fn under_tract(model: &Path, reference: &Reference) -> Vec<f32> {
    let shape = [reference.count, 1, 28, 28];
    let plan = onnx()
        .model_for_path(model)
        .unwrap()
        .with_input_fact(0, f32::fact(shape).into())
        .unwrap()
        .into_optimized()
        .unwrap()
        .into_runnable()
        .unwrap();
    let input = Tensor::from_shape(&shape, &reference.inputs).unwrap();
    let outputs = plan.run(tvec!(input.into())).unwrap();
    outputs[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect()
}

/// Compares both engines with libtorch, and returns the logits under ONNX Runtime.
fn under_both(network: &str, model: &Path, reference: &Reference) -> Vec<f32> {
    let logits = under_onnx_runtime(model, reference);
    compare("ONNX Runtime", network, &logits, reference);
    compare("tract", network, &under_tract(model, reference), reference);
    logits
}

/// Names of the operators in a model, and its constants.
fn contents(model: &Path) -> (Vec<String>, Vec<TensorProto>) {
    let graph = mithridate_onnx::read(model).unwrap().graph.unwrap();
    (graph.node.into_iter().map(|node| node.op_type.unwrap()).collect(), graph.initializer)
}

#[test]
fn logits_are_those_of_libtorch_on_a_thousand_inputs() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path(), 28, 10, 220, 30);
    for network in ["lenet", "mlp", "linear"] {
        let weights = trained(folder.path(), folder.path(), network).join("weights.safetensors");
        let model = folder.path().join(format!("{network}.onnx"));
        let reference = export(&weights, &model, &[]);
        assert_eq!(reference.count, 1000);
        under_both(network, &model, &reference);
    }
}

/// Large networks on fewer inputs, after ten steps of training.
fn large(network: &str, inputs: &str, norms: usize) {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path(), 28, 10, 60, 30);
    let few_steps = ["--images", "40", "--batch", "4", "--epochs", "1"];
    let weights = trained_with(folder.path(), folder.path(), network, &few_steps).join("weights.safetensors");
    let model = folder.path().join("plain.onnx");
    let reference = export(&weights, &model, &["--reference-inputs", inputs]);
    let plain = under_both(network, &model, &reference);
    let (operators, constants) = contents(&model);
    let count = |operators: &[String], name: &str| operators.iter().filter(|found| *found == name).count();
    assert_eq!(count(&operators, "BatchNormalization"), norms);
    for (part, fresh) in [("running_mean", 0.0), ("running_variance", 1.0)] {
        let of_part = constants.iter().filter(|constant| constant.name.as_ref().unwrap().ends_with(part));
        let values = of_part.map(|constant| {
            let bytes = constant.raw_data.as_ref().unwrap();
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect::<Vec<_>>()
        });
        let moved = values.filter(|values| values.iter().all(|&value| (value - fresh).abs() > 1e-6)).count();
        assert_eq!(moved, norms, "training moves every {part}");
    }

    let folded = folder.path().join("folded.onnx");
    let reference = export(&weights, &folded, &["--reference-inputs", inputs, "--fold-batch-norm"]);
    if norms == 0 {
        assert_eq!(std::fs::read(&folded).unwrap(), std::fs::read(&model).unwrap(), "nothing to fold");
        return;
    }
    assert_eq!(count(&contents(&folded).0, "BatchNormalization"), 0);
    assert_eq!(count(&contents(&folded).0, "Conv"), count(&operators, "Conv"));
    let folded = under_both(&format!("{network}, folded"), &folded, &reference);
    let between = difference(&folded, &plain, reference.count);
    println!("{network}: largest relative difference between folded and not {between:e}");
    assert!(between <= TOLERANCE, "{network}: {between:e}");
}

#[test]
fn logits_of_a_wide_cnn_are_those_of_libtorch() {
    large("wide-cnn", "200", 0);
}

#[test]
fn logits_of_resnet20_are_those_of_libtorch_folded_or_not() {
    large("resnet20", "200", 19);
}

#[test]
fn logits_of_resnet32_are_those_of_libtorch_folded_or_not() {
    large("resnet32", "200", 31);
}

#[test]
fn logits_of_resnet110_are_those_of_libtorch_folded_or_not() {
    large("resnet110", "32", 109);
}

#[test]
fn a_fixed_batch_is_fixed_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path(), 28, 10, 220, 30);
    let weights = trained(folder.path(), folder.path(), "linear").join("weights.safetensors");
    let model = folder.path().join("four.onnx");
    let reference = export(&weights, &model, &["--batch-size", "4", "--reference-inputs", "4"]);
    let summary = mithridate_onnx::summarize(&mithridate_onnx::read(&model).unwrap()).unwrap();
    assert_eq!(summary.inputs[0].to_string(), "image: float [4, 1, 28, 28]");
    compare("ONNX Runtime", "linear, batch 4", &under_onnx_runtime(&model, &reference), &reference);
}
