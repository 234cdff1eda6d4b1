use ndarray::{Array1, Array2, ArrayD};

use super::*;
use crate::{Conv2d, Dim, GraphBuilder, ModelMetadata, Pool2d, precision::rewriting::operator, summarize};

/// Convolution, ReLU, max-pooling, and a linear layer: 1×4×4 to 2 logits.
fn convolutional(weight: f32) -> ModelProto {
    let mut graph = GraphBuilder::new("small");
    let shape = [Dim::symbolic("batch"), Dim::Fixed(1), Dim::Fixed(4), Dim::Fixed(4)];
    let image = graph.input("image", ElementType::Float, &shape).unwrap();
    // The second filter is a tenth of the first.
    let filters = ArrayD::from_shape_fn(vec![2, 1, 3, 3], |i| if i[0] == 0 { weight } else { weight / 10.0 });
    let filters = graph.constant("filters", &filters.view());
    let bias = graph.constant("bias", &Array1::from_vec(vec![0.5, -0.25]).view().into_dyn());
    let x = graph.conv2d(&image, &filters, Some(&bias), Conv2d { stride: 1, padding: 0 }).unwrap();
    let x = graph.relu(&x);
    let x = graph.max_pool2d(&x, Pool2d { kernel: 2, stride: 2 }).unwrap();
    let x = graph.flatten(&x).unwrap();
    let last = graph.constant("last", &Array2::from_elem((2, 2), 0.3).view().into_dyn());
    let logits = graph.linear(&x, &last, None).unwrap();
    graph.finish(&[("logits", &logits)], &ModelMetadata::default()).unwrap()
}

fn ranges(name: &str) -> Option<[f32; 2]> {
    match name {
        "image" => Some([-1.0, 1.55]),
        "relu_1" => Some([0.0, 5.1]),
        _ => None,
    }
}

fn bytes<'a>(graph: &'a GraphProto, name: &str) -> &'a TensorProto {
    graph.initializer.iter().find(|tensor| tensor.name.as_deref() == Some(name)).unwrap()
}

fn floats(graph: &GraphProto, name: &str) -> Vec<f32> {
    crate::tensors::floats(bytes(graph, name)).unwrap()
}

#[test]
fn every_product_reads_integers_and_the_ends_keep_their_type() {
    let model = to_int8(&convolutional(1.27), ranges).unwrap();
    let summary = summarize(&model).unwrap();
    assert_eq!(summary.inputs[0].to_string(), "image: float [batch, 1, 4, 4]");
    assert_eq!(summary.outputs[0].to_string(), "logits: float [batch, 2]");
    assert_eq!(summary.metadata["mithridate.precision"], "int8");
    // Two filters of 9, a matrix of 4, and the bias of the filters.
    assert_eq!((summary.parameters, summary.precision()), (24, Some("int8")));
    assert_eq!(summary.weights.into_iter().collect::<Vec<_>>(), [("int32", 2), ("int8", 22)]);
    let graph = model.graph.unwrap();
    let calls: Vec<(&str, &str)> =
        graph.node.iter().map(|node| (operator(node), node.input[0].as_str())).collect();
    assert_eq!(
        calls,
        [
            ("QuantizeLinear", "image"),
            ("DequantizeLinear", "image_quantized"),
            ("DequantizeLinear", "filters_quantized"),
            ("DequantizeLinear", "bias_quantized"),
            ("Conv", "image_dequantized"),
            ("Relu", "conv_0"),
            ("QuantizeLinear", "relu_1"),
            ("DequantizeLinear", "relu_1_quantized"),
            ("MaxPool", "relu_1_dequantized"),
            ("QuantizeLinear", "maxpool_2"),
            ("DequantizeLinear", "maxpool_2_quantized"),
            ("Flatten", "maxpool_2_dequantized"),
            ("QuantizeLinear", "flatten_3"),
            ("DequantizeLinear", "flatten_3_quantized"),
            ("DequantizeLinear", "last_quantized"),
            ("Gemm", "flatten_3_dequantized"),
        ]
    );
    let conv = graph.node.iter().find(|node| operator(node) == "Conv").unwrap();
    assert_eq!(conv.input, ["image_dequantized", "filters_dequantized", "bias_dequantized"]);
    // Values before and after operators that do not change them have the same scale.
    assert_eq!(floats(&graph, "relu_1_scale"), floats(&graph, "flatten_3_scale"));
    assert_eq!(bytes(&graph, "relu_1_zero_point").raw_data.as_deref(), Some(&[0][..]));
    assert_eq!(bytes(&graph, "image_zero_point").raw_data.as_deref(), Some(&[100][..]));
    let names: Vec<&str> = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    for gone in ["filters", "bias", "last"] {
        assert!(!names.contains(&gone), "{gone} is read by nothing");
    }
}

#[test]
fn scales_are_those_of_the_channels_and_of_the_bias_the_product_of_both() {
    let graph = to_int8(&convolutional(1.27), ranges).unwrap().graph.unwrap();
    let close = |found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() <= 1e-6 * b, "{found:?} and {expected:?}");
        }
    };
    close(&floats(&graph, "filters_scale"), &[0.01, 0.001]);
    let filters = bytes(&graph, "filters_quantized");
    assert_eq!((filters.data_type, &filters.dims[..]), (Some(ElementType::Int8 as i32), &[2, 1, 3, 3][..]));
    assert_eq!(filters.raw_data.as_deref(), Some(&[127; 18][..]));
    close(&floats(&graph, "image_scale"), &[0.01]);
    close(&floats(&graph, "bias_scale"), &[1e-4, 1e-5]);
    let bias = bytes(&graph, "bias_quantized");
    assert_eq!(bias.data_type, Some(ElementType::Int32 as i32));
    // 0.5 / 1e-4 and −0.25 / 1e-5.
    assert_eq!(bias.raw_data.clone().unwrap(), [5000_i32, -25000].map(i32::to_le_bytes).concat());
}

#[test]
fn a_bias_that_dwarfs_its_weights_stays_within_its_integers() {
    let graph = to_int8(&convolutional(1e-12), ranges).unwrap().graph.unwrap();
    let values = bytes(&graph, "bias_quantized").raw_data.clone().unwrap();
    let (fours, _) = values.as_chunks::<4>();
    for ((four, scale), expected) in fours.iter().zip(floats(&graph, "bias_scale")).zip([0.5, -0.25]) {
        let value = i32::from_le_bytes(*four);
        assert!(value.unsigned_abs() <= 1 << 30);
        assert!((value as f32 * scale - expected).abs() < 1e-6, "{value} times {scale}");
    }
}

#[test]
fn the_weights_of_a_matrix_product_have_their_channels_last() {
    let mut graph = GraphBuilder::new("product");
    let input = graph.input("x", ElementType::Float, &[Dim::symbolic("n"), Dim::Fixed(2)]).unwrap();
    let weight = Array2::from_shape_vec((2, 3), vec![1.27, 0.0, 0.1, -0.5, 0.254, 0.0]).unwrap();
    let weight = graph.constant("weight", &weight.view().into_dyn());
    let shape = vec![Dim::symbolic("n"), Dim::Fixed(3)];
    let y = graph.operator("MatMul", &[&input, &weight], Vec::new(), ElementType::Float, shape);
    let model = graph.finish(&[("y", &y)], &ModelMetadata::default()).unwrap();
    let graph = to_int8(&model, |_| Some([0.0, 1.0])).unwrap().graph.unwrap();
    let read = graph.node.iter().find(|node| node.input[0] == "weight_quantized").unwrap();
    assert_eq!(read.attribute[0].i, Some(1));
    let integers: Vec<i8> =
        bytes(&graph, "weight_quantized").raw_data.as_ref().unwrap().iter().map(|&byte| byte as i8).collect();
    assert_eq!(integers, [127, 0, 127, -50, 127, 0]);
}

#[test]
fn what_can_not_be_quantised_is_said() {
    let refused = |model: &ModelProto, range: fn(&str) -> Option<[f32; 2]>, expected: &str| {
        let error = to_int8(model, range).unwrap_err().to_string();
        assert_eq!(error, format!("the model can't be written in int8: {expected}"));
    };
    let good = convolutional(1.0);
    refused(&good, |_| None, "the range of relu_1 is not known");
    let nan = |_: &str| Some([0.0, f32::NAN]);
    refused(&good, nan, "values from 0 to NaN are no range that 256 steps can divide");
    let mut old = good.clone();
    old.opset_import[0].version = Some(12);
    refused(&old, ranges, "it is in operator set 12, and 13 is the first with what it takes");
    let wild = convolutional(f32::INFINITY);
    refused(&wild, ranges, "the weights filters, or the bias beside them, hold NaN or infinity");
    let again = to_int8(&good, ranges).unwrap();
    refused(
        &again,
        ranges,
        "it has no Conv, Gemm or MatMul with constant float32 weights in the model's file itself",
    );
}
