use crate::{
    messages::{GraphProto, ModelProto, NodeProto},
    tensors::floats,
};

/// Normalisation at the start of a model, guessed from its first operators.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Normalization {
    /// The operators, in order, such as `Sub` and `Div`.
    pub operators: Vec<String>,
    /// Whether the constants are so large or small that the input must be in \[0, 255\].
    pub of_bytes: bool,
}

/// Operators that do not change values, apart from rounding.
const NEUTRAL: [&str; 8] = [
    "Cast",
    "Identity",
    "Transpose",
    "Reshape",
    "Flatten",
    "QuantizeLinear",
    "DequantizeLinear",
    "Unsqueeze",
];

/// Finds operators at the start of a model that shift or scale the input `input` by constants.
pub fn find_normalization(model: &ModelProto, input: &str) -> Option<Normalization> {
    let graph = model.graph.as_ref()?;
    let (mut value, mut operators, mut of_bytes) = (input, Vec::new(), false);
    // Each step follows another node; the limit also ends a cycle.
    for _ in 0..graph.node.len() {
        let mut readers = graph.node.iter().filter(|node| node.input.iter().any(|name| name == value));
        let (Some(node), None) = (readers.next(), readers.next()) else { break };
        let operator = node.op_type.as_deref().unwrap_or_default();
        if operator == "BatchNormalization" {
            operators.push(operator.to_owned());
        } else if matches!(operator, "Sub" | "Add" | "Mul" | "Div") {
            let others = node.input.iter().filter(|name| *name != value);
            let constants: Vec<f32> = others.filter_map(|name| constant(graph, name)).flatten().collect();
            if constants.is_empty() {
                break;
            }
            let largest = constants.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            // Division by about 255 or 127.5, or means of bytes. For images in [0, 1] these constants are below 1.
            of_bytes |= match operator {
                "Mul" => operators.is_empty() && largest > 0.0 && largest < 0.05,
                _ => operators.is_empty() && largest > 16.0,
            };
            operators.push(operator.to_owned());
        } else if !NEUTRAL.contains(&operator) {
            break;
        }
        let Some(output) = node.output.first() else { break };
        value = output;
    }
    (!operators.is_empty()).then_some(Normalization { operators, of_bytes })
}

fn constant(graph: &GraphProto, name: &str) -> Option<Vec<f32>> {
    let initializer = graph.initializer.iter().find(|tensor| tensor.name.as_deref() == Some(name));
    let tensor = initializer.or_else(|| {
        let made = |node: &&NodeProto| {
            node.op_type.as_deref() == Some("Constant")
                && node.output.first().is_some_and(|output| output == name)
        };
        graph.node.iter().find(made)?.attribute.iter().find_map(|attribute| attribute.t.as_deref())
    })?;
    // The values of other types are not read; it only matters that it is a constant.
    Some(floats(tensor).unwrap_or_else(|| vec![0.0]))
}
