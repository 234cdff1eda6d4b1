//! The program under test, and a model small enough that a run takes no time.

#![allow(dead_code)]

use std::{path::Path, process::Command};

use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, messages::ModelProto};
use ndarray::{Array1, Array2};

/// A command of `rscert` in a folder.
pub fn rscert(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rscert"));
    command.current_dir(folder).args(arguments);
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        let library = "../third_party/onnxruntime/lib/libonnxruntime.so";
        command.env("ORT_DYLIB_PATH", Path::new(env!("CARGO_MANIFEST_DIR")).join(library));
    }
    command
}

/// A linear model of images of 2 × 2 pixels with two classes: bright above, bright below.
pub fn model(metadata: &ModelMetadata) -> ModelProto {
    let mut graph = GraphBuilder::new("halves");
    let dims = [Dim::symbolic("batch"), Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(2)];
    let image = graph.input("image", ElementType::Float, &dims).unwrap();
    let flat = graph.flatten(&image).unwrap();
    let rows = Array2::from_shape_vec((2, 4), vec![1.0_f32, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0]).unwrap();
    let weight = graph.constant("weight", &rows.view().into_dyn());
    let bias = graph.constant("bias", &Array1::<f32>::zeros(2).view().into_dyn());
    let logits = graph.linear(&flat, &weight, Some(&bias)).unwrap();
    graph.finish(&[("logits", &logits)], metadata).unwrap()
}
