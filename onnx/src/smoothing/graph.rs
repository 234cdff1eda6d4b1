use super::PREFIX;
use crate::{
    Dim, ElementType,
    attributes::int,
    attributes::ints,
    messages::{
        AttributeProto, AttributeType, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorType,
        TypeProto, TypeValue, ValueInfoProto,
    },
};

/// Nodes, inputs and outputs to be added before or after a model.
pub(super) struct Parts {
    opset: i64,
    pub nodes: Vec<NodeProto>,
    pub inputs: Vec<ValueInfoProto>,
    pub outputs: Vec<ValueInfoProto>,
}

impl Parts {
    pub fn new(opset: i64) -> Self {
        Self { opset, nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() }
    }

    /// Adds an input; returns its name.
    pub fn input(&mut self, name: &str, element_type: ElementType, shape: &[usize]) -> String {
        self.inputs.push(value(name, element_type, shape));
        name.to_owned()
    }

    /// Adds the value `name` as an output.
    pub fn output(&mut self, name: &str, element_type: ElementType, shape: &[usize]) {
        self.outputs.push(value(name, element_type, shape));
    }

    /// Adds a node; its result is called `output`.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        output: &str,
    ) -> String {
        self.nodes.push(NodeProto {
            name: Some(output.to_owned()),
            op_type: Some(operator.into()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        });
        output.to_owned()
    }

    /// Adds a node without attributes; its result is called `name` with the prefix of smoothing graphs.
    pub fn call(&mut self, operator: &str, inputs: &[&str], name: &str) -> String {
        self.node(operator, inputs, Vec::new(), &named(name))
    }

    /// Adds a constant float tensor as a `Constant` node. Initialisers would have to be inputs too in old files.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, ElementType::Float, dims, bytes)
    }

    /// Adds a constant float scalar.
    pub fn scalar(&mut self, name: &str, value: f32) -> String {
        self.floats(name, &[], &[value])
    }

    /// Adds a constant vector of 64-bit integers.
    pub fn sizes(&mut self, name: &str, values: &[usize]) -> String {
        let bytes = values.iter().flat_map(|&value| (value as i64).to_le_bytes()).collect();
        self.constant(name, ElementType::Int64, &[values.len()], bytes)
    }

    /// Adds a constant tensor of 32-bit integers.
    pub fn int32s(&mut self, name: &str, dims: &[usize], values: impl Iterator<Item = i32>) -> String {
        self.constant(name, ElementType::Int32, dims, values.flat_map(i32::to_le_bytes).collect())
    }

    fn constant(&mut self, name: &str, element_type: ElementType, dims: &[usize], bytes: Vec<u8>) -> String {
        let tensor = TensorProto {
            dims: dims.iter().map(|&size| size as i64).collect(),
            data_type: Some(element_type as i32),
            raw_data: Some(bytes),
            ..TensorProto::default()
        };
        let value = AttributeProto {
            name: Some("value".into()),
            r#type: Some(AttributeType::Tensor as i32),
            t: Some(Box::new(tensor)),
            ..AttributeProto::default()
        };
        self.node("Constant", &[], vec![value], &named(name))
    }

    /// Adds a `Reshape`.
    pub fn reshape(&mut self, input: &str, shape: &[usize], name: &str) -> String {
        let shape = self.sizes(&format!("{name}_shape"), shape);
        self.node("Reshape", &[input, &shape], Vec::new(), &named(name))
    }

    /// Adds a `Cast` to another element type.
    pub fn cast(&mut self, input: &str, to: ElementType, output: &str) -> String {
        self.node("Cast", &[input], vec![int("to", i64::from(to as i32))], output)
    }

    /// Adds the maximum over an axis, which stays with size 1.
    pub fn largest(&mut self, input: &str, axis: usize, name: &str) -> String {
        self.reduce("ReduceMax", 18, input, (axis, true), name)
    }

    /// Adds the sum over an axis; with `keep`, the axis stays with size 1.
    pub fn sum(&mut self, input: &str, axis: usize, keep: bool, name: &str) -> String {
        self.reduce("ReduceSum", 13, input, (axis, keep), name)
    }

    /// Adds a reduction. Its axes are an input from operator set version `since` on, and an attribute before.
    fn reduce(
        &mut self,
        operator: &str,
        since: i64,
        input: &str,
        (axis, keep): (usize, bool),
        name: &str,
    ) -> String {
        let mut attributes = vec![int("keepdims", i64::from(keep))];
        if self.opset < since {
            attributes.push(ints("axes", &[axis]));
            return self.node(operator, &[input], attributes, &named(name));
        }
        let axes = self.sizes(&format!("{name}_axes"), &[axis]);
        self.node(operator, &[input, &axes], attributes, &named(name))
    }
}

/// `name` with the prefix of smoothing graphs.
fn named(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn value(name: &str, element_type: ElementType, shape: &[usize]) -> ValueInfoProto {
    let dims: Vec<Dim> = shape.iter().map(|&size| Dim::Fixed(size as i64)).collect();
    let shape = TensorShapeProto { dim: dims.iter().map(Into::into).collect() };
    let tensor = TensorType { elem_type: Some(element_type as i32), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { denotation: None, value: Some(TypeValue::Tensor(tensor)) }),
        ..ValueInfoProto::default()
    }
}

/// Whether a name in the graph has the prefix of smoothing graphs.
pub(super) fn has_prefix(graph: &GraphProto) -> bool {
    let values = graph.node.iter().flat_map(|node| node.input.iter().chain(&node.output));
    values
        .chain(graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref()))
        .chain(graph.input.iter().filter_map(|value| value.name.as_ref()))
        .any(|name| name.starts_with(PREFIX))
}
