use ndarray::ArrayViewD;

use crate::{
    Dim, ElementType, IR_VERSION, ModelMetadata, OPSET_VERSION, OnnxError,
    messages::{
        AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
        StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue,
        ValueInfoProto,
    },
};

/// A value in a graph under construction: what a node reads or writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    name: String,
    element_type: ElementType,
    shape: Vec<Dim>,
}

impl Value {
    /// Shape, the batch dimension first.
    pub fn shape(&self) -> &[Dim] {
        &self.shape
    }
}

/// Settings of a two-dimensional convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Step of the window in both directions.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
}

/// Settings of a two-dimensional pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Side of the square window.
    pub kernel: usize,
    /// Step of the window in both directions.
    pub stride: usize,
}

/// Builds a graph node by node and checks shapes on the way.
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

    /// Adds a constant tensor.
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

    /// Two-dimensional convolution: N×C×H×W with K×C×R×S and K gives N×K×H'×W'.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the shapes don't fit.
    pub fn conv2d(
        &mut self,
        input: &Value,
        weight: &Value,
        bias: Option<&Value>,
        settings: Conv2d,
    ) -> Result<Value, OnnxError> {
        let (n, [c, h, w]) = batch_and_sizes::<3>("Conv", input)?;
        let [k, wc, r, s] = sizes::<4>("Conv", weight)?;
        if c != wc {
            return shape_error("Conv", format!("{c} channels meet a weight for {wc}"));
        }
        if let Some(bias) = bias
            && sizes::<1>("Conv", bias)? != [k]
        {
            return shape_error("Conv", format!("{k} filters meet a bias of shape {:?}", bias.shape));
        }
        let out =
            |side: usize, kernel: usize| window("Conv", side + 2 * settings.padding, kernel, settings.stride);
        let shape = vec![n, fixed(k), fixed(out(h, r)?), fixed(out(w, s)?)];
        let attributes = vec![
            ints("kernel_shape", &[r, s]),
            ints("strides", &[settings.stride; 2]),
            ints("pads", &[settings.padding; 4]),
        ];
        let inputs: Vec<&Value> = [Some(input), Some(weight), bias].into_iter().flatten().collect();
        Ok(self.node("Conv", &inputs, attributes, shape))
    }

    /// Largest value in each window.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the window is larger than the image.
    pub fn max_pool2d(&mut self, input: &Value, settings: Pool2d) -> Result<Value, OnnxError> {
        let (n, [c, h, w]) = batch_and_sizes::<3>("MaxPool", input)?;
        let out = |side: usize| window("MaxPool", side, settings.kernel, settings.stride);
        let shape = vec![n, fixed(c), fixed(out(h)?), fixed(out(w)?)];
        let attributes =
            vec![ints("kernel_shape", &[settings.kernel; 2]), ints("strides", &[settings.stride; 2])];
        Ok(self.node("MaxPool", &[input], attributes, shape))
    }

    /// The larger of 0 and each element.
    pub fn relu(&mut self, input: &Value) -> Value {
        self.node("Relu", &[input], Vec::new(), input.shape.clone())
    }

    /// N×A×B×… to N×(A·B·…).
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if a dimension after the first is not fixed.
    pub fn flatten(&mut self, input: &Value) -> Result<Value, OnnxError> {
        let mut features = 1;
        for dim in input.shape.iter().skip(1) {
            match dim.size() {
                Some(size) => features *= size,
                None => return shape_error("Flatten", format!("dimension {dim} is not fixed")),
            }
        }
        let Some(batch) = input.shape.first().cloned() else {
            return shape_error("Flatten", "a scalar has no batch dimension".into());
        };
        Ok(self.node("Flatten", &[input], vec![int("axis", 1)], vec![batch, fixed(features)]))
    }

    /// Fully connected layer: N×F with K×F and K gives N×K, `x·Wᵀ + b`.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the shapes don't fit.
    pub fn linear(
        &mut self,
        input: &Value,
        weight: &Value,
        bias: Option<&Value>,
    ) -> Result<Value, OnnxError> {
        let (n, [features]) = batch_and_sizes::<1>("Gemm", input)?;
        let [k, expected] = sizes::<2>("Gemm", weight)?;
        if features != expected {
            return shape_error("Gemm", format!("{features} features meet a weight for {expected}"));
        }
        if let Some(bias) = bias
            && sizes::<1>("Gemm", bias)? != [k]
        {
            return shape_error("Gemm", format!("{k} outputs meet a bias of shape {:?}", bias.shape));
        }
        let inputs: Vec<&Value> = [Some(input), Some(weight), bias].into_iter().flatten().collect();
        Ok(self.node("Gemm", &inputs, vec![int("transB", 1)], vec![n, fixed(k)]))
    }

    /// Ends the graph: names its outputs and wraps it into a model with the metadata given.
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

fn shape_error<T>(operator: &'static str, problem: String) -> Result<T, OnnxError> {
    Err(OnnxError::Shape { operator, problem })
}

fn fixed(size: usize) -> Dim {
    Dim::Fixed(size as i64)
}

fn sizes<const N: usize>(operator: &'static str, value: &Value) -> Result<[usize; N], OnnxError> {
    let sizes: Option<Vec<usize>> = value.shape.iter().map(Dim::size).collect();
    sizes.and_then(|sizes| sizes.try_into().ok()).map_or_else(
        || {
            shape_error(
                operator,
                format!("{} needs {N} fixed dimensions and has {:?}", value.name, value.shape),
            )
        },
        Ok,
    )
}

fn batch_and_sizes<const N: usize>(
    operator: &'static str,
    value: &Value,
) -> Result<(Dim, [usize; N]), OnnxError> {
    let Some((batch, rest)) = value.shape.split_first() else {
        return shape_error(operator, format!("{} has no batch dimension", value.name));
    };
    let rest = Value { shape: rest.to_vec(), ..value.clone() };
    Ok((batch.clone(), sizes::<N>(operator, &rest)?))
}

fn window(operator: &'static str, side: usize, kernel: usize, stride: usize) -> Result<usize, OnnxError> {
    if kernel == 0 || stride == 0 || kernel > side {
        return shape_error(operator, format!("a window of {kernel} with stride {stride} on {side} pixels"));
    }
    Ok((side - kernel) / stride + 1)
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Ints as i32),
        ints: values.iter().map(|&value| value as i64).collect(),
        ..AttributeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Int as i32),
        i: Some(value),
        ..AttributeProto::default()
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
}
