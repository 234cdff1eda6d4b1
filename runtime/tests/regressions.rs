//! What fuzzing found, and what it started from, through what each fuzz target does: quickly and without a panic.

#![allow(clippy::expect_used)]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use mithridate_testkit::fuzzing;

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
    ($($target:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];

        $(
        #[test]
        fn $target() {
            replay(stringify!($target), fuzzing::$target);
        }
        )*
    };
}

targets!(onnx rewriting external idx cifar npz npy image evidence votes signature table);

/// 10 MB of a model whose graph is nothing but empty nodes, which would be 2.4 GB in memory.
#[test]
fn empty_nodes_without_end() {
    let length = 5_u32 << 21;
    let mut bytes = vec![7 << 3 | 2, 0x80, 0x80, 0x80, 0x05];
    bytes.extend([1 << 3 | 2, 0].repeat(length as usize / 2));
    let error = mithridate_onnx::from_bytes(&bytes).expect_err("it is made to fill the memory");
    assert!(error.to_string().contains("would fill more than"), "{error}");
    let started = Instant::now();
    fuzzing::onnx(&bytes);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

/// A target that is built, replayed here and started by cargo-fuzz under one name. Only a nightly compiler builds it, so
/// its one line is compared.
#[test]
fn every_fuzz_target_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the manifest can be read");
    let built = manifest.matches("[[bin]]").count();
    assert_eq!(built, TARGETS.len());
    for target in TARGETS {
        let entry = format!("[[bin]]\nname = \"{target}\"\npath = \"targets/{target}.rs\"\n");
        assert!(manifest.contains(&entry), "{target}");
        let source = fs::read_to_string(fuzz.join(format!("targets/{target}.rs"))).expect("it is there");
        let line = format!(
            "libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mithridate_testkit::fuzzing::{target}(bytes));"
        );
        assert_eq!(source, format!("#![no_main]\n\n{line}\n"), "{target}");
    }
}
