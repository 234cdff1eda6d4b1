pub mod attributes;
mod convolution;
mod elementwise;
mod linear;
mod normalization;
mod pooling;
mod shapes;

pub use convolution::Conv2d;
pub use normalization::BatchNorm;
pub use pooling::Pool2d;

use ndarray::ArrayViewD;
use shapes::shape_error;

use crate::{
    Dim, ElementType, IR_VERSION, ModelMetadata, OPSET_VERSION, OnnxError,
    messages::{
        AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
        TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
    },
};

/// A value in a graph under construction: an input, a constant or the result of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    name: String,
    element_type: ElementType,
    shape: Vec<Dim>,
}

impl Value {
    /// Name in the graph. [`GraphBuilder::finish`] renames outputs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape, the batch dimension first.
    pub fn shape(&self) -> &[Dim] {
        &self.shape
    }
}

/// Builds a graph node by node, and checks shapes.
///
/// See the [crate documentation](crate) for an example.
#[derive(Debug)]
pub struct GraphBuilder {
    graph: GraphProto,
}

impl GraphBuilder {
    /// Starts an empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { graph: GraphProto { name: Some(name.into()), ..GraphProto::default() } }
    }

    /// Adds an input.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if a fixed dimension is not positive.
    pub fn input(
        &mut self,
        name: &str,
        element_type: ElementType,
        shape: &[Dim],
    ) -> Result<Value, OnnxError> {
        if let Some(dim) = shape.iter().find(|dim| matches!(dim, Dim::Fixed(size) if *size < 1)) {
            return shape_error("input", format!("{name} has a dimension of size {dim}"));
        }
        let value = Value { name: name.into(), element_type, shape: shape.to_vec() };
        self.graph.input.push(value_info(&value, name));
        Ok(value)
    }

    /// Adds a constant float32 tensor.
    pub fn constant(&mut self, name: &str, elements: &ArrayViewD<'_, f32>) -> Value {
        let dims: Vec<i64> = elements.shape().iter().map(|&size| size as i64).collect();
        self.graph.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: dims.clone(),
            data_type: Some(ElementType::Float as i32),
            raw_data: Some(elements.iter().flat_map(|element| element.to_le_bytes()).collect()),
            ..TensorProto::default()
        });
        let shape = dims.into_iter().map(Dim::Fixed).collect();
        Value { name: name.into(), element_type: ElementType::Float, shape }
    }

    /// Adds a constant tensor of any element type. `bytes` are its elements, little-endian and row-major.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if a dimension is negative.
    pub fn tensor(
        &mut self,
        name: &str,
        element_type: ElementType,
        dims: &[i64],
        bytes: Vec<u8>,
    ) -> Result<Value, OnnxError> {
        if let Some(dim) = dims.iter().find(|dim| **dim < 0) {
            return shape_error("constant", format!("{name} has a dimension of size {dim}"));
        }
        self.graph.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(element_type as i32),
            raw_data: Some(bytes),
            ..TensorProto::default()
        });
        Ok(Value {
            name: name.into(),
            element_type,
            shape: dims.iter().map(|&dim| Dim::Fixed(dim)).collect(),
        })
    }

    /// Adds a node with any operator of the standard operator set. The caller gives the element type and shape of its
    /// result.
    ///
    /// ```
    /// use mithridate_onnx::{Dim, ElementType, GraphBuilder, attributes::int};
    ///
    /// let mut graph = GraphBuilder::new("probabilities");
    /// let logits = graph.input("logits", ElementType::Float, &[Dim::symbolic("batch"), Dim::Fixed(10)])?;
    /// let shape = logits.shape().to_vec();
    /// let output = graph.operator("Softmax", &[&logits], vec![int("axis", 1)], ElementType::Float, shape);
    /// assert_eq!(output.shape(), logits.shape());
    /// # Ok::<(), mithridate_onnx::OnnxError>(())
    /// ```
    pub fn operator(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attribute: Vec<AttributeProto>,
        element_type: ElementType,
        shape: Vec<Dim>,
    ) -> Value {
        Value { element_type, ..self.node(operator, inputs, attribute, shape) }
    }

    /// Finishes the graph: names its outputs and returns the model with `metadata`.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if there is no output.
    pub fn finish(
        mut self,
        outputs: &[(&str, &Value)],
        metadata: &ModelMetadata,
    ) -> Result<ModelProto, OnnxError> {
        if outputs.is_empty() {
            return shape_error("output", "the graph has none".into());
        }
        for &(name, value) in outputs {
            for node in &mut self.graph.node {
                for text in node.output.iter_mut().chain(&mut node.input).filter(|text| **text == value.name)
                {
                    name.clone_into(text);
                }
            }
            self.graph.output.push(value_info(value, name));
        }
        Ok(ModelProto {
            ir_version: Some(IR_VERSION),
            opset_import: vec![OperatorSetIdProto {
                domain: Some(String::new()),
                version: Some(OPSET_VERSION),
            }],
            producer_name: Some("mithridate".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            graph: Some(self.graph),
            metadata_props: metadata
                .entries()
                .into_iter()
                .map(|(key, value)| StringStringEntryProto { key: Some(key.into()), value: Some(value) })
                .collect(),
            ..ModelProto::default()
        })
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attribute: Vec<AttributeProto>,
        shape: Vec<Dim>,
    ) -> Value {
        let name = format!("{}_{}", operator.to_lowercase(), self.graph.node.len());
        self.graph.node.push(NodeProto {
            name: Some(name.clone()),
            op_type: Some(operator.into()),
            input: inputs.iter().map(|value| value.name.clone()).collect(),
            output: vec![name.clone()],
            attribute,
            ..NodeProto::default()
        });
        Value { name, element_type: ElementType::Float, shape }
    }
}

fn value_info(value: &Value, name: &str) -> ValueInfoProto {
    let shape = TensorShapeProto { dim: value.shape.iter().map(Into::into).collect() };
    let tensor = TensorType { elem_type: Some(value.element_type as i32), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { denotation: None, value: Some(TypeValue::Tensor(tensor)) }),
        ..ValueInfoProto::default()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;

    fn image(graph: &mut GraphBuilder) -> Value {
        let shape = [Dim::symbolic("batch"), Dim::Fixed(1), Dim::Fixed(28), Dim::Fixed(28)];
        graph.input("image", ElementType::Float, &shape).unwrap()
    }

    #[test]
    fn shapes_follow_the_layers_of_lenet() {
        let mut graph = GraphBuilder::new("lenet");
        let x = image(&mut graph);
        let w = graph.constant("w", &ArrayD::zeros(vec![20, 1, 5, 5]).view());
        let x = graph.conv2d(&x, &w, None, Conv2d { stride: 1, padding: 0 }).unwrap();
        let x = graph.max_pool2d(&x, Pool2d { kernel: 2, stride: 2 }).unwrap();
        let x = graph.flatten(&x).unwrap();
        assert_eq!(x.shape(), [Dim::symbolic("batch"), Dim::Fixed(20 * 12 * 12)]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let mut graph = GraphBuilder::new("wrong");
        let x = image(&mut graph);
        let w = graph.constant("w", &ArrayD::zeros(vec![20, 3, 5, 5]).view());
        let error = graph.conv2d(&x, &w, None, Conv2d { stride: 1, padding: 0 }).unwrap_err();
        assert_eq!(error.to_string(), "operator Conv in the graph: 1 channels meet a weight for 3");
        let error = graph.max_pool2d(&x, Pool2d { kernel: 29, stride: 1 }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "operator MaxPool in the graph: a window of 29 with stride 1 on 28 pixels"
        );
    }

    /// N×1×28×28 through a convolution of 8 filters: N×8×26×26.
    fn features(graph: &mut GraphBuilder) -> Value {
        let x = image(graph);
        let w = graph.constant("w", &ArrayD::zeros(vec![8, 1, 3, 3]).view());
        graph.conv2d(&x, &w, None, Conv2d { stride: 1, padding: 0 }).unwrap()
    }

    #[test]
    fn the_layers_of_a_residual_block_keep_the_shape_and_the_pool_takes_it_all() {
        let mut graph = GraphBuilder::new("residual");
        let x = features(&mut graph);
        let channels = graph.constant("c", &ArrayD::ones(vec![8]).view());
        let norm = BatchNorm {
            scale: &channels,
            bias: &channels,
            mean: &channels,
            variance: &channels,
            epsilon: 1e-3,
        };
        let y = graph.batch_normalization(&x, norm).unwrap();
        let z = graph.add(&x, &y).unwrap();
        assert_eq!((y.shape(), z.shape()), (x.shape(), x.shape()));
        let z = graph.global_average_pool(&z).unwrap();
        assert_eq!(z.shape(), [Dim::symbolic("batch"), Dim::Fixed(8), Dim::Fixed(1), Dim::Fixed(1)]);
        let z = graph.flatten(&z).unwrap();
        assert_eq!(z.shape(), [Dim::symbolic("batch"), Dim::Fixed(8)]);
        let model = graph.finish(&[("features", &z)], &ModelMetadata::default()).unwrap();
        let nodes = model.graph.unwrap().node;
        let operators: Vec<&str> = nodes.iter().map(|node| node.op_type.as_deref().unwrap()).collect();
        assert_eq!(operators, ["Conv", "BatchNormalization", "Add", "GlobalAveragePool", "Flatten"]);
        assert_eq!(nodes[1].input.len(), 5);
        assert_eq!(
            (nodes[1].attribute[0].name.as_deref(), nodes[1].attribute[0].f),
            (Some("epsilon"), Some(1e-3))
        );
        assert_eq!(nodes[2].input, ["conv_0", "batchnormalization_1"]);
    }

    #[test]
    fn statistics_and_sums_that_do_not_fit_are_named() {
        let mut graph = GraphBuilder::new("wrong");
        let x = features(&mut graph);
        let eight = graph.constant("eight", &ArrayD::ones(vec![8]).view());
        let four = graph.constant("four", &ArrayD::ones(vec![4]).view());
        let norm = BatchNorm { scale: &eight, bias: &eight, mean: &eight, variance: &four, epsilon: 1e-5 };
        assert_eq!(
            graph.batch_normalization(&x, norm).unwrap_err().to_string(),
            "operator BatchNormalization in the graph: 8 channels meet a variance of shape [Fixed(4)]"
        );
        let flat = graph.flatten(&x).unwrap();
        assert!(graph.batch_normalization(&flat, BatchNorm { variance: &eight, ..norm }).is_err());
        assert!(graph.global_average_pool(&flat).is_err());
        let y = image(&mut graph);
        assert_eq!(
            graph.add(&x, &y).unwrap_err().to_string(),
            "operator Add in the graph: [batch, 8, 26, 26] meets [batch, 1, 28, 28]"
        );
    }
}
