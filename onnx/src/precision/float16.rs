use half::f16;

use super::rewriting::{Names, element_type, flat_graph, node, operator, record};
use crate::{
    ElementType, OnnxError,
    attributes::int,
    messages::{
        AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
    },
    tensors::floats,
};

const FLOAT: i32 = ElementType::Float as i32;
const FLOAT16: i32 = ElementType::Float16 as i32;

/// Operators without a float16 form, or whose result type is not given by an attribute that is converted here.
const FLOAT_ONLY: [&str; 14] = [
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "Resize",
    "Upsample",
    "NonMaxSuppression",
    "RandomNormal",
    "RandomUniform",
    "EyeLike",
    "HannWindow",
    "HammingWindow",
    "BlackmanWindow",
];

/// Converts the weights and the arithmetic of a model from float32 to float16.
///
/// Inputs and outputs keep their types; a `Cast` is added after each input and before each output. An engine without
/// float16 arithmetic, such as ONNX Runtime on most processors, computes in float32 with the rounded weights.
///
/// # Errors
/// [`OnnxError::Precision`] if a weight is too large for float16 or in another file, if an operator has no float16
/// form, or if the model has branches, loops or functions.
///
/// # Example
/// ```
/// use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, summarize, to_float16};
/// use ndarray::ArrayD;
///
/// let mut graph = GraphBuilder::new("linear");
/// let image = graph.input("image", ElementType::Float, &[Dim::symbolic("batch"), Dim::Fixed(4)])?;
/// let weight = graph.constant("weight", &ArrayD::from_elem(vec![3, 4], 0.1).view());
/// let logits = graph.linear(&image, &weight, None)?;
/// let model = to_float16(&graph.finish(&[("logits", &logits)], &ModelMetadata::default())?)?;
/// let summary = summarize(&model)?;
/// assert_eq!(summary.inputs[0].to_string(), "image: float [batch, 4]");
/// assert_eq!(summary.operators["Cast"], 2);
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
pub fn to_float16(model: &ModelProto) -> Result<ModelProto, OnnxError> {
    let mut model = model.clone();
    let graph = flat_graph(&mut model, "float16")?;
    for node in &graph.node {
        let name = operator(node);
        if name.is_empty() || FLOAT_ONLY.contains(&name) {
            let name = node.op_type.as_deref().unwrap_or_default();
            return refused(format!("operator {name} has no float16 form"));
        }
    }
    for tensor in &mut graph.initializer {
        convert(tensor)?;
    }
    for node in &mut graph.node {
        convert_attributes(node)?;
    }
    graph.value_info.iter_mut().for_each(retype);
    cast_ends(graph);
    record(&mut model, "float16");
    Ok(model)
}

fn refused<T>(problem: String) -> Result<T, OnnxError> {
    Err(OnnxError::Precision { precision: "float16", problem })
}

/// Converts a float32 tensor to float16; others stay unchanged.
fn convert(tensor: &mut TensorProto) -> Result<(), OnnxError> {
    if tensor.data_type != Some(FLOAT) {
        return Ok(());
    }
    let name = tensor.name.clone().unwrap_or_default();
    let Some(values) = floats(tensor) else {
        return refused(format!("the weights {name} are not in the model's file itself"));
    };
    let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
    if let Some((value, _)) =
        values.iter().zip(&halves).find(|(value, half)| value.is_finite() && !half.is_finite())
    {
        return refused(format!("the weights {name} hold {value}, and float16 ends at 65504"));
    }
    tensor.data_type = Some(FLOAT16);
    tensor.float_data.clear();
    tensor.raw_data = Some(halves.into_iter().flat_map(f16::to_le_bytes).collect());
    Ok(())
}

/// Changes the declared type of a value from float32 to float16.
fn retype(value: &mut ValueInfoProto) {
    if let Some(number) = element_type(value)
        && *number == FLOAT
    {
        *number = FLOAT16;
    }
}

/// Changes float32 to float16 in the attributes of a node.
fn convert_attributes(node: &mut NodeProto) -> Result<(), OnnxError> {
    let name = operator(node).to_owned();
    let made_from_nothing = name == "ConstantOfShape" && node.attribute.is_empty();
    for attribute in &mut node.attribute {
        let role = attribute.name.as_deref().unwrap_or_default();
        match (name.as_str(), role) {
            ("Constant", "value_float" | "value_floats") => {
                let single = role == "value_float";
                let values =
                    if single { vec![attribute.f.unwrap_or_default()] } else { attribute.floats.clone() };
                let tensor = TensorProto {
                    dims: if single { Vec::new() } else { vec![values.len() as i64] },
                    data_type: Some(FLOAT),
                    float_data: values,
                    ..TensorProto::default()
                };
                *attribute = value(tensor);
            }
            ("Cast", "to") | (_, "dtype") if attribute.i == Some(i64::from(FLOAT)) => {
                attribute.i = Some(i64::from(FLOAT16));
            }
            _ => {}
        }
        if let Some(tensor) = &mut attribute.t {
            convert(tensor)?;
        }
    }
    if made_from_nothing {
        let zero = TensorProto {
            dims: vec![1],
            data_type: Some(FLOAT16),
            raw_data: Some(vec![0, 0]),
            ..TensorProto::default()
        };
        node.attribute.push(value(zero));
    }
    Ok(())
}

fn value(tensor: TensorProto) -> AttributeProto {
    AttributeProto {
        name: Some("value".into()),
        r#type: Some(AttributeType::Tensor as i32),
        t: Some(Box::new(tensor)),
        ..AttributeProto::default()
    }
}

/// Adds a `Cast` after every float32 input and before every float32 output.
fn cast_ends(graph: &mut GraphProto) {
    let mut names = Names::of(graph);
    let constants: Vec<Option<String>> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
    let mut first = Vec::new();
    for position in 0..graph.input.len() {
        let value = &mut graph.input[position];
        if element_type(value).is_none_or(|number| *number != FLOAT) {
            continue;
        }
        if constants.contains(&value.name) {
            retype(value);
            continue;
        }
        let given = value.name.clone().unwrap_or_default();
        let cast = names.fresh(format!("{given}_float16"));
        for name in graph.node.iter_mut().flat_map(|node| &mut node.input).filter(|name| **name == given) {
            name.clone_from(&cast);
        }
        first.push(node("Cast", &[&given], &cast, vec![int("to", i64::from(FLOAT16))]));
    }
    let mut last = Vec::new();
    for position in 0..graph.output.len() {
        let value = &mut graph.output[position];
        let is_float = element_type(value).is_some_and(|number| *number == FLOAT);
        let wanted = value.name.clone().unwrap_or_default();
        // An output that no node computes is an input, a constant, or already cast.
        if !is_float || !graph.node.iter().any(|node| node.output.contains(&wanted)) {
            continue;
        }
        let halves = names.fresh(format!("{wanted}_float16"));
        for node in &mut graph.node {
            for name in node.output.iter_mut().chain(&mut node.input).filter(|name| **name == wanted) {
                name.clone_from(&halves);
            }
        }
        for value in graph.value_info.iter_mut().filter(|value| value.name.as_ref() == Some(&wanted)) {
            value.name = Some(halves.clone());
        }
        last.push(node("Cast", &[&halves], &wanted, vec![int("to", i64::from(FLOAT))]));
    }
    graph.node.splice(0..0, first);
    graph.node.extend(last);
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;
    use crate::{Dim, GraphBuilder, ModelMetadata, Value, precision::rewriting::int_attribute, summarize};

    fn linear(weight: f32) -> (GraphBuilder, Value) {
        let mut graph = GraphBuilder::new("linear");
        let image =
            graph.input("image", ElementType::Float, &[Dim::symbolic("batch"), Dim::Fixed(2)]).unwrap();
        let weight = graph.constant("weight", &ArrayD::from_elem(vec![3, 2], weight).view());
        let hidden = graph.linear(&image, &weight, None).unwrap();
        (graph, hidden)
    }

    fn finished(graph: GraphBuilder, outputs: &[(&str, &Value)]) -> ModelProto {
        graph.finish(outputs, &ModelMetadata::default()).unwrap()
    }

    #[test]
    fn weights_are_rounded_and_the_ends_keep_their_type() {
        let (mut graph, hidden) = linear(0.1);
        let logits = graph.relu(&hidden);
        let model = to_float16(&finished(graph, &[("hidden", &hidden), ("logits", &logits)])).unwrap();
        let summary = summarize(&model).unwrap();
        let ends: Vec<String> =
            summary.inputs.iter().chain(&summary.outputs).map(ToString::to_string).collect();
        assert_eq!(ends, ["image: float [batch, 2]", "hidden: float [batch, 3]", "logits: float [batch, 3]"]);
        assert_eq!(summary.metadata["mithridate.precision"], "float16");
        assert_eq!((summary.parameters, summary.precision()), (6, Some("float16")));
        let graph = model.graph.unwrap();
        // 0.1 in float16 is 0x2E66, from IEEE 754.
        assert_eq!(graph.initializer[0].raw_data.as_deref().unwrap(), [0x66, 0x2E].repeat(6));
        assert_eq!(graph.initializer[0].data_type, Some(FLOAT16));
        let calls: Vec<(&str, &[String], &[String])> =
            graph.node.iter().map(|node| (operator(node), &node.input[..], &node.output[..])).collect();
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            calls,
            [
                ("Cast", &words(&["image"])[..], &words(&["image_float16"])[..]),
                ("Gemm", &words(&["image_float16", "weight"]), &words(&["hidden_float16"])),
                ("Relu", &words(&["hidden_float16"]), &words(&["logits_float16"])),
                ("Cast", &words(&["hidden_float16"]), &words(&["hidden"])),
                ("Cast", &words(&["logits_float16"]), &words(&["logits"])),
            ]
        );
        let to = |position: usize| int_attribute(&graph.node[position], "to").unwrap();
        assert_eq!([to(0), to(3), to(4)], [10, 1, 1]);
    }

    #[test]
    fn constants_in_nodes_become_float16_too() {
        let (mut graph, hidden) = linear(1.0);
        let attribute = crate::attributes::float("value_float", 0.5);
        let half = graph.operator("Constant", &[], vec![attribute], ElementType::Float, Vec::new());
        let shape = hidden.shape().to_vec();
        let logits = graph.operator("Mul", &[&hidden, &half], Vec::new(), ElementType::Float, shape);
        let graph = to_float16(&finished(graph, &[("logits", &logits)])).unwrap().graph.unwrap();
        let constant = graph.node.iter().find(|node| operator(node) == "Constant").unwrap();
        let tensor = constant.attribute[0].t.as_ref().unwrap();
        assert_eq!(constant.attribute[0].name.as_deref(), Some("value"));
        assert_eq!((tensor.data_type, tensor.raw_data.as_deref()), (Some(FLOAT16), Some(&[0x00, 0x38][..])));
    }

    #[test]
    fn what_has_no_float16_form_is_refused_with_a_reason() {
        let (graph, hidden) = linear(70_000.0);
        let error = to_float16(&finished(graph, &[("logits", &hidden)])).unwrap_err().to_string();
        assert_eq!(
            error,
            "the model can't be written in float16: the weights weight hold 70000, and float16 ends at 65504"
        );
        let (mut graph, hidden) = linear(1.0);
        let shape = hidden.shape().to_vec();
        let logits = graph.operator("Resize", &[&hidden], Vec::new(), ElementType::Float, shape);
        let error = to_float16(&finished(graph, &[("logits", &logits)])).unwrap_err().to_string();
        assert!(error.ends_with("operator Resize has no float16 form"), "{error}");
        let (graph, hidden) = linear(1.0);
        let mut model = finished(graph, &[("logits", &hidden)]);
        model.graph.as_mut().unwrap().initializer[0].raw_data = None;
        let error = to_float16(&model).unwrap_err().to_string();
        assert!(error.ends_with("the weights weight are not in the model's file itself"), "{error}");
    }
}
