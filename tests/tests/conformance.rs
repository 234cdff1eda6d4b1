//! The same cases over every engine: plain numbers, ONNX Runtime on the CPU, tract, and ONNX Runtime on a GPU where
//! there is one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use half::f16;
use mithridate_onnx::{
    Conv2d, Dim, ElementType, GraphBuilder, ModelMetadata, Value, attributes::int, messages::ModelProto,
    to_bytes,
};
use mithridate_runtime::{
    backend::{
        Answers, BackendError, Classifier, Device, InputOptions, KeyedSamples, LinearClassifier, OnnxModel,
        OnnxRuntime, Precision, Provider, Samples, SharedNoise, SmoothingSampler, VoteSampler, vote,
    },
    certify::NOT_A_NUMBER,
    noise::{Distribution, Noise, NoiseBank, NoiseMode, Role},
    units::Sigma,
};
use mithridate_testkit::numbers;
use ndarray::{Array1, Array2, ArrayD};
use tract_onnx::prelude::*;

/// Channels, height and width of the images, and classes.
const IMAGE: [usize; 3] = [2, 5, 5];
const VALUES: usize = 50;
const CLASSES: usize = 4;
const HIDDEN: usize = 6;

/// Logits of one image in plain numbers.
type Plain = Box<dyn Fn(&[f32]) -> Vec<f32>>;

/// A classifier as a model, and what it computes in plain numbers.
struct Case {
    name: &'static str,
    model: ModelProto,
    /// The batch size in the file, 0 for any.
    batch: usize,
    half: bool,
    /// Logits of one image.
    plain: Plain,
    tolerance: f32,
}

/// Builds a model around what `body` makes of its input.
fn model(batch: usize, body: impl FnOnce(&mut GraphBuilder, &Value) -> Value) -> ModelProto {
    let mut graph = GraphBuilder::new("conformance");
    let first = if batch == 0 { Dim::symbolic("n") } else { Dim::Fixed(batch as i64) };
    let shape = [first, Dim::Fixed(2), Dim::Fixed(5), Dim::Fixed(5)];
    let image = graph.input("image", ElementType::Float, &shape).unwrap();
    let output = body(&mut graph, &image);
    graph.finish(&[("logits", &output)], &ModelMetadata::default()).unwrap()
}

/// A fully connected layer with numbers from `seed`.
fn dense(graph: &mut GraphBuilder, input: &Value, sizes: (usize, usize), seed: u64) -> Value {
    let (features, outputs) = sizes;
    let weight = ArrayD::from_shape_vec(vec![outputs, features], numbers(outputs * features, seed)).unwrap();
    let bias = ArrayD::from_shape_vec(vec![outputs], numbers(outputs, seed + 1)).unwrap();
    let weight = graph.constant(&format!("w{seed}"), &weight.view());
    let bias = graph.constant(&format!("b{seed}"), &bias.view());
    graph.linear(input, &weight, Some(&bias)).unwrap()
}

/// The same in plain numbers.
fn plain_dense(input: &[f32], outputs: usize, seed: u64) -> Vec<f32> {
    let (weight, bias) = (numbers(outputs * input.len(), seed), numbers(outputs, seed + 1));
    let rows = weight.chunks(input.len()).zip(bias);
    rows.map(|(row, bias)| row.iter().zip(input).map(|(w, x)| w * x).sum::<f32>() + bias).collect()
}

/// A 3×3 convolution with padding 1 to three channels, without a bias.
fn plain_conv(image: &[f32], kernel: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; 3 * 25];
    for (k, at) in (0..3).flat_map(|k| (0..25).map(move |at| (k, at))) {
        for (c, tap) in (0..2).flat_map(|c| (0..9).map(move |tap| (c, tap))) {
            let (y, x) = (at / 5 + tap / 3, at % 5 + tap % 3);
            if (1..6).contains(&y) && (1..6).contains(&x) {
                out[k * 25 + at] += kernel[(k * 2 + c) * 9 + tap] * image[c * 25 + (y - 1) * 5 + x - 1];
            }
        }
    }
    out
}

fn relu(values: Vec<f32>) -> Vec<f32> {
    values.into_iter().map(|value| value.max(0.0)).collect()
}

fn linear(batch: usize) -> ModelProto {
    model(batch, |graph, image| {
        let flat = graph.flatten(image).unwrap();
        dense(graph, &flat, (VALUES, CLASSES), 1)
    })
}

/// Weights and arithmetic in 16 bits behind an input of 32.
fn half_precision() -> ModelProto {
    model(0, |graph, image| {
        let to = |target: ElementType| vec![int("to", target as i64)];
        let flat = graph.flatten(image).unwrap();
        let halves = |values: Vec<f32>| values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        let rows = Array2::from_shape_vec((CLASSES, VALUES), numbers(CLASSES * VALUES, 1)).unwrap();
        let columns: Vec<f32> = rows.t().iter().copied().collect();
        let dims = [VALUES as i64, CLASSES as i64];
        let weight = graph.tensor("w", ElementType::Float16, &dims, halves(columns)).unwrap();
        let bias = graph.tensor("b", ElementType::Float16, &dims[1..], halves(numbers(CLASSES, 2))).unwrap();
        let shape = flat.shape().to_vec();
        let flat = graph.operator("Cast", &[&flat], to(ElementType::Float16), ElementType::Float16, shape);
        let out = vec![Dim::symbolic("n"), Dim::Fixed(CLASSES as i64)];
        let y = graph.operator("MatMul", &[&flat, &weight], Vec::new(), ElementType::Float16, out.clone());
        let y = graph.operator("Add", &[&y, &bias], Vec::new(), ElementType::Float16, out.clone());
        graph.operator("Cast", &[&y], to(ElementType::Float), ElementType::Float, out)
    })
}

fn cases() -> Vec<Case> {
    let case =
        |name, model, plain: Plain| Case { name, model, batch: 0, half: false, plain, tolerance: 1e-4 };
    let one_layer = |image: &[f32]| plain_dense(image, CLASSES, 1);
    let two_layers = |image: &[f32]| plain_dense(&relu(plain_dense(image, HIDDEN, 3)), CLASSES, 5);
    let mlp = model(0, |graph, image| {
        let flat = graph.flatten(image).unwrap();
        let hidden = dense(graph, &flat, (VALUES, HIDDEN), 3);
        let hidden = graph.relu(&hidden);
        dense(graph, &hidden, (HIDDEN, CLASSES), 5)
    });
    let convolution = model(0, |graph, image| {
        let kernel = ArrayD::from_shape_vec(vec![3, 2, 3, 3], numbers(54, 7)).unwrap();
        let kernel = graph.constant("kernel", &kernel.view());
        let features = graph.conv2d(image, &kernel, None, Conv2d { stride: 1, padding: 1 }).unwrap();
        let features = graph.relu(&features);
        let flat = graph.flatten(&features).unwrap();
        dense(graph, &flat, (75, CLASSES), 9)
    });
    // The logarithm of a negative sum is no number.
    let not_a_number = model(0, |graph, image| {
        let flat = graph.flatten(image).unwrap();
        let y = dense(graph, &flat, (VALUES, CLASSES), 1);
        let shape = y.shape().to_vec();
        graph.operator("Log", &[&y], Vec::new(), ElementType::Float, shape)
    });
    vec![
        case("linear", linear(0), Box::new(one_layer)),
        case("mlp", mlp, Box::new(two_layers)),
        case(
            "convolution",
            convolution,
            Box::new(|image| plain_dense(&relu(plain_conv(image, &numbers(54, 7))), CLASSES, 9)),
        ),
        Case { batch: 3, ..case("a fixed batch of 3", linear(3), Box::new(one_layer)) },
        Case { half: true, tolerance: 0.05, ..case("float16", half_precision(), Box::new(one_layer)) },
        case(
            "no numbers",
            not_a_number,
            Box::new(|image| plain_dense(image, CLASSES, 1).into_iter().map(f32::ln).collect()),
        ),
    ]
}

/// An engine: logits of a batch of images, or why there are none.
trait Engine {
    fn name(&self) -> String;
    fn logits(&self, case: &Case, images: &[f32]) -> Result<Vec<f32>, String>;
}

/// The classifiers of this crate that need no engine.
struct Mock;

impl Engine for Mock {
    fn name(&self) -> String {
        "plain Rust".into()
    }

    fn logits(&self, case: &Case, images: &[f32]) -> Result<Vec<f32>, String> {
        if !matches!(case.name, "linear" | "a fixed batch of 3") {
            return Ok(images.chunks(VALUES).flat_map(&case.plain).collect());
        }
        let weights = Array2::from_shape_vec((CLASSES, VALUES), numbers(CLASSES * VALUES, 1)).unwrap();
        let mut classifier = LinearClassifier::new(weights, Array1::from_vec(numbers(CLASSES, 2)));
        let mut logits = Vec::new();
        classifier.logits(images, &mut logits).map_err(|error| error.to_string())?;
        Ok(logits)
    }
}

struct Ort(Device);

/// Writes the model of a case into a file and opens it.
fn opened(case: &Case) -> Result<(OnnxRuntime, OnnxModel), BackendError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    mithridate_onnx::write(&case.model, &path).unwrap();
    let runtime = OnnxRuntime::load()?;
    let reading = InputOptions { image: Some(IMAGE), ..InputOptions::default() };
    let model = OnnxModel::open(&runtime, &path, &reading)?;
    Ok((runtime, model))
}

impl Engine for Ort {
    fn name(&self) -> String {
        format!("ONNX Runtime, {}", self.0)
    }

    fn logits(&self, case: &Case, images: &[f32]) -> Result<Vec<f32>, String> {
        let text = |error: BackendError| error.to_string();
        let (runtime, model) = opened(case).map_err(text)?;
        let mut classifier = model.classifier(&runtime, self.0, 1).map_err(text)?;
        let mut logits = Vec::new();
        classifier.logits(images, &mut logits).map_err(text)?;
        Ok(logits)
    }
}

struct Tract;

impl Engine for Tract {
    fn name(&self) -> String {
        "tract".into()
    }

    fn logits(&self, case: &Case, images: &[f32]) -> Result<Vec<f32>, String> {
        // A model of fixed batch takes that many at a time, and nothing else.
        let count = if case.batch == 0 { images.len() / VALUES } else { case.batch };
        if count == 0 {
            return Err("no whole image".into());
        }
        let shape = [count, IMAGE[0], IMAGE[1], IMAGE[2]];
        let run = |part: &[f32]| -> TractResult<Vec<f32>> {
            let bytes = to_bytes(&case.model);
            let plan = onnx()
                .model_for_read(&mut &bytes[..])?
                .with_input_fact(0, f32::fact(shape).into())?
                .into_optimized()?
                .into_runnable()?;
            let outputs = plan.run(tvec!(Tensor::from_shape(&shape, part)?.into()))?;
            Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
        };
        let mut logits = Vec::new();
        for part in images.chunks(count * VALUES) {
            logits.extend(run(part).map_err(|error| error.to_string())?);
        }
        Ok(logits)
    }
}

/// What ONNX Runtime can run models on here.
fn devices() -> Vec<Device> {
    let mut devices = vec![Device::from(Provider::Cpu)];
    for (provider, precision) in
        [(Provider::Cuda(0), Precision::OfModel), (Provider::TensorRt(0), Precision::Tf32)]
    {
        let device = Device { precision, ..Device::from(provider) };
        match Ort(device).logits(&cases()[0], &[0.0; VALUES]) {
            Ok(_) => devices.push(device),
            Err(problem) => eprintln!("skipped ONNX Runtime on {provider}: {problem}"),
        }
    }
    devices
}

fn engines() -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Mock), Box::new(Tract)];
    for device in devices() {
        engines.push(Box::new(Ort(device)));
    }
    engines
}

#[test]
fn every_engine_gives_the_logits_of_plain_numbers() {
    let engines = engines();
    for case in cases() {
        for count in [1_usize, 3, 64] {
            // A fixed batch is filled by whoever runs it.
            let count = if case.batch == 0 { count } else { count.next_multiple_of(case.batch) };
            let images = numbers(count * VALUES, 40 + count as u64);
            let expected: Vec<f32> = images.chunks(VALUES).flat_map(&case.plain).collect();
            for engine in &engines {
                let what = format!("{} of {count} under {}", case.name, engine.name());
                let found =
                    engine.logits(&case, &images).unwrap_or_else(|problem| panic!("{what}: {problem}"));
                assert_eq!(found.len(), count * CLASSES, "{what}");
                for (found, expected) in found.chunks(CLASSES).zip(expected.chunks(CLASSES)) {
                    let near =
                        |(a, b): (&f32, &f32)| (a - b).abs() <= case.tolerance || (a.is_nan() && b.is_nan());
                    assert!(found.iter().zip(expected).all(near), "{what}: {found:?} and not {expected:?}");
                    if !case.half {
                        assert_eq!(vote(found), vote(expected), "{what}");
                    }
                }
            }
        }
    }
    let with_nan = &cases()[5];
    let votes: Vec<_> =
        numbers(64 * VALUES, 104).chunks(VALUES).map(|image| vote(&(with_nan.plain)(image))).collect();
    assert!(
        votes.iter().filter(|&&vote| vote == NOT_A_NUMBER).count() > 32,
        "most of these images have no vote"
    );
}

#[test]
fn every_device_counts_the_votes_of_plain_numbers_with_noise_sent_or_kept() {
    let noise = Noise::new(Distribution::Gaussian, Sigma::new(0.5).unwrap()).unwrap();
    let bank = NoiseBank::new(3, &[(Role::Estimation, 200)]);
    let shared = SharedNoise { noise: &noise, bank: &bank, threads: 1 };
    for device in devices() {
        for case in cases().iter().filter(|case| !case.half) {
            let what = format!("{} on {device}", case.name);
            let (runtime, model) = opened(case).unwrap();
            let image = numbers(VALUES, 70);
            let key = |block| NoiseMode::Shared.key(3, Role::Estimation, 0, block);
            let mut noisy = vec![0.0; 200 * VALUES];
            for (block, samples) in (0..).zip(noisy.chunks_mut(64 * VALUES)) {
                noise.add(&key(block), &image, samples);
            }
            let expected: Vec<u16> = noisy.chunks(VALUES).map(|image| vote(&(case.plain)(image))).collect();
            let make = |shared| SmoothingSampler::fastest(&model, &runtime, device, Some(128), shared);
            let noisy = Samples::Noisy(&noisy);
            let votes_of = |sampler: &mut dyn VoteSampler, samples| {
                let mut answers = Answers::default();
                sampler.votes(samples, &mut answers).unwrap();
                answers.votes
            };
            // Read from logits by the host.
            let mut classifier = model.classifier(&runtime, device, 1).unwrap();
            assert_eq!(votes_of(&mut classifier, noisy), expected, "{what}");
            let mut sampler = match make(None) {
                Ok(sampler) => sampler,
                Err(BackendError::Model(problem)) => {
                    eprintln!("skipped counting of {what}: {problem}");
                    continue;
                }
                Err(problem) => panic!("{what}: {problem}"),
            };
            assert_eq!(votes_of(&mut sampler, noisy), expected, "{what}");
            let keyed: Vec<KeyedSamples<'_>> = (0..4)
                .map(|block| KeyedSamples {
                    image: &image,
                    key: key(block),
                    samples: if block < 3 { 64 } else { 8 },
                })
                .collect();
            let mut sampler = make(Some(shared)).unwrap();
            assert_eq!(votes_of(&mut sampler, Samples::Keyed(&keyed)), expected, "{what}");
        }
    }
}

#[test]
fn every_engine_refuses_images_of_another_size() {
    let case = &cases()[0];
    for engine in engines() {
        for values in [VALUES - 1, VALUES + 1, 2 * VALUES + 7] {
            assert!(engine.logits(case, &numbers(values, 1)).is_err(), "{values} under {}", engine.name());
        }
    }
}
