use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::data::write_idx;
use serde_json::Value;

use crate::program::{certify, model, rscert};

pub const INPUTS: usize = 12;

/// A folder with a model and data for it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        mithridate_onnx::write(&model(&ModelMetadata::default()), root.join("model.onnx")).unwrap();
        fs::create_dir(root.join("data")).unwrap();
        let mut images = Vec::new();
        for input in 0..INPUTS as u8 {
            images.extend([100 + 8 * input, 110, 90, 100]);
        }
        write_idx(&root.join("data/t10k-images-idx3-ubyte"), &[INPUTS, 2, 2], &images).unwrap();
        let labels: Vec<u8> = (0..INPUTS).map(|input| u8::from(input % 4 == 3)).collect();
        write_idx(&root.join("data/t10k-labels-idx1-ubyte"), &[INPUTS], &labels).unwrap();
        Self { folder }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn command(&self, out: &str, flags: &[&str]) -> Command {
        let fixed = ["--sigma", "0.25", "--seed", "7", "--out", out];
        // However the work is to be split, if that is not said.
        let plan: &[&str] =
            if flags.contains(&"--batch") { &[] } else { &["--batch", "64", "--threads", "1"] };
        certify(self.root(), &[&fixed[..], plan, flags].concat())
    }

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
