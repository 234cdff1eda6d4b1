use std::collections::HashMap;

use crate::{
    ElementType, OnnxError,
    messages::{
        Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, TypeValue,
        ValueInfoProto,
    },
};

/// Rewrites a model with a fixed batch size so that it takes any batch size.
///
/// The first dimension of the input named `input`, and of every output with the same size there, becomes symbolic.
/// Recorded shapes of intermediate values are removed. A `Reshape` to a constant shape that starts with the batch size
/// is changed to keep its first dimension (−1, or 0 if another dimension is −1 already). Other operators may contain
/// the batch size too, so the caller must test whether the result computes the same.
///
/// # Errors
/// [`OnnxError::Batch`] if the model has no such input or its batch dimension is not fixed.
///
/// # Example
/// ```
/// use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, summarize, with_symbolic_batch};
///
/// let mut graph = GraphBuilder::new("relu");
/// let image = graph.input("image", ElementType::Float, &[Dim::Fixed(1), Dim::Fixed(4)])?;
/// let output = graph.relu(&image);
/// let fixed = graph.finish(&[("y", &output)], &ModelMetadata::default())?;
/// let model = with_symbolic_batch(&fixed, "image")?;
/// assert_eq!(summarize(&model)?.inputs[0].to_string(), "image: float [batch, 4]");
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
pub fn with_symbolic_batch(model: &ModelProto, input: &str) -> Result<ModelProto, OnnxError> {
    let mut model = model.clone();
    let graph = model.graph.as_mut().ok_or_else(|| OnnxError::Batch("the model holds no graph".into()))?;
    let found = graph.input.iter_mut().find(|value| value.name.as_deref() == Some(input));
    let batch = match found.and_then(first_dimension) {
        Some(dimension) => match dimension.value {
            Some(DimensionValue::Size(size)) if size > 0 => {
                dimension.value = Some(DimensionValue::Name("batch".into()));
                size
            }
            _ => return Err(OnnxError::Batch(format!("that of input {input} is not fixed"))),
        },
        None => return Err(OnnxError::Batch(format!("there is no tensor input {input} with dimensions"))),
    };
    for output in &mut graph.output {
        if let Some(dimension) = first_dimension(output)
            && dimension.value == Some(DimensionValue::Size(batch))
        {
            dimension.value = Some(DimensionValue::Name("batch".into()));
        }
    }
    graph.value_info.clear();
    keep_batch_in_reshapes(graph, batch);
    Ok(model)
}

fn first_dimension(value: &mut ValueInfoProto) -> Option<&mut Dimension> {
    match value.r#type.as_mut()? {
        TypeProto { value: Some(TypeValue::Tensor(tensor)), .. } => tensor.shape.as_mut()?.dim.first_mut(),
        _ => None,
    }
}

/// Changes every `Reshape` to a constant shape that starts with the batch size: gives it a new constant without that
/// size.
fn keep_batch_in_reshapes(graph: &mut GraphProto, batch: i64) {
    let mut constants: HashMap<String, Vec<i64>> = HashMap::new();
    for tensor in &graph.initializer {
        if let (Some(name), Some(values)) = (&tensor.name, int64_values(tensor)) {
            constants.insert(name.clone(), values);
        }
    }
    for node in graph.node.iter().filter(|node| node.op_type.as_deref() == Some("Constant")) {
        if let (Some(name), Some(values)) = (node.output.first(), constant_values(node)) {
            constants.insert(name.clone(), values);
        }
    }
    for (number, node) in graph.node.iter_mut().enumerate() {
        if node.op_type.as_deref() != Some("Reshape") || keeps_zeros(node) {
            continue;
        }
        if let Some(shape) = node.input.get_mut(1) {
            let Some(kept) = constants.get(shape).and_then(|sizes| without_batch(sizes, batch)) else {
                continue;
            };
            let name = format!("mithridate_reshape_{number}");
            graph.initializer.push(TensorProto {
                name: Some(name.clone()),
                dims: vec![kept.len() as i64],
                data_type: Some(ElementType::Int64 as i32),
                raw_data: Some(kept.iter().flat_map(|size| size.to_le_bytes()).collect()),
                ..TensorProto::default()
            });
            *shape = name;
        } else if let Some(attribute) =
            node.attribute.iter_mut().find(|attribute| attribute.name.as_deref() == Some("shape"))
            && let Some(kept) = without_batch(&attribute.ints, batch)
        {
            // Before opset 5 the shape was an attribute.
            attribute.ints = kept;
        }
    }
}

/// Whether a 0 in the shape of a `Reshape` means a dimension of size 0 instead of a dimension to keep.
fn keeps_zeros(node: &NodeProto) -> bool {
    node.attribute
        .iter()
        .any(|attribute| attribute.name.as_deref() == Some("allowzero") && attribute.i == Some(1))
}

fn without_batch(shape: &[i64], batch: i64) -> Option<Vec<i64>> {
    let (&first, rest) = shape.split_first()?;
    let kept = if rest.contains(&-1) { 0 } else { -1 };
    (first == batch && !rest.is_empty()).then(|| std::iter::once(kept).chain(rest.iter().copied()).collect())
}

fn constant_values(node: &NodeProto) -> Option<Vec<i64>> {
    node.attribute.iter().find_map(|attribute| match attribute.name.as_deref() {
        Some("value") => attribute.t.as_deref().and_then(int64_values),
        Some("value_ints") => Some(attribute.ints.clone()),
        _ => None,
    })
}

/// The elements of a one-dimensional tensor of 64-bit integers.
fn int64_values(tensor: &TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != Some(ElementType::Int64 as i32) || tensor.dims.len() != 1 {
        return None;
    }
    match &tensor.raw_data {
        Some(bytes) if !bytes.is_empty() => {
            let (eights, _) = bytes.as_chunks::<8>();
            Some(eights.iter().map(|eight| i64::from_le_bytes(*eight)).collect())
        }
        _ => Some(tensor.int64_data.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dim, GraphBuilder, ModelMetadata, summarize};

    #[test]
    fn the_batch_leaves_a_reshape() {
        assert_eq!(without_batch(&[4, 100], 4), Some(vec![-1, 100]));
        assert_eq!(without_batch(&[1, -1], 1), Some(vec![0, -1]));
        assert_eq!(without_batch(&[5, 100], 4), None);
        assert_eq!(without_batch(&[4], 4), None);
        assert_eq!(without_batch(&[], 4), None);
    }

    #[test]
    fn only_a_fixed_batch_of_an_input_that_is_there_is_changed() {
        let mut graph = GraphBuilder::new("relu");
        let image = graph.input("image", ElementType::Float, &[Dim::symbolic("n"), Dim::Fixed(4)]).unwrap();
        let output = graph.relu(&image);
        let model = graph.finish(&[("y", &output)], &ModelMetadata::default()).unwrap();
        for (input, expected) in [("image", "that of input image is not fixed"), ("x", "no tensor input x")] {
            let error = with_symbolic_batch(&model, input).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(summarize(&model).unwrap().inputs[0].to_string(), "image: float [n, 4]");
    }
}
