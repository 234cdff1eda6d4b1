//! Helpers for rewriting graphs.

use std::collections::{HashMap, HashSet};

use crate::{
    ElementType, ModelMetadata, OnnxError,
    messages::{
        AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, TypeProto,
        TypeValue, ValueInfoProto,
    },
};

/// The name of a node's operator; empty if it is not in the standard operator set.
pub(super) fn operator(node: &NodeProto) -> &str {
    match node.domain.as_deref() {
        None | Some("" | "ai.onnx") => node.op_type.as_deref().unwrap_or_default(),
        Some(_) => "",
    }
}

/// A node of the standard operator set with one output, which also gives its name.
pub(super) fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        name: Some(format!("{}_{output}", operator.to_lowercase())),
        op_type: Some(operator.into()),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

/// The integer attribute `name` of a node.
pub(super) fn int_attribute(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))?.i
}

/// A constant tensor from the bytes of its elements.
pub(super) fn tensor(name: &str, element_type: ElementType, dims: &[i64], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(element_type as i32),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

/// Constant tensors by name: initialisers and the values of `Constant` nodes.
pub(super) fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let named = graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor)));
    let made = graph.node.iter().filter(|node| operator(node) == "Constant").filter_map(|node| {
        let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_deref())?;
        Some((node.output.first()?.as_str(), tensor))
    });
    named.chain(made).collect()
}

/// The element type of a value, if it is a tensor.
pub(super) fn element_type(value: &mut ValueInfoProto) -> Option<&mut i32> {
    match value.r#type.as_mut()? {
        TypeProto { value: Some(TypeValue::Tensor(tensor)), .. } => tensor.elem_type.as_mut(),
        _ => None,
    }
}

/// Generator of names that a graph does not use yet.
pub(super) struct Names(HashSet<String>);

impl Names {
    /// Collects all names in a graph.
    pub fn of(graph: &GraphProto) -> Self {
        let nodes = graph.node.iter().flat_map(|node| node.input.iter().chain(&node.output));
        let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
        let values = values.filter_map(|value| value.name.as_ref());
        let tensors = graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref());
        Self(nodes.chain(values).chain(tensors).cloned().collect())
    }

    /// Returns `name` if it is unused, otherwise `name` followed by a number.
    pub fn fresh(&mut self, name: String) -> String {
        let numbered = (1_u64..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !self.0.contains(name));
        let free = free.unwrap_or(name);
        self.0.insert(free.clone());
        free
    }
}

/// The graph of a model for rewriting. Models with branches, loops or functions are refused.
///
/// # Errors
/// [`OnnxError::Precision`], or [`OnnxError::Malformed`] if there is no graph.
pub(super) fn flat_graph<'a>(
    model: &'a mut ModelProto,
    precision: &'static str,
) -> Result<&'a mut GraphProto, OnnxError> {
    let refused = |problem: String| Err(OnnxError::Precision { precision, problem });
    if let Some(function) = model.functions.first() {
        let name = function.name.as_deref().unwrap_or_default();
        return refused(format!(
            "it defines an operator of its own, {name}; export it with functions inlined"
        ));
    }
    let graph = model.graph.as_mut().ok_or_else(|| OnnxError::Malformed("it holds no graph".into()))?;
    for node in &graph.node {
        if node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty()) {
            let name = node.op_type.as_deref().unwrap_or_default();
            return refused(format!(
                "operator {name} holds a graph of its own; export it without control flow"
            ));
        }
    }
    Ok(graph)
}

/// Removes constants that no node reads, and the declared types of values that no longer exist.
pub(super) fn remove_unread(graph: &mut GraphProto) {
    let mut read: HashSet<String> = graph.output.iter().filter_map(|value| value.name.clone()).collect();
    read.extend(graph.node.iter().flat_map(|node| node.input.iter().cloned()));
    graph
        .node
        .retain(|node| operator(node) != "Constant" || node.output.iter().any(|name| read.contains(name)));
    let unread = |name: &Option<String>| name.as_ref().is_some_and(|name| !read.contains(name));
    let dropped: HashSet<String> = graph
        .initializer
        .iter()
        .filter(|tensor| unread(&tensor.name))
        .filter_map(|tensor| tensor.name.clone())
        .collect();
    let kept = |name: &Option<String>| name.as_ref().is_none_or(|name| !dropped.contains(name));
    graph.initializer.retain(|tensor| kept(&tensor.name));
    // In old files initialisers are also inputs.
    graph.input.retain(|value| kept(&value.name));
    graph.value_info.retain(|value| kept(&value.name));
}

/// Records the precision in the model's metadata.
pub(super) fn record(model: &mut ModelProto, precision: &str) {
    let metadata = ModelMetadata { precision: Some(precision.into()), ..ModelMetadata::default() };
    for (key, value) in metadata.entries() {
        model.metadata_props.retain(|entry| entry.key.as_deref() != Some(key));
        model.metadata_props.push(StringStringEntryProto { key: Some(key.into()), value: Some(value) });
    }
}
