//! Too little memory for a batch: it is halved, the run goes on and says so, and the votes are the same.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Output};

use mithridate_onnx::{Conv2d, Dim, ElementType, GraphBuilder, ModelMetadata};
use mithridate_runtime::{data::write_idx, evidence::read_evidence};
use mithridate_testkit::program::{after, rscert};
use ndarray::{Array1, Array2, ArrayD};

const SIDE: usize = 32;
const FILTERS: usize = 64;

/// A network that takes 256 KiB an input in its one hidden layer, and an image for it.
fn greedy(folder: &Path) {
    let mut graph = GraphBuilder::new("greedy");
    let side = SIDE as i64;
    let shape = [Dim::symbolic("batch"), Dim::Fixed(1), Dim::Fixed(side), Dim::Fixed(side)];
    let image = graph.input("image", ElementType::Float, &shape).unwrap();
    let kernel =
        ArrayD::from_shape_fn(vec![FILTERS, 1, 3, 3], |at| (at[0] + at[2] * at[3]) as f32 / 64.0 - 0.5);
    let kernel = graph.constant("kernel", &kernel.view());
    let features = graph.conv2d(&image, &kernel, None, Conv2d { stride: 1, padding: 1 }).unwrap();
    let features = graph.relu(&features);
    let flat = graph.flatten(&features).unwrap();
    let weight =
        Array2::from_shape_fn((2, FILTERS * SIDE * SIDE), |(class, at)| ((class + at) % 2) as f32 - 0.5);
    let weight = graph.constant("weight", &weight.view().into_dyn());
    let bias = graph.constant("bias", &Array1::<f32>::zeros(2).view().into_dyn());
    let logits = graph.linear(&flat, &weight, Some(&bias)).unwrap();
    let model = graph.finish(&[("logits", &logits)], &ModelMetadata::default()).unwrap();
    mithridate_onnx::write(&model, folder.join("greedy.onnx")).unwrap();
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(|at| (at * 37 % 251) as u8).collect();
    write_idx(&folder.join("t10k-images-idx3-ubyte"), &[1, SIDE, SIDE], &pixels).unwrap();
    write_idx(&folder.join("t10k-labels-idx1-ubyte"), &[1], &[0]).unwrap();
}

/// Certifies with batches of 16,384, whose hidden layer takes 4 GiB. `limit` is the address space in KiB; `None` for no
/// limit.
fn certify(folder: &Path, out: &str, limit: Option<u64>) -> Output {
    let fixed =
        ["certify", "--model", "greedy.onnx", "--data", ".", "--sigma", "0.5", "--n", "3000", "--n0", "1000"];
    let plan = [
        "--seed",
        "5",
        "--threads",
        "1",
        "--batch",
        if limit.is_some() { "16384" } else { "256" },
        "--out",
        out,
    ];
    let mut run = rscert(folder, &[&fixed[..], &plan].concat());
    if let Some(limit) = limit {
        run = after(&format!("ulimit -v {limit} || exit"), &run);
    }
    run.output().unwrap()
}

#[test]
fn a_batch_too_large_for_the_memory_is_halved_and_the_votes_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    greedy(root);
    let free = certify(root, "free.jsonl", None);
    assert!(free.status.success(), "{}", String::from_utf8_lossy(&free.stderr));
    let limited = certify(root, "limited.jsonl", Some(2_500_000));
    let notes = String::from_utf8_lossy(&limited.stderr);
    assert!(limited.status.success(), "{notes}");
    assert!(notes.contains("too little memory for"), "{notes}");
    let [free, limited] =
        ["free.jsonl", "limited.jsonl"].map(|name| read_evidence(&root.join(name)).unwrap());
    assert!(limited.header.execution.plan.batch < 16_384, "{:?}", limited.header.execution.plan);
    assert_eq!(limited.footer.chain, free.footer.chain);
}
