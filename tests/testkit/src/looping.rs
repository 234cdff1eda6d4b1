//! Models with a `Loop`: one without end, one that takes all memory, one that is slow on large batches. Each is made of a
//! model with the output `logits`, which then waits for the loop.

use mithridate_onnx::{
    ElementType,
    messages::{
        AttributeProto, AttributeType, Dimension, GraphProto, ModelProto, NodeProto, TensorProto,
        TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
    },
};

fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: Some(operator.into()),
        input: names(inputs),
        output: names(outputs),
        attribute: attributes,
        ..NodeProto::default()
    }
}

/// The description of a tensor in a graph, of `dimensions` dimensions of any size; `None` says nothing of its shape.
pub fn value(name: &str, element: ElementType, dimensions: Option<usize>) -> ValueInfoProto {
    let shape = dimensions.map(|count| TensorShapeProto { dim: vec![Dimension::default(); count] });
    let tensor = TensorType { elem_type: Some(element as i32), shape };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// The model, whose logits wait for a `Loop` that does `step` to a list of one number, as often as the scalar `turns` says,
/// or without end where that is empty.
fn looping(mut model: ModelProto, turns: &str, step: NodeProto) -> ModelProto {
    let graph = model.graph.as_mut().unwrap();
    for node in &mut graph.node {
        for output in node.output.iter_mut().filter(|output| *output == "logits") {
            *output = "scores".into();
        }
    }
    let yes = TensorProto {
        name: Some("yes".into()),
        data_type: Some(ElementType::Bool as i32),
        raw_data: Some(vec![1]),
        ..TensorProto::default()
    };
    let one = TensorProto {
        name: Some("one".into()),
        dims: vec![1],
        data_type: Some(ElementType::Float as i32),
        raw_data: Some(1.0_f32.to_le_bytes().to_vec()),
        ..TensorProto::default()
    };
    graph.initializer.extend([yes, one]);
    let body = GraphProto {
        name: Some("body".into()),
        node: vec![node("Identity", &["going"], &["on"], vec![]), step],
        input: vec![
            value("turn", ElementType::Int64, Some(0)),
            value("going", ElementType::Bool, Some(0)),
            value("before", ElementType::Float, None),
        ],
        output: vec![value("on", ElementType::Bool, Some(0)), value("after", ElementType::Float, None)],
        ..GraphProto::default()
    };
    let body = AttributeProto {
        name: Some("body".into()),
        g: Some(Box::new(body)),
        r#type: Some(AttributeType::Graph as i32),
        ..AttributeProto::default()
    };
    let keep = AttributeProto {
        name: Some("keepdims".into()),
        i: Some(0),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    };
    graph.node.extend([
        node("Loop", &[turns, "yes", "one"], &["many"], vec![body]),
        node("ReduceMax", &["many"], &["most"], vec![keep]),
        node("Add", &["scores", "most"], &["logits"], vec![]),
    ]);
    model
}

/// The model never answers.
pub fn endless(model: ModelProto) -> ModelProto {
    looping(model, "", node("Add", &["before", "before"], &["after"], vec![]))
}

/// The model never answers, and takes twice the memory in each turn.
pub fn greedy(model: ModelProto) -> ModelProto {
    let axis = AttributeProto {
        name: Some("axis".into()),
        i: Some(0),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    };
    looping(model, "", node("Concat", &["before", "before"], &["after"], vec![axis]))
}

/// The model, whose input is `image`, takes a moment for the few inputs that a model is tried with and seconds for a batch
/// of 256: sixteen turns for the square of the batch.
pub fn slow(model: ModelProto) -> ModelProto {
    let mut model = looping(model, "turns", node("Identity", &["before"], &["after"], vec![]));
    let graph = model.graph.as_mut().unwrap();
    let scalar = |name: &str, number: i64| TensorProto {
        name: Some(name.into()),
        data_type: Some(ElementType::Int64 as i32),
        raw_data: Some(number.to_le_bytes().to_vec()),
        ..TensorProto::default()
    };
    graph.initializer.extend([scalar("first", 0), scalar("sixteen", 16)]);
    let count = [
        node("Shape", &["image"], &["shape"], vec![]),
        node("Gather", &["shape", "first"], &["batch_size"], vec![]),
        node("Mul", &["batch_size", "batch_size"], &["square"], vec![]),
        node("Mul", &["square", "sixteen"], &["turns"], vec![]),
    ];
    graph.node.splice(0..0, count);
    model
}
