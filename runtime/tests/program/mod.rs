//! The program under test, and a model small enough that a run takes no time.

#![allow(dead_code)]

pub mod looping;

use std::{fs, path::Path, process::Command};

use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata, messages::ModelProto};
use mithridate_runtime::data::write_idx;
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

/// Certification of the model and the data of [`place`], but for what is said of it besides.
pub fn certify(folder: &Path, flags: &[&str]) -> Command {
    rscert(folder, &[&["certify", "--model", "model.onnx", "--data", "data"], flags].concat())
}

/// A linear model of images of 2 × 2 pixels with two classes: bright above, bright below.
pub fn model(metadata: &ModelMetadata) -> ModelProto {
    model_leaning(metadata, 0.0)
}

/// The same with the boundary moved, by so much of the sum of pixels, into the first class.
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

/// A grey PNG.
pub fn png(width: u32, height: u32, bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    file
}

/// A folder with a model, three labelled images of it as IDX files, and two of them in a folder of images by class.
pub fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    mithridate_onnx::write(&model(&ModelMetadata::default()), root.join("model.onnx")).unwrap();
    fs::create_dir(root.join("data")).unwrap();
    let images = [200, 190, 20, 10, 20, 10, 200, 190, 180, 170, 30, 20];
    write_idx(&root.join("data/t10k-images-idx3-ubyte"), &[3, 2, 2], &images).unwrap();
    write_idx(&root.join("data/t10k-labels-idx1-ubyte"), &[3], &[0, 1, 0]).unwrap();
    put(root, "images/above/1.png", &png(2, 2, &images[..4]));
    put(root, "images/below/1.png", &png(2, 2, &images[4..8]));
    folder
}

/// Writes a file and the folders it lies in.
pub fn put(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
