use super::*;
use crate::{Dim, GraphBuilder, ModelMetadata};

fn model(batch: Dim, element_type: ElementType) -> ModelProto {
    let mut graph = GraphBuilder::new("relu");
    let shape = [batch, Dim::Fixed(3)];
    let image = graph.input("image", element_type, &shape).unwrap();
    let output = graph.operator("Relu", &[&image], Vec::new(), element_type, shape.to_vec());
    graph.finish(&[("logits", &output)], &ModelMetadata::default()).unwrap()
}

fn smoothing(noise: NoiseInput) -> Smoothing {
    Smoothing {
        input: "image".into(),
        output: "logits".into(),
        dims: vec![3],
        image: [3, 1, 1],
        channels_last: false,
        affine: Vec::new(),
        classes: 3,
        noise,
        slots: 2,
        samples: 64,
        votes: false,
    }
}

fn operators(model: &ModelProto) -> Vec<&str> {
    let nodes = &model.graph.as_ref().unwrap().node;
    nodes.iter().filter_map(|node| node.op_type.as_deref()).filter(|name| *name != "Constant").collect()
}

#[test]
fn inputs_are_those_of_the_noise() {
    let plain = model(Dim::symbolic("n"), ElementType::Float);
    for (noise, expected) in [
        (NoiseInput::Noisy, vec!["noise: float [2, 64, 3]", "samples: int32 [2, 1]"]),
        (
            NoiseInput::Bank { blocks: 9 },
            vec![
                "noise: float [9, 64, 3]",
                "image: float [2, 1, 3]",
                "block: int32 [2]",
                "samples: int32 [2, 1]",
            ],
        ),
    ] {
        let extended = with_smoothing(&plain, &Smoothing { votes: true, ..smoothing(noise) }).unwrap();
        let summary = summarize(&extended).unwrap();
        let inputs: Vec<String> = summary.inputs.iter().map(ToString::to_string).collect();
        let expected: Vec<String> = expected.iter().map(|text| format!("{PREFIX}{text}")).collect();
        assert_eq!(inputs, expected);
        let outputs: Vec<String> = summary.outputs.iter().map(ToString::to_string).collect();
        assert_eq!(
            outputs,
            [format!("{COUNTS_OUTPUT}: int64 [2, 3]"), format!("{VOTES_OUTPUT}: int32 [2, 64]")]
        );
    }
}

#[test]
fn axes_are_where_the_operator_set_wants_them() {
    for (opset, of_sum, of_largest) in [(9, 1, 1), (12, 1, 1), (13, 2, 1), (17, 2, 1), (18, 2, 2), (21, 2, 2)]
    {
        let mut plain = model(Dim::symbolic("n"), ElementType::Float);
        plain.opset_import[0].version = Some(opset);
        let extended = with_smoothing(&plain, &smoothing(NoiseInput::Noisy)).unwrap();
        for node in &extended.graph.as_ref().unwrap().node {
            match node.op_type.as_deref() {
                Some("ReduceSum") => assert_eq!(node.input.len(), of_sum, "opset {opset}"),
                Some("ReduceMax") => assert_eq!(node.input.len(), of_largest, "opset {opset}"),
                _ => {}
            }
        }
    }
}

#[test]
fn the_model_gets_its_type_layout_and_range() {
    let half = model(Dim::symbolic("n"), ElementType::Float16);
    let bank = NoiseInput::Bank { blocks: 2 };
    let wanted = Smoothing { channels_last: true, affine: vec![(2.0, -1.0); 3], ..smoothing(bank) };
    let extended = with_smoothing(&half, &wanted).unwrap();
    assert_eq!(
        operators(&extended)[..9],
        ["Gather", "Add", "Reshape", "Mul", "Add", "Transpose", "Cast", "Reshape", "Relu"]
    );
    assert_eq!(extended.opset_import, half.opset_import);
}

#[test]
fn models_that_can_not_be_extended_are_refused_with_a_reason() {
    let mut old = model(Dim::symbolic("n"), ElementType::Float);
    old.opset_import[0].version = Some(8);
    let fixed = model(Dim::Fixed(5), ElementType::Float);
    let plain = model(Dim::symbolic("n"), ElementType::Float);
    let wanted = smoothing(NoiseInput::Noisy);
    let twice = with_smoothing(&plain, &wanted).unwrap();
    let inner = Smoothing { input: NOISE_INPUT.into(), output: COUNTS_OUTPUT.into(), ..wanted.clone() };
    for (model, wanted, expected) in [
        (&old, wanted.clone(), "it is of operator set 8, and 9 or newer is needed"),
        (&fixed, wanted.clone(), "it takes exactly 5 inputs at once"),
        (&plain, Smoothing { input: "x".into(), ..wanted.clone() }, "it has no input x"),
        (&plain, Smoothing { output: "y".into(), ..wanted.clone() }, "it has no output y"),
        (&plain, Smoothing { classes: 1 << 25, ..wanted.clone() }, "it has 33554432 classes"),
        (&twice, inner, "so it is extended already"),
    ] {
        let error = with_smoothing(model, &wanted).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
