//! Arguments that C may hand over and that can't be used: each gives a status and a sentence.

#![allow(clippy::unwrap_used, unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char},
    path::Path,
    ptr,
};

use mithridate::{
    Certificate, Certifier, Options, Status, mithridate_certify, mithridate_classes,
    mithridate_default_options, mithridate_free, mithridate_input_length, mithridate_last_error,
    mithridate_load, mithridate_seed, mithridate_version,
};
use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata};
use mithridate_testkit::program::onnx_runtime;
use ndarray::Array2;

fn string(pointer: *const c_char) -> String {
    // SAFETY: the interface's strings end with a zero byte and are valid here.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned()
}

fn load(options: *const Options) -> (Status, *mut Certifier) {
    let mut certifier = ptr::dangling_mut();
    // SAFETY: options are null or of this test; the other is the address of a pointer.
    let status = unsafe { mithridate_load(options, &raw mut certifier) };
    (status, certifier)
}

fn certify(certifier: *mut Certifier, image: &[f32], deadline: f64) -> (Status, Certificate) {
    let mut certificate = Certificate::default();
    // SAFETY: the certifier is null or loaded, the other pointers are of slices and values of this test.
    let status =
        unsafe { mithridate_certify(certifier, image.as_ptr(), image.len(), deadline, &raw mut certificate) };
    (status, certificate)
}

/// Two classes of two values: which is larger.
fn model(path: &Path, sigma: Option<f64>) -> CString {
    let mut graph = GraphBuilder::new("larger");
    let image = graph.input("image", ElementType::Float, &[Dim::symbolic("batch"), Dim::Fixed(2)]).unwrap();
    let weight = graph.constant("weight", &Array2::<f32>::eye(2).view().into_dyn());
    let logits = graph.linear(&image, &weight, None).unwrap();
    let metadata = ModelMetadata { training_sigma: sigma, ..ModelMetadata::default() };
    mithridate_onnx::write(&graph.finish(&[("logits", &logits)], &metadata).unwrap(), path).unwrap();
    CString::new(path.to_str().unwrap()).unwrap()
}

fn library() -> CString {
    CString::new(onnx_runtime().to_str().unwrap()).unwrap()
}

#[test]
fn what_can_t_be_used_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, library) = (model(&folder.path().join("model.onnx"), Some(0.25)), library());
    let options = Options { onnxruntime: library.as_ptr(), ..mithridate_default_options(path.as_ptr()) };
    let other = CString::new("/nowhere/libonnxruntime.so").unwrap();

    let (status, certifier) = load(&raw const options);
    assert_eq!(status, Status::Ok, "{}", string(mithridate_last_error()));
    for (wrong, sentence) in [
        (Options { model: ptr::null(), ..options }, "options.model is null; name an ONNX file"),
        (Options { sigma: f64::NAN, ..options }, "sigma must be a number from 0.0001 to 10000 and is NaN"),
        (Options { alpha: 2.0, ..options }, "alpha must lie strictly between 0 and 1 and is 2"),
        (Options { n0: 0, ..options }, "options.n0 must be at least 1 and is 0"),
        (Options { max_samples: u64::MAX, ..options }, "options.max_samples must be at most"),
        (Options { threads: 0, ..options }, "options.threads is 0; use 1 to 1024"),
        (Options { batch: u32::MAX, ..options }, "options.batch is 4294967295; use 1 to 134217728"),
        (Options { enough_radius: -1.0, ..options }, "options.enough_radius is -1; give a radius"),
        (Options { onnxruntime: other.as_ptr(), ..options }, "the process already has"),
        (
            Options { provider: c"gpu".as_ptr(), ..options },
            "options.provider: 'gpu' is not an execution provider; use cpu, cuda, cuda:N, tensorrt or tensorrt:N",
        ),
        (Options { provider: c"\xff".as_ptr(), ..options }, "options.provider is no UTF-8 text"),
    ] {
        let (status, nothing) = load(&raw const wrong);
        let said = string(mithridate_last_error());
        assert!(status != Status::Ok && nothing.is_null() && said.contains(sentence), "{status:?} {said}");
    }
    assert_eq!(load(ptr::null()).0, Status::InvalidArgument);
    // SAFETY: null is refused.
    let status = unsafe { mithridate_load(&raw const options, ptr::null_mut()) };
    assert_eq!(status, Status::InvalidArgument);

    for (certifier, image, deadline, sentence) in [
        (ptr::null_mut(), &[0.6, 0.4][..], 50.0, "certifier is null"),
        (certifier, &[0.6], 50.0, "the image has 1 values and the model takes 2"),
        (certifier, &[0.6, 0.4], f64::NAN, "deadline_ms is NaN"),
        (
            certifier,
            &[0.6, 67_108_864.0],
            50.0,
            "value 1 of input 0 is 67108864, numbers of that size are 8 apart",
        ),
        (certifier, &[f32::NAN, 0.4], 50.0, "value 0 of input 0 is NaN, which is not a finite number"),
        (certifier, &[0.6, 0.4], -0.5, "deadline_ms is -0.5"),
    ] {
        let (status, certificate) = certify(certifier, image, deadline);
        let said = string(mithridate_last_error());
        assert!(status == Status::InvalidArgument && said.contains(sentence), "{status:?} {said}");
        assert_eq!(certificate, Certificate::default());
    }
    // SAFETY: null is refused.
    let status = unsafe { mithridate_certify(certifier, ptr::null(), 2, 50.0, ptr::null_mut()) };
    assert_eq!(status, Status::InvalidArgument);

    // None of it did any harm, and a deadline without end is none.
    let (status, certificate) = certify(certifier, &[0.6, 0.4], f64::INFINITY);
    assert_eq!((status, certificate.class_index, certificate.samples), (Status::Ok, 0, 100_000));
    // The true radius is the distance to the diagonal.
    assert!(certificate.radius > 0.13 && certificate.radius < 0.2 / 2.0_f64.sqrt(), "{certificate:?}");
    let (_, second) = certify(certifier, &[0.6, 0.4], 0.0);
    assert!(second.abstained && second.class_index == -1 && second.frame > certificate.frame, "{second:?}");
    // SAFETY: loaded above, used by this thread alone, and not after it is freed.
    unsafe {
        assert_eq!((mithridate_input_length(certifier), mithridate_classes(certifier)), (2, 2));
        assert_ne!(mithridate_seed(certifier), 0);
        mithridate_free(certifier);
        mithridate_free(ptr::null_mut());
        let none = ptr::null();
        assert_eq!(
            (mithridate_input_length(none), mithridate_classes(none), mithridate_seed(none)),
            (0, 0, 0)
        );
    }
    assert_eq!(string(mithridate_version()), env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_same_seed_gives_the_same_votes_until_a_radius_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (path, library) = (model(&folder.path().join("model.onnx"), None), library());
    let options = Options {
        onnxruntime: library.as_ptr(),
        sigma: 0.25,
        seed: 9,
        ..mithridate_default_options(path.as_ptr())
    };
    let run = |options: Options| {
        let (status, certifier) = load(&raw const options);
        assert_eq!(status, Status::Ok, "{}", string(mithridate_last_error()));
        let (status, certificate) = certify(certifier, &[0.6, 0.4], f64::INFINITY);
        assert_eq!(status, Status::Ok);
        // SAFETY: loaded above and not used after.
        unsafe { mithridate_free(certifier) };
        Certificate { microseconds: 0, ..certificate }
    };
    assert_eq!(run(options), run(Options { batch: 7, ..options }));
    let early = run(Options { enough_radius: 0.1, ..options });
    assert!(early.radius >= 0.1 && early.samples < 10_000, "{early:?}");
}

#[test]
fn the_provider_is_the_one_asked_for_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (path, library) = (model(&folder.path().join("model.onnx"), Some(0.25)), library());
    let options = Options {
        onnxruntime: library.as_ptr(),
        seed: 9,
        max_samples: 10_000,
        ..mithridate_default_options(path.as_ptr())
    };
    let run = |provider: *const c_char| {
        let options = Options { provider, ..options };
        let (status, certifier) = load(&raw const options);
        if status != Status::Ok {
            return Err((status, string(mithridate_last_error())));
        }
        let (status, certificate) = certify(certifier, &[0.6, 0.4], f64::INFINITY);
        assert_eq!(status, Status::Ok, "{}", string(mithridate_last_error()));
        // SAFETY: loaded above and not used after.
        unsafe { mithridate_free(certifier) };
        Ok(Certificate { microseconds: 0, ..certificate })
    };
    let by_default = run(ptr::null()).unwrap();
    assert_eq!(run(c"cpu".as_ptr()), Ok(by_default));
    match run(c"cuda".as_ptr()) {
        // The same noise; rounding may move a vote or two.
        Ok(by_gpu) => {
            assert_eq!(by_gpu.class_index, by_default.class_index);
            assert!((by_gpu.radius - by_default.radius).abs() < 0.005, "{by_gpu:?} {by_default:?}");
        }
        Err((status, said)) => {
            assert!(status == Status::LoadFailed && said.contains("cuda"), "{status:?} {said}");
            eprintln!("skipped frames on a GPU: {said}");
        }
    }
}
