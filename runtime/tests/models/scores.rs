//! Outputs that are no scores, and labels beside them that contradict them or call classes by other numbers.

use std::{fs, path::Path};

use mithridate_onnx::{
    Dim, ElementType, GraphBuilder, ModelMetadata, Value, attributes::int, messages::ModelProto,
};
use mithridate_runtime::{
    backend::{BackendError, InputOptions, OnnxModel, OnnxRuntime, OutputKind},
    data::write_idx,
    evidence::read_evidence,
};
use ndarray::{Array1, Array2, ArrayD};
use serde_json::Value as Json;

use super::{check, named, open, program::rscert, refused, zoo};

/// The classifier of the zoo with something done to its logits.
fn ending(end: impl Fn(&mut GraphBuilder, &Value) -> Value) -> ModelProto {
    let mut graph = GraphBuilder::new("ending");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let z = end(&mut graph, &y);
    zoo::finish(graph, &[("scores", &z)])
}

#[test]
fn scores_with_their_sign_reversed_are_refused_whoever_names_them() {
    let one = |graph: &mut GraphBuilder| zoo::scalar(graph, "one", 1.0);
    for (model, expected) in [
        (
            ending(|graph, y| {
                let p = zoo::like(graph, "LogSoftmax", &[y]);
                zoo::like(graph, "Neg", &[&p])
            }),
            "holds logarithms of probabilities with their sign reversed",
        ),
        (
            ending(|graph, y| {
                let p = zoo::like(graph, "Softmax", &[y]);
                zoo::like(graph, "Neg", &[&p])
            }),
            "holds probabilities with their sign reversed",
        ),
        (
            ending(|graph, y| {
                let (one, p) = (one(graph), zoo::like(graph, "Softmax", &[y]));
                let p = zoo::like(graph, "Sub", &[&p, &one]);
                zoo::like(graph, "Neg", &[&p])
            }),
            "holds 1 minus the probabilities",
        ),
    ] {
        for reading in [InputOptions::default(), named("scores")] {
            assert!(refused(&model, &reading).contains(expected));
        }
    }
    let fine = ending(|graph, y| zoo::like(graph, "LogSoftmax", &[y]));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        open(folder.path(), &fine, &InputOptions::default()).unwrap().kind,
        OutputKind::LogProbabilities
    );
}

#[test]
fn rows_that_are_sorted_without_an_operator_for_it_are_refused_unless_named() {
    // Two scores: the larger and the smaller of a value and its negative.
    let model = ending(|graph, y| {
        let hundred = zoo::scalar(graph, "hundred", 100.0);
        let index = graph.tensor("first", ElementType::Int64, &[1], 0_i64.to_le_bytes().to_vec()).unwrap();
        let shape = vec![zoo::batch(0), Dim::Fixed(1)];
        let a = graph.operator("Gather", &[y, &index], vec![int("axis", 1)], ElementType::Float, shape);
        let a = zoo::like(graph, "Mul", &[&a, &hundred]);
        let a = zoo::like(graph, "Sin", &[&a]);
        let squared = zoo::like(graph, "Mul", &[&a, &a]);
        let a = zoo::like(graph, "Mul", &[&a, &squared]);
        let b = zoo::like(graph, "Neg", &[&a]);
        let (more, less) = (zoo::like(graph, "Max", &[&a, &b]), zoo::like(graph, "Min", &[&a, &b]));
        let shape = vec![zoo::batch(0), Dim::Fixed(2)];
        graph.operator("Concat", &[&more, &less], vec![int("axis", 1)], ElementType::Float, shape)
    });
    let text = refused(&model, &InputOptions::default());
    assert!(
        text.contains("each row of its output scores is sorted by size, for 64 of 64 generated images"),
        "{text}"
    );
    assert!(text.ends_with("confirm this with `output` scores"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path(), &model, &named("scores")).unwrap();
    assert!(opened.is_output_named && opened.notes.is_empty());
}

#[test]
fn rows_of_length_one_are_refused_unless_named() {
    let model = ending(|graph, y| zoo::like(graph, "LpNormalization", &[y]));
    assert!(
        refused(&model, &InputOptions::default())
            .contains("each row of its output scores has length 1, as an embedding has")
    );
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &model, &named("scores")).unwrap();
}

#[test]
fn votes_in_the_form_of_probabilities_are_taken() {
    // 1 for the best class, 0 for the others.
    let model = ending(|graph, y| {
        let shape = vec![zoo::batch(0)];
        let best = graph.operator(
            "ArgMax",
            &[y],
            vec![int("axis", 1), int("keepdims", 0)],
            ElementType::Int64,
            shape,
        );
        let depth = graph.tensor("depth", ElementType::Int64, &[1], 5_i64.to_le_bytes().to_vec()).unwrap();
        let values =
            graph.constant("values", &ArrayD::from_shape_vec(vec![2], vec![0.0, 1.0]).unwrap().view());
        let shape = y.shape().to_vec();
        graph.operator("OneHot", &[&best, &depth, &values], vec![int("axis", 1)], ElementType::Float, shape)
    });
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        open(folder.path(), &model, &InputOptions::default()).unwrap().kind,
        OutputKind::Probabilities
    );
}

#[test]
fn answers_that_are_always_the_same_are_refused_or_said() {
    // The input is not read at all.
    let blind = ending(|graph, _| {
        let drawn = graph.constant("zeros", &Array2::<f32>::zeros((1, zoo::VALUES)).view().into_dyn());
        let weight = graph.constant("other", &zoo::weights().view().into_dyn());
        graph.linear(&drawn, &weight, None).unwrap()
    });
    let folder = tempfile::tempdir().unwrap();
    let text = open(folder.path(), &blind, &InputOptions::default()).unwrap_err();
    assert!(text.contains("for 1 inputs its output") || text.contains("its output has shape"), "{text}");
    let dead = ending(|graph, y| {
        let zero = zoo::scalar(graph, "zero", 0.0);
        let bias = graph.constant("ends", &Array1::from_vec(vec![0.0, 1.0, 0.5, 0.0, 0.0]).view().into_dyn());
        let y = zoo::like(graph, "Mul", &[y, &zero]);
        zoo::like(graph, "Add", &[&y, &bias])
    });
    let opened = open(folder.path(), &dead, &InputOptions::default()).unwrap();
    assert!(
        opened.notes[0].contains("gives the same answer to all of 64 generated images"),
        "{:?}",
        opened.notes
    );
    assert!(check(&zoo::plain(0), InputOptions::default(), 1e-4).notes.is_empty());
}

#[test]
fn another_number_of_classes_than_declared_is_refused() {
    let mut model = zoo::plain(0);
    let other = zoo::batch(7);
    if let Some(mithridate_onnx::messages::TypeValue::Tensor(tensor)) =
        &mut model.graph.as_mut().unwrap().output[0].r#type.as_mut().unwrap().value
    {
        tensor.shape.as_mut().unwrap().dim[1] = (&other).into();
    }
    let text = refused(&model, &InputOptions::default());
    // ONNX Runtime looks too, where it knows the shape.
    assert!(text.contains("declared with 7 columns and has 5") || text.contains("can't load"), "{text}");
    let mut graph = GraphBuilder::new("names");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let names = Some(["ant", "bee", "cat", "dog"].map(Into::into).to_vec());
    let model = graph
        .finish(&[("logits", &y)], &ModelMetadata { class_names: names, ..ModelMetadata::default() })
        .unwrap();
    let text = refused(&model, &InputOptions::default());
    assert!(text.contains("its metadata name 4 classes, and its output logits has 5 columns"), "{text}");
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/skl2onnx_models").join(name)
}

fn open_fixture(name: &str) -> Result<OnnxModel, BackendError> {
    OnnxModel::open(&OnnxRuntime::load().unwrap(), &fixture(name), &InputOptions::default())
}

#[test]
fn labels_that_contradict_the_scores_are_refused() {
    for (name, expected) in [
        // Binary scores in the wrong order.
        ("svc_two.onnx", "its output label contradicts its output probabilities: for 256 of 256 inputs"),
        // The label is that of most pairs of classes.
        ("svc_ten.onnx", "its output label contradicts its output probabilities: for "),
        ("svc_probability.onnx", "its output label contradicts its output probabilities: for "),
        // Scores of 45 pairs of 10 classes, said to be 10.
        ("svc_pairs.onnx", "its output probabilities is declared with 10 columns and has 45"),
    ] {
        let text = open_fixture(name).unwrap_err().to_string();
        assert!(text.contains(expected) && !text.contains('\n'), "{name}: {text}");
    }
}

#[test]
fn labels_of_the_largest_scores_name_the_classes() {
    for (name, expected) in [
        ("logistic_ten.onnx", &[][..]),
        ("logistic_some.onnx", &["3", "5", "8"]),
        ("mlp_some.onnx", &["3", "5", "8"]),
        ("forest_names.onnx", &["eight", "five", "three"]),
    ] {
        let model = open_fixture(name).unwrap();
        assert_eq!(model.class_labels, expected, "{name}");
        assert_eq!(model.output(), "probabilities");
    }
}

#[test]
fn labels_are_compared_on_given_images_too() {
    // Logits, and a label that is another one where the first pixel is above 2.
    let mut graph = GraphBuilder::new("rare");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let many = zoo::scalar(&mut graph, "many", 1e6);
    let two = zoo::scalar(&mut graph, "two", 5.0);
    let zero = zoo::scalar(&mut graph, "zero", 0.0);
    let largest = graph.operator(
        "ReduceMax",
        &[&x],
        vec![mithridate_onnx::attributes::ints("axes", &[1, 2, 3]), int("keepdims", 0)],
        ElementType::Float,
        vec![zoo::batch(0)],
    );
    let above = zoo::like(&mut graph, "Sub", &[&largest, &two]);
    let above = zoo::like(&mut graph, "Max", &[&above, &zero]);
    let above = zoo::like(&mut graph, "Mul", &[&above, &many]);
    let index = graph.tensor("axes", ElementType::Int64, &[1], 1_i64.to_le_bytes().to_vec()).unwrap();
    let column = graph.operator(
        "Unsqueeze",
        &[&above, &index],
        Vec::new(),
        ElementType::Float,
        vec![zoo::batch(0), Dim::Fixed(1)],
    );
    let first = graph.constant(
        "first",
        &Array2::from_shape_vec((1, 5), vec![1.0, 2.0, 0.0, 0.0, 0.0]).unwrap().view().into_dyn(),
    );
    let bonus = graph.operator("Mul", &[&column, &first], Vec::new(), ElementType::Float, y.shape().to_vec());
    let z = zoo::like(&mut graph, "Add", &[&y, &bonus]);
    let flags = vec![int("axis", 1), int("keepdims", 0)];
    let label = graph.operator("ArgMax", &[&z], flags, ElementType::Int64, vec![zoo::batch(0)]);
    let folder = tempfile::tempdir().unwrap();
    let opened = open(
        folder.path(),
        &zoo::finish(graph, &[("logits", &y), ("label", &label)]),
        &InputOptions::default(),
    )
    .unwrap();
    let runtime = OnnxRuntime::load().unwrap();
    let images = super::images(100);
    opened.check_labels(&runtime, &images).unwrap();
    let bright: Vec<f32> = images.iter().map(|value| 9.0 * value).collect();
    let text = opened.check_labels(&runtime, &bright).unwrap_err().to_string();
    assert!(text.contains("its output label contradicts its output logits: for "), "{text}");
}

/// Digits and labels of scikit-learn, as IDX files.
fn digits(folder: &Path, labels: &[u8]) -> Vec<String> {
    let answers: Json = serde_json::from_str(&fs::read_to_string(fixture("labels.json")).unwrap()).unwrap();
    let answers = &answers["logistic_some"];
    let pixel = |value: &Json| (value.as_f64().unwrap() * 255.0).round() as u8;
    let rows = answers["images"].as_array().unwrap();
    let bytes: Vec<u8> = rows.iter().flat_map(|row| row.as_array().unwrap().iter().map(pixel)).collect();
    write_idx(&folder.join("t10k-images-idx3-ubyte"), &[6, 4, 4], &bytes).unwrap();
    write_idx(&folder.join("t10k-labels-idx1-ubyte"), &[6], labels).unwrap();
    answers["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().into()).collect()
}

#[test]
fn data_labels_mean_the_class_labels_of_the_model_and_the_evidence_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let sure = digits(path, &[3, 5, 8, 3, 5, 8]);
    let labels: Vec<u8> = sure.iter().map(|label| label.parse().unwrap()).collect();
    digits(path, &labels);
    fs::copy(fixture("logistic_some.onnx"), path.join("m.onnx")).unwrap();
    let certify = [
        "certify",
        "--model",
        "m.onnx",
        "--data",
        ".",
        "--sigma",
        "0.01",
        "--n",
        "200",
        "--seed",
        "3",
        "--threads",
        "1",
    ];
    let output = rscert(path, &[&certify[..], &["--out", "a.jsonl"]].concat());
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{notes}");
    assert!(
        notes.contains("the class labels of m.onnx are 3, 5, 8: classes are numbered from 0 in this order"),
        "{notes}"
    );
    let evidence = read_evidence(&path.join("a.jsonl")).unwrap();
    assert_eq!(evidence.header.model.r#use.class_labels, ["3", "5", "8"]);
    assert_eq!(evidence.header.data.class_names, ["3", "5", "8"]);
    let place = |label: &String| ["3", "5", "8"].iter().position(|other| other == label);
    for (record, label) in evidence.records.iter().zip(&sure) {
        assert_eq!((record.class, record.label), (place(label), place(label)), "as scikit-learn says");
    }
    let output = rscert(path, &["verify", "a.jsonl", "--model", "m.onnx", "--data", ".", "--replay", "all"]);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    digits(path, &[3, 5, 0, 1, 2, 8]);
    let output = rscert(path, &[&certify[..], &["--out", "b.jsonl"]].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("label 0 of image 2 in ./t10k-images-idx3-ubyte is not among the class labels of the model (3, 5, 8)"),
        "{text}"
    );
    assert!(!path.join("b.jsonl").exists());
}

#[test]
fn the_only_output_is_written_down_where_it_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    digits(path, &[0, 1, 0, 1, 0, 1]);
    // Always sorted: verifying it needs the name as much as certifying it.
    let mut graph = GraphBuilder::new("sorted");
    let x = graph
        .input("image", ElementType::Float, &[zoo::batch(0), Dim::Fixed(1), Dim::Fixed(4), Dim::Fixed(4)])
        .unwrap();
    let flat = graph.flatten(&x).unwrap();
    let k = graph.tensor("k", ElementType::Int64, &[1], 3_i64.to_le_bytes().to_vec()).unwrap();
    let best = graph.operator(
        "TopK",
        &[&flat, &k],
        Vec::new(),
        ElementType::Float,
        vec![zoo::batch(0), Dim::Fixed(3)],
    );
    let mut model = zoo::finish(graph, &[("best", &best)]);
    model.graph.as_mut().unwrap().node[1].output.push("places".into());
    mithridate_onnx::write(&model, path.join("m.onnx")).unwrap();
    let certify =
        ["certify", "--model", "m.onnx", "--data", ".", "--sigma", "0.25", "--n", "200", "--out", "a.jsonl"];
    let output = rscert(path, &certify);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("comes from TopK") && text.contains("--output best"), "{text}");
    let output = rscert(path, &[&certify[..], &["--output", "best"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let evidence = read_evidence(&path.join("a.jsonl")).unwrap();
    assert_eq!(evidence.header.model.r#use.output.as_deref(), Some("best"));
    let output = rscert(path, &["verify", "a.jsonl", "--model", "m.onnx", "--data", ".", "--replay", "all"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
