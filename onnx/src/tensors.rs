use crate::{
    ElementType,
    messages::{
        AttributeProto, DataLocation, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto,
    },
};

/// The elements of a float32 tensor. `None` if it has another type, its elements are in another file, or their number
/// does not match its shape.
pub(crate) fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != Some(ElementType::Float as i32)
        || tensor.data_location == Some(DataLocation::External as i32)
    {
        return None;
    }
    let values: Vec<f32> = match &tensor.raw_data {
        Some(bytes) if !bytes.is_empty() => {
            let (fours, _) = bytes.as_chunks::<4>();
            fours.iter().map(|four| f32::from_le_bytes(*four)).collect()
        }
        _ => tensor.float_data.clone(),
    };
    let count = tensor.dims.iter().try_fold(1_i64, |count, &size| count.checked_mul(size));
    (count == i64::try_from(values.len()).ok()).then_some(values)
}

/// Calls `visit` with every tensor of a model, including those in inner graphs, attributes and functions.
pub(crate) fn for_each_tensor<'a>(model: &'a ModelProto, visit: &mut impl FnMut(&'a TensorProto)) {
    let training = model.training_info.iter().flat_map(|info| [&info.initialization, &info.algorithm]);
    for graph in std::iter::once(&model.graph).chain(training).flatten() {
        graph_tensors(graph, visit);
    }
    functions(model, visit);
}

/// Calls `visit` with every tensor that is not in the model's main graph: those of inner graphs and of functions.
pub(crate) fn for_each_inner_tensor<'a>(model: &'a ModelProto, visit: &mut impl FnMut(&'a TensorProto)) {
    for attribute in model.graph.iter().flat_map(|graph| &graph.node).flat_map(|node| &node.attribute) {
        for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
            graph_tensors(graph, visit);
        }
    }
    functions(model, visit);
}

fn functions<'a>(model: &'a ModelProto, visit: &mut impl FnMut(&'a TensorProto)) {
    for function in &model.functions {
        nodes(&function.node, visit);
        attributes(&function.attribute_proto, visit);
    }
}

/// Calls `visit` with every node of a graph and of its inner graphs.
pub(crate) fn for_each_node<'a>(graph: &'a GraphProto, visit: &mut impl FnMut(&'a NodeProto)) {
    for node in &graph.node {
        visit(node);
        for attribute in &node.attribute {
            for inner in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
                for_each_node(inner, visit);
            }
        }
    }
}

fn graph_tensors<'a>(graph: &'a GraphProto, visit: &mut impl FnMut(&'a TensorProto)) {
    graph.initializer.iter().for_each(&mut *visit);
    sparse(&graph.sparse_initializer, visit);
    nodes(&graph.node, visit);
}

fn nodes<'a>(nodes: &'a [NodeProto], visit: &mut impl FnMut(&'a TensorProto)) {
    for node in nodes {
        attributes(&node.attribute, visit);
    }
}

fn attributes<'a>(list: &'a [AttributeProto], visit: &mut impl FnMut(&'a TensorProto)) {
    for attribute in list {
        attribute.t.as_deref().into_iter().chain(&attribute.tensors).for_each(&mut *visit);
        sparse(attribute.sparse_tensor.as_deref().into_iter().chain(&attribute.sparse_tensors), visit);
        for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
            graph_tensors(graph, visit);
        }
    }
}

fn sparse<'a>(
    list: impl IntoIterator<Item = &'a SparseTensorProto>,
    visit: &mut impl FnMut(&'a TensorProto),
) {
    for tensor in list {
        tensor.values.iter().chain(&tensor.indices).for_each(&mut *visit);
    }
}
