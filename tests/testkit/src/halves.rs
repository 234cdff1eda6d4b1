//! A linear model of images of 2 × 2 pixels with two classes, bright above and bright below, so small that a run takes no
//! time.

use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, messages::ModelProto};
use ndarray::{Array1, Array2};

/// The model.
pub fn model(metadata: &ModelMetadata) -> ModelProto {
    model_leaning(metadata, 0.0)
}

/// The model with its boundary moved into the first class, by `by` of the sum of pixels.
pub fn model_leaning(metadata: &ModelMetadata, by: f32) -> ModelProto {
    let mut graph = GraphBuilder::new("halves");
    let dims = [Dim::symbolic("batch"), Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(2)];
    let image = graph.input("image", ElementType::Float, &dims).unwrap();
    let flat = graph.flatten(&image).unwrap();
    let rows = Array2::from_shape_vec((2, 4), vec![1.0_f32, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0]).unwrap();
    let weight = graph.constant("weight", &rows.view().into_dyn());
    let bias = graph.constant("bias", &Array1::from_vec(vec![0.0, by]).view().into_dyn());
    let logits = graph.linear(&flat, &weight, Some(&bias)).unwrap();
    graph.finish(&[("logits", &logits)], metadata).unwrap()
}
