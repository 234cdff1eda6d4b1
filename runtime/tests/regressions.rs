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

#[test]
fn every_fuzz_target_is_replayed() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    assert_eq!(manifest.matches("[[bin]]").count(), 8);
}
