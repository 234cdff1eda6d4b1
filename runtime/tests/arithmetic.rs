//! Multiplications with addition of known networks in each precision, and what `rscert bench` makes of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use mithridate_onnx::{
    Conv2d, Dim, ElementType, GraphBuilder, ModelMetadata, Pool2d, Value, messages::ModelProto, to_float16,
    to_int8,
};
use mithridate_runtime::backend::{InputOptions, OnnxModel, OnnxRuntime};
use mithridate_testkit::program::rscert;
use ndarray::ArrayD;

/// A network under construction with the number of its weights, whose elements are all alike.
struct Network(GraphBuilder, usize);

impl Network {
    fn new(batch: Dim, image: [i64; 3]) -> (Self, Value) {
        let mut graph = GraphBuilder::new("network");
        let [c, h, w] = image.map(Dim::Fixed);
        let image = graph.input("image", ElementType::Float, &[batch, c, h, w]).unwrap();
        (Self(graph, 0), image)
    }

    fn weight(&mut self, shape: &[usize]) -> Value {
        let size: usize = shape[1..].iter().product();
        self.1 += 1;
        self.0.constant(
            &format!("weight_{}", self.1),
            &ArrayD::from_elem(shape.to_vec(), 1.0 / size as f32).view(),
        )
    }

    fn conv(&mut self, input: &Value, shape: [usize; 3], stride: usize, padding: usize) -> Value {
        let [inputs, outputs, kernel] = shape;
        let weight = self.weight(&[outputs, inputs, kernel, kernel]);
        self.0.conv2d(input, &weight, None, Conv2d { stride, padding }).unwrap()
    }

    fn linear(&mut self, input: &Value, inputs: usize, outputs: usize) -> Value {
        let weight = self.weight(&[outputs, inputs]);
        self.0.linear(input, &weight, None).unwrap()
    }

    fn finish(self, logits: &Value) -> ModelProto {
        self.0.finish(&[("logits", logits)], &ModelMetadata::default()).unwrap()
    }
}

fn lenet(batch: Dim) -> ModelProto {
    let (mut network, mut x) = Network::new(batch, [1, 28, 28]);
    let halve = Pool2d { kernel: 2, stride: 2 };
    for (inputs, outputs) in [(1, 20), (20, 50)] {
        x = network.conv(&x, [inputs, outputs, 5], 1, 0);
        x = network.0.relu(&x);
        x = network.0.max_pool2d(&x, halve).unwrap();
    }
    x = network.0.flatten(&x).unwrap();
    x = network.linear(&x, 800, 500);
    x = network.0.relu(&x);
    x = network.linear(&x, 500, 10);
    network.finish(&x)
}

/// ResNet-20 with 1×1 convolutions where the shape changes, without batch normalisation.
fn resnet20(batch: Dim) -> ModelProto {
    let (mut network, mut x) = Network::new(batch, [3, 32, 32]);
    x = network.conv(&x, [3, 16, 3], 1, 1);
    x = network.0.relu(&x);
    let mut inputs = 16;
    for outputs in [16, 32, 64] {
        for _ in 0..3 {
            let stride = if inputs == outputs { 1 } else { 2 };
            let y = network.conv(&x, [inputs, outputs, 3], stride, 1);
            let y = network.0.relu(&y);
            let y = network.conv(&y, [outputs, outputs, 3], 1, 1);
            if stride == 2 {
                x = network.conv(&x, [inputs, outputs, 1], 2, 0);
            }
            x = network.0.add(&y, &x).unwrap();
            x = network.0.relu(&x);
            inputs = outputs;
        }
    }
    x = network.0.global_average_pool(&x).unwrap();
    x = network.0.flatten(&x).unwrap();
    x = network.linear(&x, 64, 10);
    network.finish(&x)
}

fn count(model: &ModelProto) -> Option<u64> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    mithridate_onnx::write(model, &path).unwrap();
    let runtime = OnnxRuntime::load().unwrap();
    OnnxModel::open(&runtime, &path, &InputOptions::default()).unwrap().multiply_adds(&runtime)
}

#[test]
fn lenet_and_resnet20_take_what_is_known_in_every_precision() {
    let lenet_by_hand = 24 * 24 * 20 * 25 + 8 * 8 * 50 * 500 + 800 * 500 + 500 * 10;
    // The 40.8 million that are published, with the projections.
    let convolution = |side: u64, inputs: u64, outputs: u64| side * side * outputs * inputs * 9;
    let resnet20_by_hand = convolution(32, 3, 16)
        + 6 * convolution(32, 16, 16)
        + (convolution(16, 16, 32) + 5 * convolution(16, 32, 32) + 16 * 16 * 16 * 32)
        + (convolution(8, 32, 64) + 5 * convolution(8, 64, 64) + 8 * 8 * 32 * 64)
        + 640;
    assert_eq!((lenet_by_hand, resnet20_by_hand), (2_293_000, 40_813_184));
    for (model, expected) in [(lenet as fn(Dim) -> ModelProto, lenet_by_hand), (resnet20, resnet20_by_hand)] {
        let plain = model(Dim::symbolic("batch"));
        assert_eq!(count(&plain), Some(expected));
        assert_eq!(count(&to_float16(&plain).unwrap()), Some(expected), "float16");
        assert_eq!(count(&to_int8(&plain, |_| Some([-1.0, 1.0])).unwrap()), Some(expected), "int8");
        assert_eq!(count(&model(Dim::Fixed(4))), Some(expected), "a batch of 4");
    }
}

#[test]
fn bench_says_what_share_of_the_arithmetic_limit_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    mithridate_onnx::write(&lenet(Dim::symbolic("batch")), &path).unwrap();
    let bench = |more: &[&str]| {
        let arguments =
            [&["bench", "--model", "model.onnx", "--seconds", "1", "--threads", "1"], more].concat();
        let output = rscert(folder.path(), &arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let document: serde_json::Value = serde_json::from_str(&bench(&["--json"])).unwrap();
    let arithmetic = &document["arithmetic"];
    assert_eq!(arithmetic["multiply_adds_per_sample"], 2_293_000);
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let limit = number(&arithmetic["limit_multiply_adds_per_second"]);
    // Slower than a pocket calculator of the nineties or faster than any processor: a wrong unit.
    assert!((1e7..1e14).contains(&limit), "{limit}");
    let used = number(&document["samples_per_second"]["whole"]) * 2_293_000.0;
    let share = number(&arithmetic["share_of_limit"]);
    assert!((share - used / limit).abs() < 1e-9 * share, "{document:#}");
    let text = bench(&[]);
    assert!(text.contains("% of the limit; 2293000 per sample)"), "{text}");
}
