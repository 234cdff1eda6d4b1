//! Models made to do harm end in a sentence.

use mithridate_onnx::{Dim, ElementType, GraphBuilder, messages::ModelProto};
use mithridate_runtime::backend::InputOptions;

use super::{with_external_weights, zoo};

fn refused(model: &ModelProto) -> String {
    super::refused(model, &InputOptions::default())
}

#[test]
fn a_constant_that_claims_to_be_enormous_is_refused() {
    for dims in [vec![1 << 60], vec![1 << 40, 1 << 40], vec![-1]] {
        let mut model = zoo::plain(0);
        model.graph.as_mut().unwrap().initializer[0].dims = dims;
        assert!(refused(&model).contains("ONNX Runtime can't load"));
    }
}

#[test]
fn an_input_that_claims_to_be_enormous_is_refused() {
    let mut graph = GraphBuilder::new("enormous");
    let shape = [Dim::symbolic("n"), Dim::Fixed(3), Dim::Fixed(1 << 60), Dim::Fixed(1 << 60)];
    let x = graph.input("image", ElementType::Float, &shape).unwrap();
    let y = graph.relu(&x);
    assert!(refused(&zoo::finish(graph, &[("y", &y)])).contains("the largest batch has 268435456 values"));
}

#[test]
fn a_graph_that_asks_for_all_memory_is_refused() {
    let mut graph = GraphBuilder::new("greedy");
    let x = zoo::image(&mut graph, 0);
    let y = zoo::head(&mut graph, &x);
    let size = graph.tensor("size", ElementType::Int64, &[1], (1_i64 << 55).to_le_bytes().to_vec()).unwrap();
    let many =
        graph.operator("ConstantOfShape", &[&size], Vec::new(), ElementType::Float, vec![Dim::symbolic("m")]);
    let sum = graph.operator("ReduceSum", &[&many], Vec::new(), ElementType::Float, vec![Dim::Fixed(1)]);
    let z = zoo::like(&mut graph, "Add", &[&y, &sum]);
    let text = refused(&zoo::finish(graph, &[("logits", &z)]));
    assert!(text.contains("the memory of the machine or device is too small"), "{text}");
}

#[test]
fn operators_that_do_not_exist_and_cycles_are_refused() {
    let mut unknown = zoo::plain(0);
    unknown.graph.as_mut().unwrap().node[0].op_type = Some("Exfiltrate".into());
    assert!(refused(&unknown).contains("Exfiltrate"));
    let mut circle = zoo::plain(0);
    let graph = circle.graph.as_mut().unwrap();
    let output = graph.node[1].output[0].clone();
    graph.node[0].input[0] = output;
    refused(&circle);
}

#[test]
fn whole_numbers_as_input_are_refused_with_the_reason() {
    let mut graph = GraphBuilder::new("bytes");
    let shape = [Dim::symbolic("n"), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)];
    let x = graph.input("image", ElementType::Uint8, &shape).unwrap();
    let x = zoo::like(&mut graph, "Cast", &[&x]);
    let y = zoo::head(&mut graph, &x);
    let text = refused(&zoo::finish(graph, &[("logits", &y)]));
    assert!(text.contains("noise can't be added to whole numbers"), "{text}");
}

#[test]
fn weights_elsewhere_are_refused() {
    for location in ["../weights.bin", "/etc/passwd", "a/../../weights.bin"] {
        let (model, _) = with_external_weights(zoo::plain(0), location);
        assert!(refused(&model).contains("it leaves the folder of the model"));
    }
}
