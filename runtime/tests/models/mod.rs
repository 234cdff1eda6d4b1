//! Models as others make them: each form of one classifier gives the logits that plain numbers give, or is refused
//! with a sentence that says why.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hostile;
mod operators;
mod program;
mod scores;
mod smoothing;

use std::path::Path;

use mithridate_onnx::{
    ElementType,
    messages::{ModelProto, StringStringEntryProto},
};
use mithridate_runtime::backend::{
    Batching, Classifier, InputOptions, Layout, OnnxModel, OnnxRuntime, OutputKind, Provider,
};
use mithridate_runtime::evidence::ExternalSource;
use mithridate_testkit::{numbers, zoo};

/// Writes a model into a folder and opens it.
fn open(folder: &Path, model: &ModelProto, reading: &InputOptions) -> Result<OnnxModel, String> {
    let path = folder.join("model.onnx");
    mithridate_onnx::write(model, &path).unwrap();
    OnnxModel::open(&OnnxRuntime::load().unwrap(), &path, reading).map_err(|error| error.to_string())
}

/// The sentence that a model is refused with.
fn refused(model: &ModelProto, reading: &InputOptions) -> String {
    let folder = tempfile::tempdir().unwrap();
    let text = open(folder.path(), model, reading).unwrap_err();
    assert!(!text.contains('\n') && !text.is_empty(), "one sentence: {text}");
    text
}

fn named(output: &str) -> InputOptions {
    InputOptions { output: Some(output.into()), ..InputOptions::default() }
}

fn logits(model: &OnnxModel, images: &[f32]) -> Vec<f32> {
    let mut classifier = model.classifier(&OnnxRuntime::load().unwrap(), Provider::Cpu, 1).unwrap();
    let mut found = Vec::new();
    let batch =
        model.batching.size().unwrap_or(7) * images.len() / model.image_shape().iter().product::<usize>();
    let batch = model.batching.size().unwrap_or(batch.max(1));
    for part in images.chunks(batch * classifier.input_len()) {
        // A fixed batch is filled up, as a run does.
        let mut padded = part.to_vec();
        padded.resize(
            part.len().next_multiple_of(model.batching.size().unwrap_or(1) * classifier.input_len()),
            0.0,
        );
        let mut rows = Vec::new();
        classifier.logits(&padded, &mut rows).unwrap();
        rows.truncate(part.len() / classifier.input_len() * model.classes());
        found.extend(rows);
    }
    found
}

/// Images in [0, 1].
fn images(count: usize) -> Vec<f32> {
    numbers(count * zoo::VALUES, 9).into_iter().map(|value| 0.5 + value / 2.0).collect()
}

/// Opens a model for images of the zoo and compares its logits with those in plain numbers.
fn check(model: &ModelProto, reading: InputOptions, tolerance: f32) -> OnnxModel {
    let folder = tempfile::tempdir().unwrap();
    let reading = InputOptions { image: Some(zoo::IMAGE), ..reading };
    let opened = open(folder.path(), model, &reading).unwrap();
    let images = images(7);
    let (found, expected) = (logits(&opened, &images), zoo::expected(&images));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < tolerance, "{found} and not {expected}");
    }
    opened
}

#[test]
fn a_fixed_batch_becomes_symbolic_where_it_can() {
    for (model, batching) in [
        (zoo::plain(0), Batching::Symbolic),
        (zoo::plain(1), Batching::Rewritten { from: 1 }),
        (zoo::reshaped(1), Batching::Rewritten { from: 1 }),
        (zoo::reshaped(4), Batching::Rewritten { from: 4 }),
        (zoo::stubborn(2), Batching::Fixed { size: 2 }),
        (zoo::stubborn(5), Batching::Fixed { size: 5 }),
    ] {
        assert_eq!(check(&model, InputOptions::default(), 1e-4).batching, batching);
    }
}

#[test]
fn channels_may_come_last() {
    let opened = check(&zoo::channels_last(), InputOptions::default(), 1e-4);
    assert_eq!(opened.preprocessing.layout, Layout::Nhwc);
}

#[test]
fn other_types_of_numbers_are_taken() {
    assert_eq!(
        check(&zoo::of_type(ElementType::Float16), InputOptions::default(), 0.05).precision(),
        "float16"
    );
    assert_eq!(
        check(&zoo::of_type(ElementType::Double), InputOptions::default(), 1e-4).precision(),
        "float64"
    );
    check(&zoo::quantised(), InputOptions::default(), 0.3);
}

#[test]
fn ranges_and_normalisation_are_applied_after_the_noise() {
    let reading = |range, mean: Option<&[f64]>, std: Option<&[f64]>| InputOptions {
        range,
        mean: mean.map(<[f64]>::to_vec),
        std: std.map(<[f64]>::to_vec),
        ..InputOptions::default()
    };
    check(&zoo::normalising(&[0.0], &[1.0 / 255.0]), reading(Some([0.0, 255.0]), None, None), 1e-3);
    check(&zoo::normalising(&[1.0], &[0.5]), reading(Some([-1.0, 1.0]), None, None), 1e-3);
    // The model undoes what it wants done: v = (x − mean) / std, so x = (v + mean / std) · std.
    let (mean, std) = ([0.5, 0.25, 0.125], [0.25, 0.5, 0.125]);
    let model = zoo::normalising(&[2.0, 0.5, 1.0], &[0.25, 0.5, 0.125]);
    let opened = check(&model, reading(None, Some(&mean), Some(&std)), 1e-3);
    assert_eq!(opened.preprocessing.scale(3), [4.0, 2.0, 8.0]);
    // Both, with one number for all channels: (255x − 127.5) / 51.
    let opened = check(
        &zoo::normalising(&[2.5], &[0.2]),
        reading(Some([0.0, 255.0]), Some(&[127.5]), Some(&[51.0])),
        1e-3,
    );
    assert_eq!(opened.preprocessing.scale(3), [5.0, 5.0, 5.0]);
}

#[test]
fn an_output_is_chosen_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = zoo::softmax_among_others();
    let error = open(folder.path(), &model, &InputOptions::default()).unwrap_err();
    assert!(
        error.contains("with the logits or probabilities by `output`")
            && error.contains("scores/logits:0: float [n, 5]"),
        "{error}"
    );
    let named = |name: &str| InputOptions { output: Some(name.into()), ..InputOptions::default() };
    assert_eq!(check(&model, named("scores/logits:0"), 1e-4).kind, OutputKind::Logits);
    let opened = open(folder.path(), &model, &named("probabilities")).unwrap();
    assert_eq!(opened.kind, OutputKind::Probabilities);
    let images = images(5);
    let largest = |rows: &[f32]| -> Vec<usize> {
        let of = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        rows.chunks(zoo::CLASSES).map(of).collect()
    };
    assert_eq!(largest(&logits(&opened, &images)), largest(&zoo::expected(&images)));
    assert!(open(folder.path(), &model, &named("label")).unwrap_err().contains("label: int64"));
}

#[test]
fn height_and_width_are_those_of_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let reading = InputOptions { image: Some([3, 2, 5]), ..InputOptions::default() };
    let opened = open(folder.path(), &zoo::any_size(), &reading).unwrap();
    let images: Vec<f32> = (0..30).map(|value| value as f32).collect();
    assert_eq!(logits(&opened, &images), [4.5, 14.5, 24.5]);
}

#[test]
fn an_input_with_a_default_need_not_be_given_and_old_operator_sets_run() {
    let mut model = zoo::plain(0);
    zoo::constants_as_inputs(&mut model);
    check(&model, InputOptions::default(), 1e-4);
    for (ir, opset) in [(3, 9), (7, 13), (10, 21)] {
        model.ir_version = Some(ir);
        model.opset_import[0].version = Some(opset);
        check(&model, InputOptions::default(), 1e-4);
    }
}

#[test]
fn answers_that_depend_on_the_batch_are_asked_for_one_by_one_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        open(folder.path(), &zoo::entangled(0), &InputOptions::default()).unwrap().batching,
        Batching::Single
    );
    assert_eq!(
        open(folder.path(), &zoo::entangled(1), &InputOptions::default()).unwrap().batching,
        Batching::Fixed { size: 1 }
    );
    let error = open(folder.path(), &zoo::entangled(3), &InputOptions::default()).unwrap_err();
    assert!(error.contains("depends on the 2 other inputs of the batch"), "{error}");
    // The first answer of a sequence depends on no other.
    assert_eq!(
        open(folder.path(), &zoo::sequence(0), &InputOptions::default()).unwrap().batching,
        Batching::Single
    );
    for (model, others) in [(zoo::sequence(3), 2), (zoo::placed(), 3)] {
        let error = open(folder.path(), &model, &InputOptions::default()).unwrap_err();
        assert!(error.contains(&format!("depends on the {others} other inputs of the batch")), "{error}");
    }
}

#[test]
fn answers_that_are_random_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for size in [0, 1, 3] {
        let error = open(folder.path(), &zoo::random(size), &InputOptions::default()).unwrap_err();
        assert!(error.contains("depends on RandomNormalLike"), "{size}: {error}");
    }
}

/// Moves the weights of a model into a file beside it.
fn with_external_weights(mut model: ModelProto, location: &str) -> (ModelProto, Vec<u8>) {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    let mut bytes = Vec::new();
    for tensor in &mut model.graph.as_mut().unwrap().initializer {
        let data = tensor.raw_data.take().unwrap();
        tensor.data_location = Some(mithridate_onnx::messages::DataLocation::External as i32);
        tensor.external_data = vec![
            entry("location", location.into()),
            entry("offset", bytes.len().to_string()),
            entry("length", data.len().to_string()),
        ];
        bytes.extend(data);
    }
    (model, bytes)
}

#[test]
fn weights_may_lie_beside_the_model_also_where_the_batch_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("parts")).unwrap();
    for size in [0, 1] {
        let (model, bytes) = with_external_weights(zoo::plain(size), "parts/weights.bin");
        std::fs::write(folder.path().join("parts/weights.bin"), &bytes).unwrap();
        let reading = InputOptions { image: Some(zoo::IMAGE), ..InputOptions::default() };
        let opened = open(folder.path(), &model, &reading).unwrap();
        let sha256 = mithridate_runtime::data::sha256(&bytes);
        assert_eq!(opened.external, [ExternalSource { file: "parts/weights.bin".into(), sha256 }]);
        let images = images(3);
        for (found, expected) in logits(&opened, &images).iter().zip(zoo::expected(&images)) {
            assert!((found - expected).abs() < 1e-4, "{found} and not {expected}");
        }
    }
}
