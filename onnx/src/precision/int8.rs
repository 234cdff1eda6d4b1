use std::collections::HashMap;

use super::{
    Affine,
    activations::{Product, products, quantized},
    affine::quantize_weights,
    rewriting::{Names, constants, flat_graph, node, record, remove_unread, tensor},
};
use crate::{
    ElementType, OnnxError,
    attributes::int,
    messages::{GraphProto, ModelProto, NodeProto, TensorProto},
};

/// First version of the standard operator set in which each channel can have a scale.
const LEAST_OPSET: i64 = 13;
/// Largest bias in units of its scale. It leaves room for the sum to which the bias is added.
const LARGEST_BIAS: f32 = (1_u32 << 30) as f32;

/// Quantises the products of `Conv`, `Gemm` and `MatMul` to 8-bit integers (static quantisation). The result has
/// `QuantizeLinear` and `DequantizeLinear` nodes around them (QDQ format), which engines fuse into integer kernels.
///
/// Weights are signed and symmetric, with a scale for each output channel. Activations are unsigned, with one scale and
/// zero point. Biases have 32 bits. The values from which a product is computed are quantised too, back to the last
/// operator without an integer form; outputs are not. Fold batch normalisation before.
///
/// Products of unsigned activations with signed weights can saturate on x86 processors without VNNI. ONNX Runtime has a
/// session option against this, `session.x64quantprecision`.
///
/// `range` returns the smallest and largest element of the value with a given name, over representative inputs.
///
/// # Errors
/// [`OnnxError::Precision`] if there is no product with constant float32 weights, a weight or range is not finite, a
/// range is missing, the operator set is older than 13, or the model has branches, loops or functions.
///
/// # Example
/// ```
/// use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, summarize, to_int8};
/// use ndarray::ArrayD;
///
/// let mut graph = GraphBuilder::new("linear");
/// let image = graph.input("image", ElementType::Float, &[Dim::symbolic("batch"), Dim::Fixed(4)])?;
/// let weight = graph.constant("weight", &ArrayD::from_elem(vec![3, 4], 0.1).view());
/// let logits = graph.linear(&image, &weight, None)?;
/// let model = graph.finish(&[("logits", &logits)], &ModelMetadata::default())?;
/// let model = to_int8(&model, |name| (name == "image").then_some([-1.0, 2.0]))?;
/// assert_eq!(summarize(&model)?.operators["DequantizeLinear"], 2);
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
pub fn to_int8(
    model: &ModelProto,
    range: impl Fn(&str) -> Option<[f32; 2]>,
) -> Result<ModelProto, OnnxError> {
    let mut model = model.clone();
    let standard = |domain: &Option<String>| matches!(domain.as_deref(), None | Some("" | "ai.onnx"));
    let opset = model.opset_import.iter().find(|opset| standard(&opset.domain));
    let opset = opset.and_then(|opset| opset.version).unwrap_or_default();
    if opset < LEAST_OPSET {
        return refused(format!(
            "it is in operator set {opset}, and {LEAST_OPSET} is the first with what it takes"
        ));
    }
    let graph = flat_graph(&mut model, "int8")?;
    let (products, inputs, affine) = plan(graph, range)?;
    let mut rewriting = Rewriting { names: Names::of(graph), constants: Vec::new() };
    let mut inserted: HashMap<usize, Vec<NodeProto>> = HashMap::new();
    for (product, input) in products.iter().zip(&inputs) {
        let made = rewriting.quantize_product(&mut graph.node[product.node], product, affine[input])?;
        inserted.entry(product.node).or_default().extend(made);
    }
    let (first, after) = rewriting.quantize_values(graph, &affine);
    let mut nodes = first;
    for (number, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        nodes.extend(inserted.remove(&number).unwrap_or_default());
        let made: Vec<NodeProto> =
            node.output.iter().filter_map(|name| after.get(name)).flatten().cloned().collect();
        nodes.push(node);
        nodes.extend(made);
    }
    graph.node = nodes;
    graph.initializer.extend(rewriting.constants);
    remove_unread(graph);
    record(&mut model, "int8");
    Ok(model)
}

fn refused<T>(problem: String) -> Result<T, OnnxError> {
    Err(OnnxError::Precision { precision: "int8", problem })
}

/// The plan of a quantisation: the products, the names of their inputs, and the quantisation of each value.
type Plan = (Vec<Product>, Vec<String>, HashMap<String, Affine>);

fn plan(graph: &GraphProto, range: impl Fn(&str) -> Option<[f32; 2]>) -> Result<Plan, OnnxError> {
    let constants = constants(graph);
    let products = products(graph, &constants);
    if products.is_empty() {
        return refused(
            "it has no Conv, Gemm or MatMul with constant float32 weights in the model's file itself".into(),
        );
    }
    let mut affine = HashMap::new();
    for (name, source) in quantized(graph, &products, &constants) {
        let Some(range) = range(&source) else {
            return refused(format!("the range of {source} is not known"));
        };
        affine.insert(name, Affine::of_range(range)?);
    }
    let inputs = products.iter().map(|product| graph.node[product.node].input[0].clone()).collect();
    Ok((products, inputs, affine))
}

/// New names and constants of a rewriting.
struct Rewriting {
    names: Names,
    constants: Vec<TensorProto>,
}

impl Rewriting {
    /// Adds a constant; returns its name.
    fn constant(&mut self, name: String, element_type: ElementType, dims: &[i64], bytes: Vec<u8>) -> String {
        let name = self.names.fresh(name);
        self.constants.push(tensor(&name, element_type, dims, bytes));
        name
    }

    fn floats(&mut self, name: String, dims: &[i64], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, ElementType::Float, dims, bytes)
    }

    /// Changes a product to read quantised weights and bias. Returns the nodes to insert before it.
    fn quantize_product(
        &mut self,
        reader: &mut NodeProto,
        product: &Product,
        input: Affine,
    ) -> Result<Vec<NodeProto>, OnnxError> {
        let name = reader.input[1].clone();
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !finite(&product.weights) || !product.bias.as_deref().is_none_or(finite) {
            return refused(format!("the weights {name}, or the bias beside them, hold NaN or infinity"));
        }
        let channels = product.channels();
        let least: Vec<f32> = match &product.bias {
            Some(bias) => bias.iter().map(|bias| bias.abs() / LARGEST_BIAS / input.scale).collect(),
            None => vec![0.0; channels],
        };
        let weights = quantize_weights(&product.weights, |element| product.channel(element), &least);
        if !finite(&weights.scales) {
            return refused(format!("the bias beside the weights {name} is too large for its input's range"));
        }
        let vector = [channels as i64];
        let scales = self.floats(format!("{name}_scale"), &vector, &weights.scales);
        let zeros =
            self.constant(format!("{name}_zero_point"), ElementType::Int8, &vector, vec![0; channels]);
        let bytes = weights.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let integers = self.constant(format!("{name}_quantized"), ElementType::Int8, &product.dims, bytes);
        let read = self.names.fresh(format!("{name}_dequantized"));
        let axis = vec![int("axis", product.axis as i64)];
        let mut nodes = vec![node("DequantizeLinear", &[&integers, &scales, &zeros], &read, axis)];
        reader.input[1] = read;
        if let Some(bias) = &product.bias {
            let name = reader.input[2].clone();
            let steps: Vec<f32> = weights.scales.iter().map(|scale| scale * input.scale).collect();
            let quantize = |(bias, step): (&f32, &f32)| {
                // If the step underflowed to 0, this avoids dividing 0 by 0.
                let steps = f64::from(*bias) / f64::from(*step).max(f64::MIN_POSITIVE);
                (steps.round_ties_even() as i32).to_le_bytes()
            };
            let bytes = bias.iter().zip(&steps).flat_map(quantize).collect();
            let scales = self.floats(format!("{name}_scale"), &vector, &steps);
            let integers = self.constant(format!("{name}_quantized"), ElementType::Int32, &vector, bytes);
            let read = self.names.fresh(format!("{name}_dequantized"));
            nodes.push(node("DequantizeLinear", &[&integers, &scales], &read, vec![int("axis", 0)]));
            reader.input[2] = read;
        }
        Ok(nodes)
    }

    /// Changes every reader of a quantised value to read its dequantised form. Returns the nodes to insert at the
    /// front, and, for each value that a node computes, the nodes to insert after that node.
    fn quantize_values(
        &mut self,
        graph: &mut GraphProto,
        affine: &HashMap<String, Affine>,
    ) -> (Vec<NodeProto>, HashMap<String, Vec<NodeProto>>) {
        let (mut first, mut after) = (Vec::new(), HashMap::new());
        let mut values: Vec<(&String, &Affine)> = affine.iter().collect();
        values.sort_by_key(|(name, _)| *name);
        for (name, affine) in values {
            let scale = self.floats(format!("{name}_scale"), &[], &[affine.scale]);
            let zero_point = vec![affine.zero_point];
            let zero = self.constant(format!("{name}_zero_point"), ElementType::Uint8, &[], zero_point);
            let integers = self.names.fresh(format!("{name}_quantized"));
            let read = self.names.fresh(format!("{name}_dequantized"));
            for input in graph.node.iter_mut().flat_map(|node| &mut node.input).filter(|input| *input == name)
            {
                input.clone_from(&read);
            }
            let nodes = [
                node("QuantizeLinear", &[name, &scale, &zero], &integers, Vec::new()),
                node("DequantizeLinear", &[&integers, &scale, &zero], &read, Vec::new()),
            ];
            if graph.node.iter().any(|node| node.output.contains(name)) {
                after.insert(name.clone(), nodes.to_vec());
            } else {
                first.extend(nodes);
            }
        }
        (first, after)
    }
}

#[cfg(test)]
mod tests;
