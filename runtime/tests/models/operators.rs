//! Operators that have no place in a classifier: those that draw numbers or only train, and those whose output is no score.

use mithridate_onnx::{
    Dim, ElementType, GraphBuilder, Value,
    attributes::{float, int},
    messages::{
        AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
    },
};
use mithridate_runtime::backend::InputOptions;

use super::{check, images, logits, named, open, refused, zoo};

/// A node that makes `output` of `inputs`.
fn node(operator: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(operator.into()),
        name: Some(format!("the {operator}")),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

/// The plain model with nodes between its last one and the output: the last of them reads `scores` and makes `logits`.
fn followed_by(nodes: Vec<NodeProto>) -> ModelProto {
    let mut model = zoo::plain(0);
    let graph = model.graph.as_mut().unwrap();
    graph.node[1].output[0] = "scores".into();
    graph.node.extend(nodes);
    model
}

fn with_domain(mut model: ModelProto, domain: &str) -> ModelProto {
    model.opset_import.push(OperatorSetIdProto { domain: Some(domain.into()), version: Some(1) });
    model
}

fn truth(graph: &mut GraphProto, name: &str, is_true: bool) {
    graph.initializer.push(mithridate_onnx::messages::TensorProto {
        name: Some(name.into()),
        data_type: Some(ElementType::Bool as i32),
        raw_data: Some(vec![u8::from(is_true)]),
        ..Default::default()
    });
}

fn body(name: &str, nodes: Vec<NodeProto>, inputs: &[&str], outputs: &[&str]) -> AttributeProto {
    let value = |name: &&str| ValueInfoProto { name: Some((*name).into()), ..ValueInfoProto::default() };
    let graph = GraphProto {
        name: Some(name.into()),
        node: nodes,
        input: inputs.iter().map(value).collect(),
        output: outputs.iter().map(value).collect(),
        ..GraphProto::default()
    };
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(mithridate_onnx::messages::AttributeType::Graph as i32),
        g: Some(Box::new(graph)),
        ..AttributeProto::default()
    }
}

#[test]
fn operators_that_draw_numbers_are_refused_by_name() {
    for (domain, operator) in [
        ("", "RandomNormal"),
        ("", "RandomNormalLike"),
        ("", "RandomUniform"),
        ("", "RandomUniformLike"),
        ("", "Multinomial"),
        ("", "Bernoulli"),
        ("ai.onnx", "Bernoulli"),
        ("com.microsoft", "Sampling"),
    ] {
        let node =
            NodeProto { domain: Some(domain.into()), ..node(operator, &["scores"], "logits", Vec::new()) };
        let text = refused(&with_domain(followed_by(vec![node]), domain), &InputOptions::default());
        let expected = format!("depends on {operator} 'the {operator}', which draws random numbers");
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn a_random_operator_with_a_rare_effect_is_refused() {
    // It adds something where one of a thousand random numbers says so: probes don't see it.
    let mut graph = GraphBuilder::new("rare");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let p = zoo::scalar(&mut graph, "p", 0.999);
    let drawn = zoo::like(&mut graph, "RandomUniformLike", &[&y]);
    let rare = graph.operator("Greater", &[&drawn, &p], Vec::new(), ElementType::Bool, y.shape().to_vec());
    let rare = graph.operator("Cast", &[&rare], vec![int("to", 1)], ElementType::Float, y.shape().to_vec());
    let y = zoo::like(&mut graph, "Add", &[&y, &rare]);
    let text = refused(&zoo::finish(graph, &[("logits", &y)]), &InputOptions::default());
    assert!(
        text.contains("depends on RandomUniformLike 'randomuniformlike_2', which draws random numbers"),
        "{text}"
    );
}

#[test]
fn random_operators_are_found_in_bodies_and_functions() {
    let random = || vec![node("RandomNormalLike", &["scores"], "drawn", Vec::new())];
    let branches =
        vec![body("then_branch", random(), &[], &["drawn"]), body("else_branch", random(), &[], &["drawn"])];
    for (model, place) in [
        (followed_by(vec![node("If", &["yes"], "logits", branches)]), "in the body of If 'the If'"),
        (
            followed_by(vec![node(
                "Loop",
                &["", "yes", "scores"],
                "logits",
                vec![body("body", random(), &["i", "go", "carried"], &["go", "drawn"])],
            )]),
            "in the body of Loop 'the Loop'",
        ),
        (
            followed_by(vec![node(
                "Scan",
                &["scores"],
                "logits",
                vec![body("body", random(), &["row"], &["drawn"]), int("num_scan_inputs", 1)],
            )]),
            "in the body of Scan 'the Scan'",
        ),
    ] {
        let text = refused(&model, &InputOptions::default());
        let expected = format!(
            "depends on RandomNormalLike 'the RandomNormalLike', {place}, which draws random numbers"
        );
        assert!(text.contains(&expected), "{text}");
    }
    let call = NodeProto { domain: Some("own".into()), ..node("Block", &["scores"], "logits", Vec::new()) };
    let mut model = with_domain(followed_by(vec![call]), "own");
    let inner = NodeProto { domain: Some("own".into()), ..node("Inner", &["a"], "b", Vec::new()) };
    let function = |name: &str, nodes| FunctionProto {
        name: Some(name.into()),
        domain: Some("own".into()),
        input: vec!["a".into()],
        output: vec!["b".into()],
        node: nodes,
        ..FunctionProto::default()
    };
    model.functions.push(function("Block", vec![inner]));
    model.functions.push(function("Inner", vec![node("Bernoulli", &["a"], "b", Vec::new())]));
    let text = refused(&model, &InputOptions::default());
    let expected =
        "Bernoulli 'the Bernoulli', in the function Inner, in the function Block, which draws random numbers";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_the_output_does_not_depend_on_is_no_harm() {
    let mut graph = GraphBuilder::new("two outputs");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let drawn = zoo::like(&mut graph, "RandomNormalLike", &[&y]);
    let noisy = zoo::like(&mut graph, "Add", &[&y, &drawn]);
    let model = zoo::finish(graph, &[("logits", &y), ("noisy", &noisy)]);
    let opened = check(&model, named("logits"), 1e-4);
    assert_eq!(opened.output(), "logits");
    let text = refused(&model, &named("noisy"));
    assert!(text.contains("its output noisy depends on RandomNormalLike"), "{text}");
    // Nor do random numbers that nothing reads.
    let mut model = zoo::plain(0);
    let drawn = node("RandomNormalLike", &["image"], "drawn", Vec::new());
    model.graph.as_mut().unwrap().node.push(drawn);
    check(&model, InputOptions::default(), 1e-4);
}

/// The plain model with dropout at its end.
fn with_dropout(inputs: &[&str], opset: i64, attributes: Vec<AttributeProto>, ratio: f32) -> ModelProto {
    let dropout = node("Dropout", inputs, "logits", attributes);
    let mut model = followed_by(vec![node("Not", &["no"], "computed", Vec::new()), dropout]);
    let graph = model.graph.as_mut().unwrap();
    truth(graph, "yes", true);
    truth(graph, "no", false);
    graph.initializer.push(mithridate_onnx::messages::TensorProto {
        name: Some("ratio".into()),
        data_type: Some(ElementType::Float as i32),
        float_data: vec![ratio],
        ..Default::default()
    });
    model.opset_import[0].version = Some(opset);
    model
}

#[test]
fn dropout_is_refused_in_training_mode_alone() {
    let flags = || vec![int("is_test", 0)];
    for (model, expected) in [
        (
            with_dropout(&["scores", "ratio", "yes"], 17, Vec::new(), 0.5),
            "which is in training mode and drops",
        ),
        (with_dropout(&["scores", "", "yes"], 12, Vec::new(), 0.5), "which is in training mode and drops"),
        (
            with_dropout(&["scores", "ratio", "computed"], 17, Vec::new(), 0.5),
            "whose training mode is computed",
        ),
        (with_dropout(&["scores"], 6, flags(), 0.5), "which is in training mode and drops"),
        (with_dropout(&["scores"], 6, Vec::new(), 0.5), "which is in training mode and drops"),
    ] {
        let text = refused(&model, &InputOptions::default());
        assert!(text.contains("its output logits depends on Dropout 'the Dropout', "), "{text}");
        assert!(text.contains(expected) && text.ends_with("export it in inference mode"), "{text}");
    }
    for model in [
        with_dropout(&["scores"], 17, Vec::new(), 0.5),
        with_dropout(&["scores", "ratio"], 17, Vec::new(), 0.5),
        with_dropout(&["scores", "ratio", "no"], 17, Vec::new(), 0.5),
        with_dropout(&["scores", "ratio", "yes"], 17, Vec::new(), 0.0),
        with_dropout(&["scores"], 7, vec![float("ratio", 0.5)], 0.5),
    ] {
        check(&model, InputOptions::default(), 1e-4);
    }
    for operator in ["BitmaskDropout", "TrainableDropout"] {
        let mut model = with_dropout(&["scores", "ratio", "yes"], 17, Vec::new(), 0.5);
        let last = model.graph.as_mut().unwrap().node.last_mut().unwrap();
        (last.op_type, last.domain) = (Some(operator.into()), Some("com.microsoft".into()));
        let text = refused(&with_domain(model, "com.microsoft"), &InputOptions::default());
        assert!(
            text.contains(&format!("depends on {operator} 'the Dropout', which is in training mode")),
            "{text}"
        );
    }
}

#[test]
fn batch_normalisation_is_refused_in_training_mode_alone() {
    let with = |attributes: Vec<AttributeProto>, outputs: &[&str], opset: i64| {
        let mut norm =
            node("BatchNormalization", &["scores", "one", "zero", "zero", "one"], "logits", attributes);
        norm.output.extend(outputs.iter().map(|&name| name.into()));
        norm.attribute.push(float("epsilon", 0.0));
        let mut model = followed_by(vec![norm]);
        for (name, value) in [("one", 1.0_f32), ("zero", 0.0)] {
            model.graph.as_mut().unwrap().initializer.push(mithridate_onnx::messages::TensorProto {
                name: Some(name.into()),
                data_type: Some(ElementType::Float as i32),
                dims: vec![zoo::CLASSES as i64],
                float_data: vec![value; zoo::CLASSES],
                ..Default::default()
            });
        }
        model.opset_import[0].version = Some(opset);
        model
    };
    for model in [
        with(vec![int("training_mode", 1)], &["mean", "variance"], 17),
        with(vec![int("training_mode", 1)], &[], 14),
        with(Vec::new(), &["mean", "variance", "saved", "saved_too"], 9),
        with(Vec::new(), &["", "variance"], 13),
        with(vec![int("is_test", 0)], &[], 6),
        with(Vec::new(), &[], 6),
    ] {
        let text = refused(&model, &InputOptions::default());
        assert!(
            text.contains(
                "depends on BatchNormalization 'the BatchNormalization', which is in training mode"
            ),
            "{text}"
        );
    }
    for model in
        [with(vec![int("training_mode", 0)], &[], 17), with(Vec::new(), &[], 9), with(Vec::new(), &[], 13)]
    {
        check(&model, InputOptions::default(), 1e-4);
    }
}

/// The three best of five scores, whatever class they are of.
fn best_three(graph: &mut GraphBuilder, scores: &Value, largest: i64) -> Value {
    let k = graph.tensor("k", ElementType::Int64, &[1], 3_i64.to_le_bytes().to_vec()).unwrap();
    let dims = vec![zoo::batch(0), Dim::Fixed(3)];
    graph.operator("TopK", &[scores, &k], vec![int("largest", largest)], ElementType::Float, dims)
}

#[test]
fn values_put_in_order_of_size_are_refused_unless_the_output_is_named() {
    let model = |end: fn(&mut GraphBuilder, &Value) -> Value| {
        let mut graph = GraphBuilder::new("ordered");
        let x = zoo::image(&mut graph, 0);
        let y = zoo::head(&mut graph, &x);
        let best = end(&mut graph, &y);
        zoo::finish(graph, &[("best", &best)])
    };
    for end in [
        (|graph, y| best_three(graph, y, 1)) as fn(&mut GraphBuilder, &Value) -> Value,
        |graph, y| best_three(graph, y, 0),
        |graph, y| {
            let best = best_three(graph, y, 1);
            let best = zoo::like(graph, "Identity", &[&best]);
            let shape =
                graph.tensor("s", ElementType::Int64, &[2], [0_i64, 3].map(i64::to_le_bytes).concat());
            let best = graph.operator(
                "Reshape",
                &[&best, &shape.unwrap()],
                Vec::new(),
                ElementType::Float,
                best.shape().to_vec(),
            );
            zoo::like(graph, "Softmax", &[&best])
        },
        |graph, y| {
            let best = best_three(graph, y, 1);
            let other = graph.operator(
                "Concat",
                &[&best, y],
                vec![int("axis", 1)],
                ElementType::Float,
                vec![zoo::batch(0), Dim::Fixed(8)],
            );
            zoo::like(graph, "Cast", &[&other])
        },
    ] {
        let mut ordered = model(end);
        for node in &mut ordered.graph.as_mut().unwrap().node {
            // Casts say to what, and the best come with their places.
            match node.op_type.as_deref() {
                Some("Cast") => node.attribute = vec![int("to", 1)],
                Some("TopK") => node.output.push("places".into()),
                _ => {}
            }
        }
        let text = refused(&ordered, &InputOptions::default());
        assert!(
            text.contains("its output best comes from TopK 'topk_2', which puts values in order"),
            "{text}"
        );
        assert!(text.ends_with("confirm this with `output` best"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path(), &ordered, &named("best")).unwrap();
        assert!(opened.classes() >= 3);
    }
}

#[test]
fn places_of_values_are_refused() {
    let mut graph = GraphBuilder::new("places");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let flags = vec![int("axis", 1), int("keepdims", 1)];
    let dims = vec![zoo::batch(0), Dim::Fixed(1)];
    let best = graph.operator("ArgMax", &[&y], flags.clone(), ElementType::Int64, dims.clone());
    let worst = graph.operator("ArgMin", &[&y], flags, ElementType::Int64, dims);
    let both = graph.operator(
        "Concat",
        &[&best, &worst],
        vec![int("axis", 1)],
        ElementType::Int64,
        vec![zoo::batch(0), Dim::Fixed(2)],
    );
    let both =
        graph.operator("Cast", &[&both], vec![int("to", 1)], ElementType::Float, both.shape().to_vec());
    let text = refused(&zoo::finish(graph, &[("y", &both)]), &InputOptions::default());
    assert!(text.contains("which returns indices and not values"), "{text}");
}

#[test]
fn a_detector_is_refused_by_its_choice_of_boxes() {
    // Its only float output: a score for each box that is left, in falling order.
    let nodes = vec![
        node("NonMaxSuppression", &["boxes", "scores", "k"], "chosen", Vec::new()),
        node("Gather", &["chosen", "column"], "indices", Vec::new()),
        node("Gather", &["scores", "indices"], "kept", Vec::new()),
        node("Mul", &["kept", "kept"], "logits", Vec::new()),
    ];
    let text = refused(&followed_by(nodes), &InputOptions::default());
    assert!(
        text.contains("comes from NonMaxSuppression 'the NonMaxSuppression', which selects boxes"),
        "{text}"
    );
}

#[test]
fn operators_that_choose_within_a_network_are_no_harm() {
    // Scores below the third best are set far down, and each stays where it was.
    let mut graph = GraphBuilder::new("sparse");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let best = best_three(&mut graph, &y, 1);
    let last = graph.operator(
        "ReduceMin",
        &[&best],
        vec![mithridate_onnx::attributes::ints("axes", &[1])],
        ElementType::Float,
        vec![zoo::batch(0), Dim::Fixed(1)],
    );
    let is_kept =
        graph.operator("GreaterOrEqual", &[&y, &last], Vec::new(), ElementType::Bool, y.shape().to_vec());
    let low = zoo::scalar(&mut graph, "low", -100.0);
    let z =
        graph.operator("Where", &[&is_kept, &y, &low], Vec::new(), ElementType::Float, y.shape().to_vec());
    let mut model = zoo::finish(graph, &[("logits", &z)]);
    model.graph.as_mut().unwrap().node[2].output.push("places".into());
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path(), &model, &InputOptions::default()).unwrap();
    let images = images(7);
    for (row, all) in
        logits(&opened, &images).chunks(zoo::CLASSES).zip(zoo::expected(&images).chunks(zoo::CLASSES))
    {
        assert_eq!(row.iter().filter(|&&value| value == -100.0).count(), 2);
        let kept = row.iter().zip(all).filter(|(value, _)| **value != -100.0);
        assert!(kept.into_iter().all(|(found, expected)| (found - expected).abs() < 1e-4));
    }
}
