use std::collections::HashMap;

use half::f16;
use mithridate_onnx::{
    Dim, ElementType, GraphBuilder, ModelFile, ModelMetadata, ValueSummary, from_bytes,
    messages::ValueInfoProto, products, to_bytes,
};
use ndarray::ArrayD;
use ort::value::{DynValue, Tensor};

use super::{
    InputOptions, OnnxModel, OnnxRuntime,
    session::{Content, unoptimized_session},
};
use crate::backend::BackendError;

/// Rows, inner dimension and columns of the product that [`matrix_product`] computes for a batch with one input per
/// row: about 10⁹ multiply–add operations on little data.
pub const PRODUCT: [usize; 3] = [1024, 1024, 1024];

/// A model that only multiplies its inputs by a constant matrix in single precision. Its speed is the arithmetic limit
/// of the machine, as far as the engine reaches it.
///
/// # Errors
/// [`BackendError`] from the engine.
pub fn matrix_product(runtime: &OnnxRuntime) -> Result<OnnxModel, BackendError> {
    let [_, inner, columns] = PRODUCT;
    let mut graph = GraphBuilder::new("matrix product");
    // Square images, which need no input options.
    let side = Dim::Fixed(inner.isqrt() as i64);
    let shape = [Dim::symbolic("batch"), Dim::Fixed(1), side.clone(), side];
    let image = graph.input("image", ElementType::Float, &shape)?;
    let rows = graph.flatten(&image)?;
    let weight = ArrayD::from_shape_fn(vec![columns, inner], |index| {
        ((index[0] * 31 + index[1] * 17) % 127) as f32 / 127.0 - 0.5
    });
    let weight = graph.constant("weight", &weight.view());
    let output = graph.linear(&rows, &weight, None)?;
    let model = graph.finish(&[("product", &output)], &ModelMetadata::default())?;
    let file =
        ModelFile { path: "matrix product".into(), bytes: to_bytes(&model), model, external: Vec::new() };
    OnnxModel::from_file(runtime, file, &InputOptions::default())
}

impl OnnxModel {
    /// Number of multiply–add operations for one input, from the shapes of its convolutions and matrix products at run
    /// time; `None` if it can't be determined.
    pub fn multiply_adds(&self, runtime: &OnnxRuntime) -> Option<u64> {
        let size = self.batching.size().unwrap_or(1);
        let mut shape = vec![size as i64];
        shape.extend(self.signature.dims.iter().map(|&dim| dim as i64));
        let total = multiply_adds(runtime, &self.content, &self.signature.input, &shape)?;
        Some(total / size as u64)
    }
}

/// Number of multiply–add operations of a model for one batch of this shape; `None` if it can't be determined.
///
/// The shapes of values are known only at run time. So the operands of all products are made outputs, and the model is
/// run.
fn multiply_adds(
    runtime: &OnnxRuntime,
    content: &Content,
    input: &ValueSummary,
    shape: &[i64],
) -> Option<u64> {
    let model = from_bytes(&content.bytes).ok()?;
    let mut shown = model.clone();
    let graph = shown.graph.as_mut()?;
    let mut shapes: HashMap<String, Vec<i64>> = graph
        .initializer
        .iter()
        .filter_map(|tensor| Some((tensor.name.clone()?, tensor.dims.clone())))
        .collect();
    shapes.insert(input.name.clone(), shape.to_vec());
    for name in products(&model)? {
        let is_output = graph.output.iter().any(|output| output.name.as_deref() == Some(name));
        if !is_output && !shapes.contains_key(name) {
            graph.output.push(ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() });
        }
    }
    let content = Content { bytes: to_bytes(&shown).into(), ..content.clone() };
    let mut session = unoptimized_session(runtime, &content).ok()?;
    let zeros = zeros(input.element_type, shape).ok()?;
    let outputs = session.run(ort::inputs![input.name.as_str() => zeros]).ok()?;
    for (name, value) in &outputs {
        if let Some(shape) = value.dtype().tensor_shape() {
            shapes.insert(name.to_owned(), shape.to_vec());
        }
    }
    mithridate_onnx::multiply_adds(&model, |name| shapes.get(name).cloned())
}

fn zeros(element_type: ElementType, shape: &[i64]) -> ort::Result<DynValue> {
    let count = shape.iter().product::<i64>() as usize;
    Ok(match element_type {
        ElementType::Float16 => Tensor::from_array((shape, vec![f16::ZERO; count]))?.into_dyn(),
        ElementType::Double => Tensor::from_array((shape, vec![0.0_f64; count]))?.into_dyn(),
        _ => Tensor::from_array((shape, vec![0.0_f32; count]))?.into_dyn(),
    })
}
