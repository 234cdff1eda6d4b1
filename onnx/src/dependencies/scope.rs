use std::collections::HashMap;

use half::{bf16, f16};

use crate::{
    ElementType,
    messages::{
        AttributeProto, DataLocation, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
        SparseTensorProto, TensorProto, ValueInfoProto,
    },
};

/// The value of an input that is a single number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// The optional input is absent.
    Absent,
    /// A constant; 0 and 1 for truth values.
    Known(f64),
    /// Not constant: computed, or an input of the model.
    Unknown,
}

/// Nodes with a common name space: a graph, the body of a node, or one call of a function.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub nodes: &'a [NodeProto],
    pub function: Option<&'a FunctionProto>,
    pub outer: Option<Outer>,
    pub depth: usize,
    /// For each value, the position of the node that computes it.
    pub makers: HashMap<&'a str, usize>,
    /// Inputs and initialisers of the graph.
    pub given: HashMap<&'a str, Given<'a>>,
}

/// The node to which a body or a function call belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    pub scope: usize,
    pub node: usize,
}

impl<'a> Scope<'a> {
    pub fn new(
        nodes: &'a [NodeProto],
        graph: Option<&'a GraphProto>,
        function: Option<&'a FunctionProto>,
        outer: Option<Outer>,
        depth: usize,
    ) -> Self {
        let mut makers = HashMap::new();
        for (at, node) in nodes.iter().enumerate() {
            makers.extend(node.output.iter().filter(|name| !name.is_empty()).map(|name| (name.as_str(), at)));
        }
        let mut given = HashMap::new();
        if let Some(graph) = graph {
            let name = |input: &'a ValueInfoProto| Some((input.name.as_deref()?, Given::Input));
            given.extend(graph.input.iter().filter_map(name));
            let name = |tensor: &'a SparseTensorProto| {
                Some((tensor.values.as_ref()?.name.as_deref()?, Given::Sparse))
            };
            given.extend(graph.sparse_initializer.iter().filter_map(name));
            // In old files initialisers are also inputs; the initialiser is the default value.
            let name = |tensor: &'a TensorProto| Some((tensor.name.as_deref()?, Given::Tensor(tensor)));
            given.extend(graph.initializer.iter().filter_map(name));
        }
        Self { nodes, function, outer, depth, makers, given }
    }
}

/// A value that is not computed by a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    Input,
    Tensor(&'a TensorProto),
    Sparse,
}

/// All scopes entered by a walk; the first is the graph of the model.
#[derive(Debug)]
pub(super) struct Scopes<'a> {
    pub model: &'a ModelProto,
    pub all: Vec<Scope<'a>>,
}

impl<'a> Scopes<'a> {
    pub fn get(&self, scope: usize) -> &Scope<'a> {
        &self.all[scope]
    }

    /// The innermost function that contains a scope, and the node that calls it.
    fn call(&self, mut scope: usize) -> Option<(&'a FunctionProto, Outer)> {
        loop {
            let own = self.get(scope);
            let outer = own.outer?;
            match own.function {
                Some(function) => return Some((function, outer)),
                None => scope = outer.scope,
            }
        }
    }

    pub fn opset(&self, scope: usize, wanted: &str) -> Option<i64> {
        let of = |list: &[OperatorSetIdProto]| {
            let own = list.iter().find(|opset| domain(opset.domain.as_deref()) == wanted)?;
            own.version
        };
        let function = self.call(scope).and_then(|(function, _)| of(&function.opset_import));
        function.or_else(|| of(&self.model.opset_import))
    }

    pub fn attribute(&self, scope: usize, found: &'a AttributeProto) -> Option<&'a AttributeProto> {
        let Some(reference) = found.ref_attr_name.as_deref().filter(|name| !name.is_empty()) else {
            return Some(found);
        };
        let (function, outer) = self.call(scope)?;
        let named = |attribute: &&AttributeProto| attribute.name.as_deref() == Some(reference);
        let caller = &self.get(outer.scope).nodes[outer.node];
        match caller.attribute.iter().find(named) {
            Some(given) => self.attribute(outer.scope, given),
            None => function.attribute_proto.iter().find(named),
        }
    }

    pub fn scalar(&self, scope: usize, name: &str) -> Scalar {
        match self.resolve(scope, name) {
            Resolved::Absent => Scalar::Absent,
            Resolved::Tensor(tensor) => first_value(tensor).map_or(Scalar::Unknown, Scalar::Known),
            Resolved::Number(number) => Scalar::Known(number),
            Resolved::Unknown => Scalar::Unknown,
        }
    }

    pub fn constant(&self, scope: usize, name: &str) -> Option<&'a TensorProto> {
        match self.resolve(scope, name) {
            Resolved::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Finds the origin of a value, through nodes that do not change it and out of bodies and functions. The number of
    /// steps is limited, because a malformed model may have cycles.
    fn resolve(&self, mut scope: usize, name: &str) -> Resolved<'a> {
        const STEPS: usize = 1000;
        let mut name = name.to_owned();
        for _ in 0..STEPS {
            if name.is_empty() {
                return Resolved::Absent;
            }
            let own = self.get(scope);
            match own.given.get(name.as_str()) {
                Some(Given::Tensor(tensor)) => return Resolved::Tensor(tensor),
                Some(Given::Input | Given::Sparse) => return Resolved::Unknown,
                None => {}
            }
            if let Some(&at) = own.makers.get(name.as_str()) {
                let node = &own.nodes[at];
                match node.op_type.as_deref() {
                    Some("Constant") => return self.value_of(scope, node),
                    Some("Identity" | "Cast") => name = node.input.first().cloned().unwrap_or_default(),
                    _ => return Resolved::Unknown,
                }
                continue;
            }
            let Some(outer) = own.outer else { return Resolved::Unknown };
            if let Some(function) = own.function {
                let Some(at) = function.input.iter().position(|input| *input == name) else {
                    return Resolved::Unknown;
                };
                let caller = &self.get(outer.scope).nodes[outer.node];
                name = caller.input.get(at).cloned().unwrap_or_default();
            }
            scope = outer.scope;
        }
        Resolved::Unknown
    }

    /// The value of a `Constant` node.
    fn value_of(&self, scope: usize, node: &'a NodeProto) -> Resolved<'a> {
        let Some(attribute) = node.attribute.first().and_then(|found| self.attribute(scope, found)) else {
            return Resolved::Unknown;
        };
        match (&attribute.t, attribute.i, attribute.f) {
            (Some(tensor), ..) => Resolved::Tensor(tensor),
            (None, Some(number), _) => Resolved::Number(number as f64),
            (None, None, Some(number)) => Resolved::Number(f64::from(number)),
            _ => Resolved::Unknown,
        }
    }
}

/// The origin of a value.
enum Resolved<'a> {
    Absent,
    Tensor(&'a TensorProto),
    Number(f64),
    Unknown,
}

/// The domain of an operator set; the standard one has two names.
pub(super) fn domain(domain: Option<&str>) -> &str {
    match domain {
        None | Some("ai.onnx") => "",
        Some(domain) => domain,
    }
}

/// A node as text for messages: operator and name.
pub(super) fn name_of(node: &NodeProto) -> String {
    let operator = node.op_type.as_deref().unwrap_or_default();
    match node
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .or_else(|| node.output.first().map(String::as_str))
    {
        Some(name) => format!("{operator} '{name}'"),
        None => operator.to_owned(),
    }
}

/// The first element of a tensor of numbers or truth values.
fn first_value(tensor: &TensorProto) -> Option<f64> {
    if tensor.data_location == Some(DataLocation::External as i32) {
        return None;
    }
    let element_type = ElementType::from_number(tensor.data_type?)?;
    let raw = tensor.raw_data.as_deref().filter(|bytes| !bytes.is_empty());
    Some(match element_type {
        ElementType::Float => match raw {
            Some(raw) => f32::from_le_bytes(*raw.first_chunk()?).into(),
            None => (*tensor.float_data.first()?).into(),
        },
        ElementType::Double => match raw {
            Some(raw) => f64::from_le_bytes(*raw.first_chunk()?),
            None => *tensor.double_data.first()?,
        },
        ElementType::Int64 => match raw {
            Some(raw) => i64::from_le_bytes(*raw.first_chunk()?) as f64,
            None => *tensor.int64_data.first()? as f64,
        },
        ElementType::Int32 => match raw {
            Some(raw) => i32::from_le_bytes(*raw.first_chunk()?).into(),
            None => (*tensor.int32_data.first()?).into(),
        },
        ElementType::Bool | ElementType::Uint8 => match raw {
            Some(raw) => (*raw.first()?).into(),
            None => (*tensor.int32_data.first()?).into(),
        },
        ElementType::Float16 | ElementType::Bfloat16 => {
            let bits = match raw {
                Some(raw) => u16::from_le_bytes(*raw.first_chunk()?),
                None => u16::try_from(*tensor.int32_data.first()?).ok()?,
            };
            match element_type {
                ElementType::Float16 => f16::from_bits(bits).into(),
                _ => bf16::from_bits(bits).into(),
            }
        }
        _ => return None,
    })
}
