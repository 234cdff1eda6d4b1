//! Selection of the values of a graph that become 8-bit integers.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::rewriting::{int_attribute, operator};
use crate::{
    messages::{GraphProto, NodeProto, TensorProto},
    tensors::floats,
};

/// Operators that do not change values, so the scale of their input is also that of their output.
const PASSING: [&str; 7] = ["MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity"];

/// A convolution or matrix product with constant weights, to be computed with integers.
#[derive(Debug, PartialEq)]
pub(super) struct Product {
    /// Index of the node.
    pub node: usize,
    /// The weights.
    pub weights: Vec<f32>,
    /// Their shape.
    pub dims: Vec<i64>,
    /// The dimension of the weights that belongs to the output channels.
    pub axis: usize,
    /// The bias of each channel, if there is a constant one.
    pub bias: Option<Vec<f32>>,
}

impl Product {
    /// Number of output channels.
    pub fn channels(&self) -> usize {
        self.dims[self.axis] as usize
    }

    /// The output channel of the weight with index `element`.
    pub fn channel(&self, element: usize) -> usize {
        let inner: i64 = self.dims[self.axis + 1..].iter().product();
        element / inner as usize % self.channels()
    }

    fn of(number: usize, node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Option<Self> {
        let [input, weight, ..] = &node.input[..] else { return None };
        if constants.contains_key(input.as_str()) {
            return None;
        }
        let tensor = constants.get(weight.as_str())?;
        let (rank, weights) = (tensor.dims.len(), floats(tensor)?);
        let axis = match operator(node) {
            "Conv" if rank >= 3 => 0,
            "Gemm" if rank == 2 && int_attribute(node, "transA").unwrap_or(0) == 0 => {
                usize::from(int_attribute(node, "transB").unwrap_or(0) == 0)
            }
            "MatMul" if rank == 2 => 1,
            _ => return None,
        };
        if weights.is_empty() || tensor.dims.iter().any(|&size| size < 1) {
            return None;
        }
        let channels = tensor.dims[axis];
        let bias = node.input.get(2).and_then(|name| constants.get(name.as_str()));
        let bias = bias.filter(|bias| bias.dims == [channels]).and_then(|bias| floats(bias));
        Some(Self { node: number, weights, dims: tensor.dims.clone(), axis, bias })
    }
}

/// The products of a graph that can be computed with integers, in the order of nodes.
pub(super) fn products(graph: &GraphProto, constants: &HashMap<&str, &TensorProto>) -> Vec<Product> {
    let nodes = graph.node.iter().enumerate();
    nodes.filter_map(|(number, node)| Product::of(number, node, constants)).collect()
}

/// The values to be quantised, each with the value that determines its range. These are the inputs of products, and the
/// values from which they are computed by operators that work on integers. The inputs of a sum or mean are quantised if
/// its output is. The value between a product and a `Relu` that is its only reader is not quantised, because engines
/// fuse the two.
pub(super) fn quantized(
    graph: &GraphProto,
    products: &[Product],
    constants: &HashMap<&str, &TensorProto>,
) -> BTreeMap<String, String> {
    let producers: HashMap<&str, &NodeProto> = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
        .collect();
    let outputs: HashSet<&str> = graph.output.iter().filter_map(|value| value.name.as_deref()).collect();
    let alone = |name: &str| {
        let readers = graph.node.iter().flat_map(|node| &node.input).filter(|input| *input == name).count();
        readers == 1 && !outputs.contains(name)
    };
    let mut found = BTreeMap::new();
    let mut waiting: Vec<&str> =
        products.iter().map(|product| graph.node[product.node].input[0].as_str()).collect();
    while let Some(name) = waiting.pop() {
        if found.contains_key(name) {
            continue;
        }
        let (source, chain) = source(name, &producers);
        for passed in chain {
            found.insert(passed.to_owned(), source.to_owned());
        }
        let Some(mut maker) = producers.get(source).copied() else { continue };
        if operator(maker) == "Relu"
            && let Some(before) = maker.input.first().filter(|input| alone(input))
            && let Some(made) = producers.get(before.as_str())
        {
            maker = made;
        }
        if matches!(operator(maker), "Add" | "GlobalAveragePool")
            && maker.input.iter().all(|input| !constants.contains_key(input.as_str()))
        {
            waiting.extend(maker.input.iter().map(String::as_str));
        }
    }
    found
}

/// Follows a value through operators that do not change it. Returns the first value, and all values on the way, both
/// ends included.
fn source<'a>(name: &'a str, producers: &HashMap<&str, &'a NodeProto>) -> (&'a str, Vec<&'a str>) {
    let (mut source, mut chain) = (name, vec![name]);
    while let Some(node) = producers.get(source)
        && PASSING.contains(&operator(node))
        && node.output.len() == 1
        && let Some(input) = node.input.first()
        // A valid graph has no cycles, but a file may have one.
        && !chain.contains(&input.as_str())
    {
        source = input;
        chain.push(input);
    }
    (source, chain)
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;
    use crate::{
        Conv2d, Dim, ElementType, GraphBuilder, ModelMetadata, Pool2d, precision::rewriting::constants,
    };

    #[test]
    fn a_residual_network_is_integers_from_its_input_to_its_last_product() {
        let mut graph = GraphBuilder::new("residual");
        let shape = [Dim::symbolic("batch"), Dim::Fixed(4), Dim::Fixed(8), Dim::Fixed(8)];
        let image = graph.input("image", ElementType::Float, &shape).unwrap();
        let weight = graph.constant("weight", &ArrayD::ones(vec![4, 4, 3, 3]).view());
        let same = Conv2d { stride: 1, padding: 1 };
        let x = graph.conv2d(&image, &weight, None, same).unwrap();
        let x = graph.relu(&x);
        let x = graph.max_pool2d(&x, Pool2d { kernel: 2, stride: 2 }).unwrap();
        let y = graph.conv2d(&x, &weight, None, same).unwrap();
        let z = graph.add(&x, &y).unwrap();
        let z = graph.relu(&z);
        let z = graph.global_average_pool(&z).unwrap();
        let z = graph.flatten(&z).unwrap();
        let last = graph.constant("last", &ArrayD::ones(vec![3, 4]).view());
        let logits = graph.linear(&z, &last, None).unwrap();
        let graph = graph.finish(&[("logits", &logits)], &ModelMetadata::default()).unwrap().graph.unwrap();
        let constants = constants(&graph);
        let products = products(&graph, &constants);
        assert_eq!(products.iter().map(|product| product.node).collect::<Vec<_>>(), [0, 3, 8]);
        let found = quantized(&graph, &products, &constants);
        let expected = [
            ("conv_3", "conv_3"),
            ("flatten_7", "globalaveragepool_6"),
            ("globalaveragepool_6", "globalaveragepool_6"),
            ("image", "image"),
            ("maxpool_2", "relu_1"),
            ("relu_1", "relu_1"),
            ("relu_5", "relu_5"),
        ];
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn weights_of_a_negative_size_are_none() {
        let weight = TensorProto {
            dims: vec![-2, -3],
            data_type: Some(ElementType::Float as i32),
            float_data: vec![1.0; 6],
            ..TensorProto::default()
        };
        let node = crate::precision::rewriting::node("Gemm", &["x", "w"], "y", Vec::new());
        assert_eq!(Product::of(0, &node, &HashMap::from([("w", &weight)])), None);
        let positive = TensorProto { dims: vec![2, 3], ..weight };
        assert_eq!(Product::of(0, &node, &HashMap::from([("w", &positive)])).unwrap().axis, 1);
    }

    #[test]
    fn output_channels_are_found_in_the_weights() {
        let product = |dims: &[i64], axis| Product {
            node: 0,
            weights: Vec::new(),
            dims: dims.to_vec(),
            axis,
            bias: None,
        };
        let channels = |product: &Product| (0..6).map(|i| product.channel(i)).collect::<Vec<_>>();
        assert_eq!(channels(&product(&[3, 2], 0)), [0, 0, 1, 1, 2, 2]);
        assert_eq!(channels(&product(&[2, 3], 1)), [0, 1, 2, 0, 1, 2]);
        assert_eq!(channels(&product(&[2, 1, 3, 1], 0)), [0, 0, 0, 1, 1, 1]);
    }
}
