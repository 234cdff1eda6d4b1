use super::*;
use crate::{
    ElementType,
    messages::{AttributeProto, FunctionProto, GraphProto, OperatorSetIdProto, TensorProto, ValueInfoProto},
};

fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let texts = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    NodeProto {
        op_type: Some(operator.into()),
        input: texts(inputs),
        output: texts(outputs),
        ..NodeProto::default()
    }
}

fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { name: Some(name.into()), g: Some(Box::new(graph)), ..AttributeProto::default() }
}

fn graph(nodes: Vec<NodeProto>, outputs: &[&str]) -> GraphProto {
    let value = |name: &&str| ValueInfoProto { name: Some((*name).into()), ..ValueInfoProto::default() };
    GraphProto { node: nodes, output: outputs.iter().map(value).collect(), ..GraphProto::default() }
}

fn model(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> ModelProto {
    let mut graph = graph(nodes, &["y"]);
    graph.input.push(ValueInfoProto { name: Some("x".into()), ..ValueInfoProto::default() });
    graph.initializer.push(TensorProto {
        name: Some("yes".into()),
        data_type: Some(ElementType::Bool as i32),
        raw_data: Some(vec![1]),
        ..TensorProto::default()
    });
    let opset = OperatorSetIdProto { domain: None, version: Some(17) };
    ModelProto { graph: Some(graph), opset_import: vec![opset], functions, ..ModelProto::default() }
}

fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
    let texts = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    FunctionProto {
        name: Some(name.into()),
        domain: Some("own".into()),
        input: texts(inputs),
        output: texts(outputs),
        node: nodes,
        ..FunctionProto::default()
    }
}

fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto { domain: Some("own".into()), ..node(name, inputs, outputs) }
}

fn found(model: &ModelProto, output: &str) -> Vec<String> {
    let found = Dependencies::of(model, &[output], |_| Follow::All).unwrap();
    let mut operators: Vec<String> = found.nodes().map(|node| node.operator().into()).collect();
    operators.sort_unstable();
    operators
}

#[test]
fn what_an_output_does_not_read_is_left_out() {
    let model = model(
        vec![node("Relu", &["x"], &["a"]), node("Exp", &["x"], &["b"]), node("Add", &["a", "yes"], &["y"])],
        Vec::new(),
    );
    assert_eq!(found(&model, "y"), ["Add", "Relu"]);
    assert_eq!(found(&model, "b"), ["Exp"]);
    assert_eq!(found(&model, "nothing"), [""; 0]);
}

#[test]
fn bodies_read_values_of_the_graphs_around_them() {
    let inner = graph(vec![node("Mul", &["p", "q"], &["r"])], &["r"]);
    let middle = graph(
        vec![
            node("Cos", &["x"], &["p"]),
            NodeProto { attribute: vec![body("body", inner)], ..node("Loop", &["", "yes"], &["s"]) },
        ],
        &["s"],
    );
    let other = graph(vec![node("Tan", &["x"], &["t"])], &["t"]);
    let branches = vec![body("then_branch", middle), body("else_branch", other)];
    let nodes = vec![
        node("Sin", &["x"], &["q"]),
        NodeProto { attribute: branches, name: Some("choice".into()), ..node("If", &["yes"], &["y"]) },
    ];
    let model = model(nodes, Vec::new());
    assert_eq!(found(&model, "y"), ["Cos", "If", "Loop", "Mul", "Sin", "Tan"]);
    let all = Dependencies::of(&model, &["y"], |_| Follow::All).unwrap();
    let product = all.nodes().find(|node| node.operator() == "Mul").unwrap();
    assert_eq!(product.describe(), "Mul 'r', in the body of Loop 's', in the body of If 'choice'");
    assert_eq!(product.scalar(0), Scalar::Unknown);
    assert!(all.inputs().contains("x"));
}

#[test]
fn of_a_branch_only_the_output_that_is_read_counts() {
    let branch = |first: &str, second: &str| {
        graph(vec![node(first, &["x"], &["a"]), node(second, &["x"], &["b"])], &["a", "b"])
    };
    let branches = vec![body("then_branch", branch("Sin", "Cos")), body("else_branch", branch("Exp", "Tan"))];
    let choice = NodeProto { attribute: branches, ..node("If", &["yes"], &["y", "z"]) };
    let model = model(vec![choice], Vec::new());
    assert_eq!(found(&model, "y"), ["Exp", "If", "Sin"]);
    assert_eq!(found(&model, "z"), ["Cos", "If", "Tan"]);
    let moved = Dependencies::of(&model, &["y"], |_| Follow::Graphs).unwrap();
    assert_eq!(moved.nodes().count(), 3, "but not its condition");
}

#[test]
fn functions_are_followed_from_the_output_that_is_read_to_the_inputs_that_it_reads() {
    let inner = function("Inner", &["u"], &["v"], vec![node("Sin", &["u"], &["v"])]);
    let outer = function(
        "Outer",
        &["a", "b"],
        &["c", "d"],
        vec![call("Inner", &["a"], &["c"]), node("Cos", &["b"], &["d"])],
    );
    let nodes = vec![
        node("Exp", &["x"], &["e"]),
        node("Tan", &["x"], &["f"]),
        call("Outer", &["e", "f"], &["y", "z"]),
    ];
    let model = model(nodes, vec![outer, inner]);
    assert_eq!(found(&model, "y"), ["Exp", "Inner", "Outer", "Sin"]);
    assert_eq!(found(&model, "z"), ["Cos", "Outer", "Tan"]);
    let all = Dependencies::of(&model, &["y"], |_| Follow::All).unwrap();
    let sine = all.nodes().find(|node| node.operator() == "Sin").unwrap();
    assert_eq!(sine.describe(), "Sin 'v', in the function Inner, in the function Outer");
    assert_eq!(sine.opset(), Some(17), "that of the model, where the function names none");
}

#[test]
fn numbers_and_attributes_are_those_of_the_call() {
    let reference = |name: &str| AttributeProto {
        name: Some(name.into()),
        ref_attr_name: Some("given".into()),
        ..AttributeProto::default()
    };
    let number =
        |name: &str, i| AttributeProto { name: Some(name.into()), i: Some(i), ..AttributeProto::default() };
    let body = vec![
        NodeProto { attribute: vec![reference("value_int")], ..node("Constant", &[], &["n"]) },
        NodeProto { attribute: vec![reference("mode")], ..node("Own", &["n", "p", "q", "", "x"], &["r"]) },
    ];
    let mut body = function("Block", &["p", "q"], &["r"], body);
    body.attribute_proto.push(number("given", 7));
    let with_attribute =
        NodeProto { attribute: vec![number("given", 3)], ..call("Block", &["yes", "x"], &["y"]) };
    let nodes = vec![with_attribute, call("Block", &["yes"], &["z"])];
    let model = model(nodes, vec![body]);
    for (output, number, second) in [("y", 3, Scalar::Unknown), ("z", 7, Scalar::Absent)] {
        let all = Dependencies::of(&model, &[output], |_| Follow::All).unwrap();
        let own = all.nodes().find(|node| node.operator() == "Own").unwrap();
        assert_eq!(own.attribute("mode").and_then(|found| found.i), Some(number));
        let scalars = [0, 1, 2, 3, 4, 5].map(|place| own.scalar(place));
        let known = Scalar::Known(f64::from(number as i32));
        assert_eq!(
            scalars,
            [known, Scalar::Known(1.0), second, Scalar::Absent, Scalar::Unknown, Scalar::Absent]
        );
    }
}

#[test]
fn functions_without_end_are_refused() {
    let circle = function("Circle", &["a"], &["b"], vec![call("Circle", &["a"], &["b"])]);
    let model_of = |functions| model(vec![call("Circle", &["x"], &["y"])], functions);
    let text = |model: &ModelProto| Dependencies::of(model, &["y"], |_| Follow::All).unwrap_err().to_string();
    assert!(text(&model_of(vec![circle])).contains("nested more than 64 deep"));
    // Each calls the next twice: 2^40 calls.
    let twice = |name: &str, next: &str| {
        let calls = [("a", "c"), ("c", "b")].map(|(from, to)| call(next, &[from], &[to]));
        function(name, &["a"], &["b"], calls.to_vec())
    };
    let mut functions = vec![twice("Circle", "F0")];
    functions.extend((0..40).map(|at| twice(&format!("F{at}"), &format!("F{}", at + 1))));
    assert!(text(&model_of(functions)).contains("more than 262144 nodes"));
}
