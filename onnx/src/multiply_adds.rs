use std::collections::HashSet;

use crate::{
    messages::{ModelProto, NodeProto},
    tensors::for_each_node,
};

/// Convolutions and matrix products, with the positions of the two operands among the inputs.
const PRODUCTS: [(&str, [usize; 2]); 9] = [
    ("Conv", [0, 1]),
    ("Gemm", [0, 1]),
    ("MatMul", [0, 1]),
    ("ConvInteger", [0, 1]),
    ("MatMulInteger", [0, 1]),
    ("MatMulIntegerToFloat", [0, 1]),
    ("QLinearConv", [0, 3]),
    ("QLinearMatMul", [0, 3]),
    ("QGemm", [0, 3]),
];

/// Names of the values whose shapes [`multiply_adds`] needs: operands and results of convolutions and matrix products.
/// `None` if such an operator is in a branch, loop or function, since these may run any number of times.
pub fn products(model: &ModelProto) -> Option<Vec<&str>> {
    let graph = model.graph.as_ref()?;
    let mut all = 0;
    for_each_node(graph, &mut |node| all += usize::from(operands(node).is_some()));
    let own = graph.node.iter().filter(|node| operands(node).is_some());
    if all != own.clone().count() || !model.functions.is_empty() {
        return None;
    }
    let values =
        own.flat_map(|node| node.output.first().into_iter().chain(operands(node).into_iter().flatten()));
    let mut seen = HashSet::new();
    Some(values.map(String::as_str).filter(|name| seen.insert(*name)).collect())
}

/// Number of multiply-add operations of all convolutions and matrix products of a model. For each element of a result
/// it counts the products that are summed; products with padding zeros count too, as usual.
///
/// `shape` returns the shape of a value by its name; its first dimension determines the batch size. `None` if a shape
/// is not known, or if [`products`] returns `None`.
///
/// ```
/// use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, multiply_adds};
/// use ndarray::ArrayD;
///
/// let mut graph = GraphBuilder::new("linear");
/// let image = graph.input("image", ElementType::Float, &[Dim::symbolic("batch"), Dim::Fixed(4)])?;
/// let weight = graph.constant("weight", &ArrayD::zeros(vec![3, 4]).view());
/// let logits = graph.linear(&image, &weight, None)?;
/// let model = graph.finish(&[("logits", &logits)], &ModelMetadata::default())?;
/// let shape = |name: &str| match name {
///     "image" => Some(vec![1, 4]),
///     "weight" => Some(vec![3, 4]),
///     "logits" => Some(vec![1, 3]),
///     _ => None,
/// };
/// assert_eq!(multiply_adds(&model, shape), Some(12));
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
pub fn multiply_adds(model: &ModelProto, shape: impl Fn(&str) -> Option<Vec<i64>>) -> Option<u64> {
    products(model)?;
    let mut total = 0_u64;
    for node in &model.graph.as_ref()?.node {
        let Some([left, right]) = operands(node) else { continue };
        let (result, left, right) = (shape(node.output.first()?)?, shape(left)?, shape(right)?);
        let summed = if node.op_type.as_deref()?.contains("Conv") {
            // The weight has the channels of one group, so this is right for grouped convolutions too.
            elements(right.get(1..)?)?
        } else {
            let transposed = node.attribute.iter().any(|attribute| {
                attribute.name.as_deref() == Some("transA") && attribute.i.unwrap_or_default() != 0
            });
            let last = left.len().checked_sub(if transposed { 2 } else { 1 })?;
            elements(&left[last..=last])?
        };
        total = total.checked_add(elements(&result)?.checked_mul(summed)?)?;
    }
    Some(total)
}

fn operands(node: &NodeProto) -> Option<[&String; 2]> {
    let operator = node.op_type.as_deref()?;
    let (_, [left, right]) = PRODUCTS.iter().find(|(name, _)| *name == operator)?;
    Some([node.input.get(*left)?, node.input.get(*right)?])
}

fn elements(dims: &[i64]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |count, &dim| count.checked_mul(u64::try_from(dim).ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::messages::{AttributeProto, GraphProto};

    fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some(operator.into()),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn model(nodes: Vec<NodeProto>) -> ModelProto {
        ModelProto {
            graph: Some(GraphProto { node: nodes, ..GraphProto::default() }),
            ..ModelProto::default()
        }
    }

    #[test]
    fn products_by_hand() {
        let shapes = HashMap::from([
            ("image", vec![2, 6, 8, 8]),
            // Two groups of three channels each.
            ("filters", vec![4, 3, 3, 3]),
            ("features", vec![2, 4, 8, 8]),
            ("a", vec![5, 7]),
            ("b", vec![5, 3]),
            ("c", vec![7, 3]),
            ("q", vec![2, 8, 10, 16]),
            ("k", vec![2, 8, 16, 10]),
            ("scores", vec![2, 8, 10, 10]),
        ]);
        let shape = |name: &str| shapes.get(name).cloned();
        let mut transposed = node("Gemm", &["a", "b"], "c");
        transposed.attribute =
            vec![AttributeProto { name: Some("transA".into()), i: Some(1), ..AttributeProto::default() }];
        let convolution = node("QLinearConv", &["image", "s", "z", "filters"], "features");
        for (node, expected) in [
            (node("Conv", &["image", "filters"], "features"), 2 * 4 * 64 * 27),
            (convolution, 2 * 4 * 64 * 27),
            (transposed, 7 * 3 * 5),
            (node("MatMul", &["q", "k"], "scores"), 2 * 8 * 100 * 16),
            (node("Relu", &["image"], "y"), 0),
        ] {
            let operator = node.op_type.clone();
            assert_eq!(multiply_adds(&model(vec![node]), shape), Some(expected), "{operator:?}");
        }
        let unknown = model(vec![node("MatMul", &["q", "other"], "scores")]);
        assert_eq!(multiply_adds(&unknown, shape), None);
        assert_eq!(products(&unknown).unwrap(), ["scores", "q", "other"]);
    }

    #[test]
    fn products_in_a_branch_are_not_counted_but_said() {
        let inner = model(vec![node("MatMul", &["a", "b"], "c")]).graph.map(Box::new);
        let mut branch = node("If", &["condition"], "c");
        branch.attribute = vec![AttributeProto { g: inner, ..AttributeProto::default() }];
        assert_eq!(products(&model(vec![branch])), None);
    }
}
