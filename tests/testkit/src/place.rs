//! Temporary folders with a model and data.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::data::write_idx;
use serde_json::Value;

use crate::{
    halves::model,
    numbers,
    program::{certify, rscert},
    zoo::VALUES,
};

/// Inputs of a [`Place`].
pub const INPUTS: usize = 12;
/// Images of [`zoo_images`].
pub const ZOO_IMAGES: usize = 6;

/// Writes a file and the folders it lies in.
pub fn put(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A grey PNG.
pub fn png(width: u32, height: u32, bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    file
}

/// Writes the model of [`halves`](crate::halves) as `model.onnx`, and images of 2 × 2 pixels with labels into `data/`.
pub fn halves(folder: &Path, images: &[u8], labels: &[u8]) {
    mithridate_onnx::write(&model(&ModelMetadata::default()), folder.join("model.onnx")).unwrap();
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    write_idx(&data.join("t10k-images-idx3-ubyte"), &[labels.len(), 2, 2], images).unwrap();
    write_idx(&data.join("t10k-labels-idx1-ubyte"), &[labels.len()], labels).unwrap();
}

/// Writes [`ZOO_IMAGES`] images for the [zoo](crate::zoo) with labels into a folder.
pub fn zoo_images(folder: &Path) {
    let images: Vec<u8> = numbers(ZOO_IMAGES * VALUES, 5).iter().map(|v| (127.5 + 127.0 * v) as u8).collect();
    write_idx(&folder.join("t10k-images-idx3-ubyte"), &[ZOO_IMAGES, 3, 4, 4], &images).unwrap();
    write_idx(&folder.join("t10k-labels-idx1-ubyte"), &[ZOO_IMAGES], &[0, 1, 2, 3, 4, 0]).unwrap();
}

/// A folder with a model, three labelled images of it as IDX files, and two of them in a folder of images by class.
pub fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let images = [200, 190, 20, 10, 20, 10, 200, 190, 180, 170, 30, 20];
    halves(root, &images, &[0, 1, 0]);
    put(root, "images/above/1.png", &png(2, 2, &images[..4]));
    put(root, "images/below/1.png", &png(2, 2, &images[4..8]));
    folder
}

/// A folder with a model and [`INPUTS`] images for it, and commands run in it.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// Makes one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images: Vec<u8> = (0..INPUTS as u8).flat_map(|input| [100 + 8 * input, 110, 90, 100]).collect();
        let labels: Vec<u8> = (0..INPUTS).map(|input| u8::from(input % 4 == 3)).collect();
        halves(folder.path(), &images, &labels);
        Self { folder }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Certification into `out`, with the same sigma and seed every time.
    pub fn command(&self, out: &str, flags: &[&str]) -> Command {
        let fixed = ["--sigma", "0.25", "--seed", "7", "--out", out];
        // However the work is to be split, if that is not said.
        let plan: &[&str] =
            if flags.contains(&"--batch") { &[] } else { &["--batch", "64", "--threads", "1"] };
        certify(self.root(), &[&fixed[..], plan, flags].concat())
    }

    /// Certifies, and returns the path of the evidence.
    pub fn certify(&self, out: &str, flags: &[&str]) -> PathBuf {
        let output = self.command(out, flags).output().unwrap();
        assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
        self.path(out)
    }

    /// Verifies a run with all its inputs replayed through a model.
    pub fn verify_replayed(&self, run: &str, model: &str, more: &[&str]) -> Output {
        let fixed = ["verify", run, "--model", model, "--data", "data", "--replay", "all", "--threads", "1"];
        self.run(&[&fixed[..], more].concat())
    }

    /// Runs `rscert`.
    pub fn run(&self, arguments: &[&str]) -> Output {
        rscert(self.root(), arguments).output().unwrap()
    }
}

/// The lines of a file without what may differ between two runs with the same result: times, and hashes of lines with
/// times. The chain values stay.
pub fn without_times(path: &Path) -> Vec<Value> {
    let blank = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let map = value.as_object_mut().unwrap();
        for key in ["seconds", "sha256", "started"] {
            map.remove(key);
        }
        if let Some(execution) = map.get_mut("execution") {
            execution.as_object_mut().unwrap().remove("plan");
        }
        // The hash of the model is of the result, that of the lines is not.
        value
    };
    fs::read_to_string(path).unwrap().lines().map(blank).collect()
}
