//! What fuzzing found, and what it started from, through what each fuzz target does: quickly and without a panic.

#![allow(clippy::expect_used)]

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

fn replay(target: &str, run: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut count = 0;
    for kind in ["seeds", "regressions"] {
        // A target that nothing was found with has no folder of regressions.
        let Ok(files) = fs::read_dir(fuzz.join(kind).join(target)) else { continue };
        for file in files {
            let path = file.expect("the folder can be read").path();
            let bytes = fs::read(&path).expect("the file can be read");
            let started = Instant::now();
            run(&bytes);
            let time = started.elapsed();
            assert!(time < Duration::from_secs(5), "{} took {time:?}", path.display());
            count += 1;
        }
    }
    assert!(count >= 2, "{target}: {count} inputs");
}

macro_rules! targets {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            replay(stringify!($target), targets::$target);
        }
    )*};
}

targets!(onnx idx cifar npz npy image evidence table);

/// 10 MB of a model whose graph is nothing but empty nodes, which would be 2.4 GB in memory.
#[test]
fn empty_nodes_without_end() {
    let length = 5_u32 << 21;
    let mut bytes = vec![7 << 3 | 2, 0x80, 0x80, 0x80, 0x05];
    bytes.extend([1 << 3 | 2, 0].repeat(length as usize / 2));
    let error = mithridate_onnx::from_bytes(&bytes).expect_err("it is made to fill the memory");
    assert!(error.to_string().contains("would fill more than"), "{error}");
    let started = Instant::now();
    targets::onnx(&bytes);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn every_fuzz_target_is_replayed() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    assert_eq!(manifest.matches("[[bin]]").count(), 8);
}
