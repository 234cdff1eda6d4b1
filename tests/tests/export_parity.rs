//! A network exported to ONNX gives libtorch's logits under two independent engines.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use mithridate_runtime::backend::{Classifier, OnnxClassifier, OnnxRuntime, Provider};
use mithridate_tests::{bars, command, trained};
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

fn compare(engine: &str, network: &str, found: &[f32], reference: &Reference) {
    assert_eq!(found.len(), reference.logits.len());
    let classes = reference.logits.len() / reference.count;
    let mut worst = 0.0_f32;
    for (found, expected) in found.chunks(classes).zip(reference.logits.chunks(classes)) {
        let size = expected.iter().fold(0.0_f32, |size, logit| size.max(logit.abs()));
        for (a, b) in found.iter().zip(expected) {
            worst = worst.max((a - b).abs() / size);
        }
    }
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

#[test]
fn logits_are_those_of_libtorch_on_a_thousand_inputs() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path(), 28, 10, 220, 30);
    for network in ["lenet", "mlp", "linear"] {
        let weights = trained(folder.path(), folder.path(), network).join("weights.safetensors");
        let model = folder.path().join(format!("{network}.onnx"));
        let reference = export(&weights, &model, &[]);
        assert_eq!(reference.count, 1000);
        compare("ONNX Runtime", network, &under_onnx_runtime(&model, &reference), &reference);
        compare("tract", network, &under_tract(&model, &reference), &reference);
    }
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
