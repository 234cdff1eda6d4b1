//! One linear classifier of 3×4×4 images in the many forms that models come in.

use half::f16;
use mithridate_onnx::{
    Dim, ElementType, GraphBuilder, ModelMetadata, Value,
    attributes::{int, ints},
    messages::{ModelProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto},
};
use ndarray::{Array1, Array2, ArrayD};

use crate::numbers;

/// Shape of an image: channels, height, width.
pub const IMAGE: [usize; 3] = [3, 4, 4];
/// Values in an image.
pub const VALUES: usize = 48;
/// Classes.
pub const CLASSES: usize = 5;

/// Weights, classes × values.
pub fn weights() -> Array2<f32> {
    Array2::from_shape_vec((CLASSES, VALUES), numbers(CLASSES * VALUES, 1)).unwrap()
}

/// A bias for each class.
pub fn biases() -> Array1<f32> {
    Array1::from_vec(numbers(CLASSES, 2))
}

/// Logits in plain numbers.
pub fn expected(images: &[f32]) -> Vec<f32> {
    let inputs = Array2::from_shape_vec((images.len() / VALUES, VALUES), images.to_vec()).unwrap();
    (inputs.dot(&weights().t()) + biases()).iter().copied().collect()
}

/// A batch dimension: any size for 0.
pub fn batch(size: i64) -> Dim {
    if size == 0 { Dim::symbolic("n") } else { Dim::Fixed(size) }
}

/// The input: N×3×4×4.
pub fn image(graph: &mut GraphBuilder, size: i64) -> Value {
    let shape = [batch(size), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)];
    graph.input("image", ElementType::Float, &shape).unwrap()
}

/// A constant without dimensions.
pub fn scalar(graph: &mut GraphBuilder, name: &str, value: f32) -> Value {
    graph.constant(name, &ArrayD::from_elem(vec![], value).view())
}

/// An operator that keeps type and shape of its first input.
pub fn like(graph: &mut GraphBuilder, operator: &str, inputs: &[&Value]) -> Value {
    graph.operator(operator, inputs, Vec::new(), ElementType::Float, inputs[0].shape().to_vec())
}

/// The layer itself on flattened images.
pub fn layer(graph: &mut GraphBuilder, flat: &Value) -> Value {
    let weight = graph.constant("weight", &weights().view().into_dyn());
    let bias = graph.constant("bias", &biases().view().into_dyn());
    graph.linear(flat, &weight, Some(&bias)).unwrap()
}

/// The layer on images.
pub fn head(graph: &mut GraphBuilder, image: &Value) -> Value {
    let flat = graph.flatten(image).unwrap();
    layer(graph, &flat)
}

/// The model with these outputs.
pub fn finish(graph: GraphBuilder, outputs: &[(&str, &Value)]) -> ModelProto {
    graph.finish(outputs, &ModelMetadata::default()).unwrap()
}

/// The classifier as it is.
pub fn plain(size: i64) -> ModelProto {
    let mut graph = GraphBuilder::new("plain");
    let x = image(&mut graph, size);
    let y = head(&mut graph, &x);
    finish(graph, &[("logits", &y)])
}

/// With the batch size in the constant of a `Reshape`.
pub fn reshaped(size: i64) -> ModelProto {
    let mut graph = GraphBuilder::new("reshaped");
    let x = image(&mut graph, size);
    let bytes = [size, VALUES as i64].iter().flat_map(|dim| dim.to_le_bytes()).collect();
    let shape = graph.tensor("shape", ElementType::Int64, &[2], bytes).unwrap();
    let dims = vec![Dim::Fixed(size), Dim::Fixed(VALUES as i64)];
    let flat = graph.operator("Reshape", &[&x, &shape], Vec::new(), ElementType::Float, dims);
    let y = layer(&mut graph, &flat);
    finish(graph, &[("logits", &y)])
}

/// With the batch size where it can't be taken out: in a constant that is added.
pub fn stubborn(size: i64) -> ModelProto {
    let mut graph = GraphBuilder::new("stubborn");
    let x = image(&mut graph, size);
    let y = head(&mut graph, &x);
    let zeros = graph.constant("zeros", &ArrayD::zeros(vec![size as usize, CLASSES]).view());
    let z = like(&mut graph, "Add", &[&y, &zeros]);
    finish(graph, &[("logits", &z)])
}

/// Channels last.
pub fn channels_last() -> ModelProto {
    let mut graph = GraphBuilder::new("nhwc");
    let shape = [batch(0), Dim::Fixed(4), Dim::Fixed(4), Dim::Fixed(3)];
    let x = graph.input("image", ElementType::Float, &shape).unwrap();
    let dims = vec![batch(0), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)];
    let x = graph.operator("Transpose", &[&x], vec![ints("perm", &[0, 3, 1, 2])], ElementType::Float, dims);
    let y = head(&mut graph, &x);
    finish(graph, &[("logits", &y)])
}

/// Input, weights and output in another type of floating-point number.
pub fn of_type(element_type: ElementType) -> ModelProto {
    let bytes = |values: Vec<f32>| -> Vec<u8> {
        match element_type {
            ElementType::Float16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
        }
    };
    let mut graph = GraphBuilder::new("typed");
    let shape = [batch(0), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)];
    let x = graph.input("image", element_type, &shape).unwrap();
    let flat = vec![batch(0), Dim::Fixed(VALUES as i64)];
    let flat = graph.operator("Flatten", &[&x], vec![int("axis", 1)], element_type, flat);
    let dims = [CLASSES as i64, VALUES as i64];
    let weight = weights().iter().copied().collect();
    let weight = graph.tensor("weight", element_type, &dims, bytes(weight)).unwrap();
    let bias = graph.tensor("bias", element_type, &dims[..1], bytes(biases().to_vec())).unwrap();
    let out = vec![batch(0), Dim::Fixed(CLASSES as i64)];
    let y = graph.operator("Gemm", &[&flat, &weight, &bias], vec![int("transB", 1)], element_type, out);
    finish(graph, &[("logits", &y)])
}

/// Weights as 8-bit integers with a scale.
pub fn quantised() -> ModelProto {
    let mut graph = GraphBuilder::new("int8");
    let x = image(&mut graph, 0);
    let flat = graph.flatten(&x).unwrap();
    let scale = scalar(&mut graph, "scale", 1.0 / 127.0);
    let zero = graph.tensor("zero", ElementType::Int8, &[], vec![0]).unwrap();
    let mut both = |value: &Value, shape: Vec<Dim>| {
        let (step, zero) = (&scale, &zero);
        let q = graph.operator(
            "QuantizeLinear",
            &[value, step, zero],
            Vec::new(),
            ElementType::Int8,
            shape.clone(),
        );
        graph.operator("DequantizeLinear", &[&q, step, zero], Vec::new(), ElementType::Float, shape)
    };
    let flat = both(&flat, flat.shape().to_vec());
    let bytes = weights().iter().map(|weight| (weight * 127.0).round() as i8 as u8).collect();
    let dims = [CLASSES as i64, VALUES as i64];
    let weight = graph.tensor("weight", ElementType::Int8, &dims, bytes).unwrap();
    let shape = weight.shape().to_vec();
    let weight =
        graph.operator("DequantizeLinear", &[&weight, &scale, &zero], Vec::new(), ElementType::Float, shape);
    let bias = graph.constant("bias", &biases().view().into_dyn());
    let y = graph.linear(&flat, &weight, Some(&bias)).unwrap();
    finish(graph, &[("logits", &y)])
}

/// Takes values v and makes (v + shift) · scale of them first, each a number or one a channel.
pub fn normalising(shift: &[f32], scale: &[f32]) -> ModelProto {
    let mut graph = GraphBuilder::new("normalising");
    let x = image(&mut graph, 0);
    let mut constant = |name: &str, values: &[f32]| {
        let dims = if values.len() == 1 { vec![] } else { vec![1, values.len(), 1, 1] };
        graph.constant(name, &ArrayD::from_shape_vec(dims, values.to_vec()).unwrap().view())
    };
    let (shift, scale) = (constant("shift", shift), constant("scale", scale));
    let x = like(&mut graph, "Add", &[&x, &shift]);
    let x = like(&mut graph, "Mul", &[&x, &scale]);
    let y = head(&mut graph, &x);
    finish(graph, &[("logits", &y)])
}

/// Divides by the largest value in the whole batch.
pub fn entangled(size: i64) -> ModelProto {
    let mut graph = GraphBuilder::new("entangled");
    let x = image(&mut graph, size);
    let largest =
        graph.operator("ReduceMax", &[&x], vec![int("keepdims", 0)], ElementType::Float, Vec::new());
    let x = like(&mut graph, "Div", &[&x, &largest]);
    let y = head(&mut graph, &x);
    finish(graph, &[("logits", &y)])
}

/// Takes the batch for a sequence: each answer depends on the images before.
pub fn sequence(size: i64) -> ModelProto {
    let mut graph = GraphBuilder::new("sequence");
    let x = image(&mut graph, size);
    let zero = scalar(&mut graph, "zero", 0.0);
    let axis = graph.operator("Cast", &[&zero], vec![int("to", 7)], ElementType::Int64, Vec::new());
    let sums = like(&mut graph, "CumSum", &[&x, &axis]);
    let y = head(&mut graph, &sums);
    finish(graph, &[("logits", &y)])
}

/// Adds other numbers in each place of a batch of four.
pub fn placed() -> ModelProto {
    let mut graph = GraphBuilder::new("placed");
    let x = image(&mut graph, 4);
    let y = head(&mut graph, &x);
    let places = ArrayD::from_shape_fn(vec![4, CLASSES], |at| (at[0] * at[1]) as f32);
    let places = graph.constant("places", &places.view());
    let y = like(&mut graph, "Add", &[&y, &places]);
    finish(graph, &[("logits", &y)])
}

/// Adds random numbers.
pub fn random(size: i64) -> ModelProto {
    let mut graph = GraphBuilder::new("random");
    let x = image(&mut graph, size);
    let noise = like(&mut graph, "RandomNormalLike", &[&x]);
    let x = like(&mut graph, "Add", &[&x, &noise]);
    let y = head(&mut graph, &x);
    finish(graph, &[("logits", &y)])
}

/// Probabilities, and two outputs more.
pub fn softmax_among_others() -> ModelProto {
    let mut graph = GraphBuilder::new("several");
    let x = image(&mut graph, 0);
    let y = head(&mut graph, &x);
    let axis = vec![int("axis", 1)];
    let p = graph.operator("Softmax", &[&y], axis.clone(), ElementType::Float, y.shape().to_vec());
    let label = graph.operator("ArgMax", &[&y], axis, ElementType::Int64, vec![batch(0), Dim::Fixed(1)]);
    finish(graph, &[("scores/logits:0", &y), ("probabilities", &p), ("label", &label)])
}

/// Height and width left open: the mean of each channel decides among three classes.
pub fn any_size() -> ModelProto {
    let mut graph = GraphBuilder::new("any_size");
    let shape = [batch(0), Dim::Fixed(3), Dim::symbolic("h"), Dim::symbolic("w")];
    let x = graph.input("image", ElementType::Float, &shape).unwrap();
    let dims = vec![batch(0), Dim::Fixed(3), Dim::Fixed(1), Dim::Fixed(1)];
    let y = graph.operator("GlobalAveragePool", &[&x], Vec::new(), ElementType::Float, dims);
    finish(graph, &[("logits", &y)])
}

/// Makes every constant an input with a default too, as old files have to.
pub fn constants_as_inputs(model: &mut ModelProto) {
    let graph = model.graph.as_mut().unwrap();
    for tensor in &graph.initializer {
        let shape =
            TensorShapeProto { dim: tensor.dims.iter().map(|&size| (&Dim::Fixed(size)).into()).collect() };
        let tensor_type = TensorType { elem_type: tensor.data_type, shape: Some(shape) };
        graph.input.push(ValueInfoProto {
            name: tensor.name.clone(),
            r#type: Some(TypeProto { denotation: None, value: Some(TypeValue::Tensor(tensor_type)) }),
            ..ValueInfoProto::default()
        });
    }
}
