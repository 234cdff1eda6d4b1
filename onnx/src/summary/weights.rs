use std::collections::{BTreeMap, HashMap};

use crate::{
    ElementType,
    messages::{ModelProto, TensorProto},
    tensors::{for_each_node, for_each_tensor},
};

/// Number of weights by element type.
pub(super) fn by_type(model: &ModelProto) -> BTreeMap<&'static str, u64> {
    // For each input of a quantised operator, whether it is a weight.
    let mut roles: HashMap<&str, bool> = HashMap::new();
    if let Some(graph) = &model.graph {
        for_each_node(graph, &mut |node| {
            let Some(weights) = integer_weights(node.op_type.as_deref().unwrap_or_default()) else { return };
            for (position, name) in node.input.iter().enumerate() {
                let is_weight = roles.entry(name).or_default();
                *is_weight |= weights.contains(&position);
            }
        });
    }
    let mut counts = BTreeMap::new();
    // Some exporters keep weights in `Constant` nodes.
    for_each_tensor(model, &mut |tensor| {
        let element_type =
            tensor.data_type.and_then(ElementType::from_number).unwrap_or(ElementType::Undefined);
        let role = roles.get(tensor.name.as_deref().unwrap_or_default()).copied();
        if role.unwrap_or_else(|| is_floating(element_type)) {
            let count: &mut u64 = counts.entry(element_type.name()).or_default();
            *count = count.saturating_add(elements(tensor));
        }
    });
    counts
}

/// Positions of the inputs of an integer operator that are weights; the others are activations, scales and zero points.
fn integer_weights(operator: &str) -> Option<&'static [usize]> {
    Some(match operator {
        "DequantizeLinear" => &[0],
        "QuantizeLinear" => &[],
        "ConvInteger" | "MatMulInteger" | "MatMulIntegerToFloat" | "DynamicQuantizeMatMul" => &[1],
        "QLinearMatMul" => &[3],
        "QLinearConv" => &[3, 8],
        "QGemm" => &[3, 6],
        _ => return None,
    })
}

fn is_floating(element_type: ElementType) -> bool {
    use ElementType::{Bfloat16, Double, Float, Float16};
    matches!(element_type, Float | Float16 | Bfloat16 | Double)
}

fn elements(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().fold(1_u64, |count, &dim| count.saturating_mul(u64::try_from(dim).unwrap_or(0)))
}
