//! What the tests that need libtorch or several crates share: small data sets, and networks trained on them.

#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};

use mithridate_runtime::data::write_idx;
use mithridate_testkit::program::{Program, onnx_runtime};

/// A command that runs a program of the workspace with the native libraries of `scripts/setup.py`.
pub fn command(name: &str) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(Program::built(name).path());
    command.env("ORT_DYLIB_PATH", onnx_runtime());
    command
}

/// A data set of made-up images in a folder of its own: every class is a bright bar at a place of its own, on a
/// background that differs from image to image.
///
/// # Panics
/// If it can't be written.
pub fn bars(folder: &Path, side: usize, classes: usize, train: usize, test: usize) {
    for (prefix, count) in [("train", train), ("t10k", test)] {
        let mut state = count as u64;
        let mut next = || {
            // A linear congruential generator is random enough for a background.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let mut images = vec![0_u8; count * side * side];
        let labels: Vec<u8> = (0..count).map(|image| (image % classes) as u8).collect();
        for (image, label) in images.chunks_exact_mut(side * side).zip(&labels) {
            let row = 1 + usize::from(*label) * (side - 2) / classes;
            for (position, pixel) in image.iter_mut().enumerate() {
                let bar = position / side == row && position % side > next() % 3;
                *pixel = if bar { 150 + (next() % 100) as u8 } else { (next() % 60) as u8 };
            }
        }
        write_idx(&folder.join(format!("{prefix}-images-idx3-ubyte")), &[count, side, side], &images)
            .expect("written");
        write_idx(&folder.join(format!("{prefix}-labels-idx1-ubyte")), &[count], &labels).expect("written");
    }
}

/// Trains a network for three epochs on made-up images and returns the folder with its weights and model.
///
/// # Panics
/// If training fails.
pub fn trained(folder: &Path, data: &Path, network: &str) -> PathBuf {
    trained_with(folder, data, network, &["--epochs", "3", "--batch", "20"])
}

/// The same with the flags given.
///
/// # Panics
/// If training fails.
pub fn trained_with(folder: &Path, data: &Path, network: &str, flags: &[&str]) -> PathBuf {
    let out = folder.join(network);
    let mut train = command("pacd");
    train.arg("train").arg("--data").arg(data).arg("--out").arg(&out);
    train.args(["--network", network, "--validation", "20", "--threads", "1"]).args(flags);
    train.assert().success();
    out
}
