//! Certificates inside another program: the same votes as of a run, on time, without allocating.

#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use mithridate_onnx::ElementType;
use mithridate_runtime::{
    backend::{BackendError, Classifier, InputOptions, LinearClassifier, OnnxModel, OnnxRuntime, Provider},
    certify::{Certifier, Input, Settings},
    embed::{Ended, FrameCertifier},
    noise::Distribution,
    units::Sigma,
};
use mithridate_testkit::{numbers, program::onnx_runtime, zoo};
use ndarray::array;

const NEVER: Duration = Duration::MAX;

fn settings(n0: u64, n: u64) -> Settings {
    Settings { n0, n, ..Settings::new(Sigma::new(0.25).unwrap(), 7) }
}

fn linear() -> LinearClassifier {
    LinearClassifier::new(array![[1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]], array![0.0, 0.1])
}

/// A model that takes batches of one size only, each of which takes some time.
struct Slow {
    model: LinearClassifier,
    batch: usize,
    time: Duration,
    /// Number of batches that take 200 times as long.
    slower: u32,
}

impl Classifier for Slow {
    fn input_len(&self) -> usize {
        self.model.input_len()
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }

    fn fixed_batch(&self) -> Option<usize> {
        Some(self.batch)
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        assert_eq!(batch.len(), self.batch * self.input_len());
        let factor = if self.slower > 0 { 200 } else { 1 };
        self.slower = self.slower.saturating_sub(1);
        thread::sleep(factor * self.time);
        self.model.logits(batch, logits)
    }
}

fn open(folder: &Path, name: &str, reading: &InputOptions) -> (OnnxRuntime, OnnxModel) {
    let runtime = OnnxRuntime::load_file(&onnx_runtime()).unwrap();
    let model = OnnxModel::open(&runtime, &folder.join(name), reading).unwrap();
    (runtime, model)
}

/// Models of one classifier in several forms, and how to read them.
fn models(folder: &Path) -> Vec<(&'static str, InputOptions)> {
    for (name, model) in [
        ("float.onnx", zoo::plain(0)),
        ("half.onnx", zoo::of_type(ElementType::Float16)),
        ("double.onnx", zoo::of_type(ElementType::Double)),
        ("nhwc.onnx", zoo::channels_last()),
    ] {
        mithridate_onnx::write(&model, folder.join(name)).unwrap();
    }
    let scaled = InputOptions { range: Some([-1.0, 1.0]), ..InputOptions::default() };
    let mut models = vec![("float.onnx", scaled)];
    let names = ["float.onnx", "half.onnx", "double.onnx", "nhwc.onnx"];
    models.extend(names.map(|name| (name, InputOptions::default())));
    models
}

fn image() -> Vec<f32> {
    numbers(zoo::VALUES, 5).iter().map(|value| f32::midpoint(*value, 1.0)).collect()
}

#[test]
fn votes_are_those_of_a_run_whatever_the_batch() {
    let image = vec![0.3, 0.2, 0.4];
    let settings = settings(100, 5000);
    let mut certifier = Certifier::new(vec![Box::new(linear())], settings.clone(), 256).unwrap();
    let whole = certifier.certify_one(&Input { index: 5, label: None, image: image.clone() }).unwrap();
    for batch in [1, 10, 16, 64, 100, 320] {
        let slow = Slow { model: linear(), batch, time: Duration::ZERO, slower: 0 };
        let mut frames = FrameCertifier::new(Box::new(slow), settings.clone()).unwrap();
        frames.set_next_frame(5);
        let frame = frames.certify(&image, NEVER).unwrap();
        assert_eq!(
            (frame.class, frame.frame, frame.ended),
            (whole.class, 5, Ended::Samples),
            "batch {batch}"
        );
        assert_eq!((frame.selection_samples, frame.samples), (100, 5000));
        assert_eq!(frame.hits, whole.estimation.by_class()[whole.class.unwrap()], "batch {batch}");
        // The price of being allowed to stop at any moment.
        assert!(frame.p_lower <= whole.p_lower && frame.p_lower > whole.p_lower - 0.02);
        assert!(frame.radius.unwrap() <= whole.radius.unwrap());
    }
}

#[test]
fn a_model_in_a_file_votes_as_it_does_in_a_run() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let settings = settings(100, 3000);
    for (name, reading) in models(folder) {
        let (runtime, model) = open(folder, name, &reading);
        let bound = model.classifier(&runtime, Provider::Cpu, 1).unwrap().bind(48).unwrap();
        let mut frames = FrameCertifier::new(Box::new(bound), settings.clone()).unwrap();
        let frame = frames.certify(&image(), NEVER).unwrap();
        let plain = Box::new(model.classifier(&runtime, Provider::Cpu, 1).unwrap());
        let mut certifier = Certifier::new(vec![plain], settings.clone(), 256).unwrap();
        let whole = certifier.certify_one(&Input { index: 0, label: None, image: image() }).unwrap();
        assert_eq!(frame.class, whole.class, "{name}");
        assert_eq!(frame.hits, whole.estimation.by_class()[frame.class.unwrap()], "{name}");
        assert!(frame.hits > 1000 && frame.hits < 3000, "{name}: {frame:?}");
    }
}

#[test]
fn after_the_first_moment_nothing_is_allocated() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for (name, reading) in models(folder) {
        let (runtime, model) = open(folder, name, &reading);
        let bound = model.classifier(&runtime, Provider::Cpu, 1).unwrap().bind(64).unwrap();
        let mut frames = FrameCertifier::new(Box::new(bound), settings(100, 10_000)).unwrap();
        let image = image();
        let mut samples = 0;
        // Counts what this thread allocates in Rust: our code and the crate `ort`.
        let counted = allocation_counter::measure(|| {
            for _ in 0..10 {
                samples += frames.certify(&image, Duration::from_millis(50)).unwrap().samples;
            }
        });
        assert_eq!(counted.count_total, 0, "{name} {reading:?}: {counted:?}");
        assert!(samples > 640, "{name}: {samples}");
    }
    // The count is a count: the same model without memory of its own.
    let (runtime, model) = open(folder, "float.onnx", &InputOptions::default());
    let plain = model.classifier(&runtime, Provider::Cpu, 1).unwrap();
    let mut frames = FrameCertifier::new(Box::new(plain), settings(100, 10_000)).unwrap();
    let image = image();
    let counted = allocation_counter::measure(|| assert!(frames.certify(&image, NEVER).is_ok()));
    assert!(counted.count_total > 100, "{counted:?}");
}

#[test]
fn a_classifier_is_bound_to_no_other_batch_than_it_takes() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    mithridate_onnx::write(&zoo::stubborn(4), folder.join("stubborn.onnx")).unwrap();
    let (runtime, model) = open(folder, "stubborn.onnx", &InputOptions::default());
    let classifier = model.classifier(&runtime, Provider::Cpu, 1).unwrap();
    let size = classifier.fixed_batch().unwrap();
    let error = classifier.bind(64).err().unwrap().to_string();
    assert!(error.ends_with(&format!("it takes exactly {size} inputs at once and not 64")), "{error}");
}

#[test]
fn a_deadline_is_kept() {
    let batch_time = Duration::from_millis(2);
    let slow = Slow { model: linear(), batch: 64, time: batch_time, slower: 0 };
    let mut frames = FrameCertifier::new(Box::new(slow), settings(100, 1_000_000)).unwrap();
    let (mut late, mut certified) = (0, 0);
    for within in [60, 100, 160, 100, 60].map(Duration::from_millis) {
        let started = Instant::now();
        let frame = frames.certify(&[0.5, 0.5, 0.0], within).unwrap();
        assert_eq!(frame.ended, Ended::Deadline);
        assert!(frame.time <= started.elapsed());
        // No more than a sleep a batch leaves time for.
        assert!(frame.samples < 64 * 80, "{frame:?}");
        certified += u32::from(frame.radius.is_some_and(|radius| radius > 0.2));
        // Another program may have had the processor for a moment, but not every time.
        late += u32::from(started.elapsed() > within + batch_time);
    }
    assert!(late < 3, "late {late} times of 5");
    assert!(certified > 2, "certified {certified} of 5");
}

#[test]
fn a_rule_ends_a_frame_before_its_time() {
    let of = |rule: &str| Settings { stop: rule.parse().unwrap(), ..settings(100, 1_000_000) };
    for (rule, enough) in [("radius:0.3", 0.3), ("precision:0.1", 0.2)] {
        let mut frames = FrameCertifier::new(Box::new(linear()), of(rule)).unwrap();
        let frame = frames.certify(&[0.5, 0.5, 0.0], NEVER).unwrap();
        assert_eq!(frame.ended, Ended::Rule, "{rule}");
        assert!(frame.samples < 50_000 && frame.radius.unwrap() >= enough, "{rule}: {frame:?}");
    }
    // A deadline of all frames.
    let slow = Slow { model: linear(), batch: 64, time: Duration::from_millis(2), slower: 0 };
    let mut frames = FrameCertifier::new(Box::new(slow), of("deadline:30")).unwrap();
    let frame = frames.certify(&[0.5, 0.5, 0.0], NEVER).unwrap();
    assert!(frame.ended == Ended::Deadline && frame.time < Duration::from_millis(300), "{frame:?}");
    let error = FrameCertifier::new(Box::new(linear()), of("loss:0.1")).err().unwrap();
    let sentence =
        "frames can't be certified with the stopping rule loss:0.1; use fixed, radius, precision or deadline";
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn a_slow_start_is_forgotten() {
    let slow = Slow { model: linear(), batch: 64, time: Duration::from_millis(1), slower: 3 };
    let mut frames = FrameCertifier::new(Box::new(slow), settings(100, 1000)).unwrap();
    let mut samples =
        (0..20).map(|_| frames.certify(&[0.5, 0.5, 0.0], Duration::from_millis(60)).unwrap().samples);
    assert_eq!(samples.next(), Some(0));
    assert!(samples.any(|samples| samples >= 128));
}

#[test]
fn without_time_or_votes_nothing_is_claimed() {
    let mut frames = FrameCertifier::new(Box::new(linear()), settings(100, 1000)).unwrap();
    let frame = frames.certify(&[0.5, 0.5, 0.0], Duration::ZERO).unwrap();
    assert_eq!((frame.class, frame.radius, frame.p_lower), (None, None, 0.0));
    assert_eq!((frame.selection_samples, frame.samples, frame.ended), (0, 0, Ended::Deadline));
    // A model without an answer.
    let none = LinearClassifier::new(array![[f32::NAN], [1.0]], array![0.0, 0.0]);
    let mut frames = FrameCertifier::new(Box::new(none), settings(100, 1000)).unwrap();
    let frame = frames.certify(&[0.5], NEVER).unwrap();
    assert_eq!((frame.class, frame.radius, frame.ended), (None, None, Ended::NoClass));
}

#[test]
fn certified_radii_are_hardly_ever_above_the_true_one() {
    // The true radius is the distance to the boundary, which is x itself.
    let model = LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0]);
    let settings =
        Settings { alpha: mithridate_runtime::units::Alpha::new(0.05).unwrap(), ..settings(50, 640) };
    let mut frames = FrameCertifier::new(Box::new(model), settings).unwrap();
    let (runs, truth) = (4000, 0.2_f32);
    let false_claims = (0..runs)
        .filter(|_| {
            let frame = frames.certify(&[truth], NEVER).unwrap();
            frame.radius.is_some_and(|radius| radius > f64::from(truth))
        })
        .count();
    // 200 are allowed; five standard errors of a share of 0.05 are 69.
    assert!(false_claims <= 269, "{false_claims} of {runs}");
    assert!(
        false_claims > 0,
        "a bound that is valid only for a fixed number of samples would not fail in {runs} frames"
    );
}

#[test]
fn what_is_wrong_with_a_frame_is_said() {
    let mut frames = FrameCertifier::new(Box::new(linear()), settings(10, 100)).unwrap();
    let error = frames.certify(&[0.5], NEVER).unwrap_err();
    assert_eq!(error.to_string(), "input 0 has 1 values and the model takes 3");
    let error = FrameCertifier::new(Box::new(linear()), settings(0, 100)).err().unwrap();
    assert_eq!(error.to_string(), "`n0` must be at least 1 and is 0");
    let grid = Settings { distribution: Distribution::QuantizedGaussian, ..settings(10, 100) };
    let mut frames = FrameCertifier::new(Box::new(linear()), grid).unwrap();
    let error = frames.certify(&[0.0, 0.123, 1.0], NEVER).unwrap_err();
    assert!(error.to_string().starts_with("value 1 of input 0 is 0.123, which is not k/255"), "{error}");
    assert!(frames.certify(&[0.0, 1.0, 51.0 / 255.0], NEVER).is_ok());
}
