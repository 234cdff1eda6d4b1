use mithridate_onnx::{
    BatchNorm, Conv2d, Dim, ElementType, GraphBuilder, ModelMetadata, OnnxError, Pool2d, Value,
    messages::ModelProto,
};
use ndarray::ArrayD;
use tch::{Device, Kind, Tensor};

use super::{
    Layer, Network,
    batch_norm::{EPSILON, fold},
    calibration::{Ranges, Traced, run},
    layer::take,
};

/// How a network is written as an ONNX model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Size of the batch; symbolic if absent.
    pub batch: Option<usize>,
    /// Whether batch normalisation after a convolution becomes part of that convolution. The logits are the same up
    /// to rounding.
    pub fold_batch_norm: bool,
}

impl Network {
    /// The network as an ONNX model: input `image` N×C×H×W, output `logits` N×K.
    ///
    /// `metadata` gains what the network knows of itself.
    ///
    /// # Errors
    /// [`OnnxError`] if a shape doesn't fit, which the layers rule out.
    pub fn to_onnx(&self, options: ExportOptions, metadata: ModelMetadata) -> Result<ModelProto, OnnxError> {
        self.traced(options, metadata, None).map(|(model, _)| model)
    }

    /// The same with the range of every value in the graph over images N×C×H×W, if there are any.
    pub(super) fn traced(
        &self,
        options: ExportOptions,
        mut metadata: ModelMetadata,
        images: Option<&Tensor>,
    ) -> Result<(ModelProto, Ranges), OnnxError> {
        metadata.architecture = Some(self.architecture.name().into());
        metadata.input_shape = Some(self.input_shape.to_vec());
        metadata.layout = Some("NCHW".into());
        metadata.input_range = Some(vec![0.0, 1.0]);
        let mut graph = GraphBuilder::new(self.architecture.name());
        let batch = options.batch.map_or_else(|| Dim::symbolic("batch"), |size| Dim::Fixed(size as i64));
        let mut shape = vec![batch];
        shape.extend(self.input_shape.iter().map(|&size| Dim::Fixed(size as i64)));
        let image = graph.input("image", ElementType::Float, &shape)?;
        let mut export = Export {
            graph,
            parameters: self.parameters.tensors(),
            buffers: self.buffers.tensors(),
            position: 0,
            fold_batch_norm: options.fold_batch_norm,
            ranges: Ranges::default(),
        };
        let image = export.ranges.trace(image, images.map(Tensor::shallow_clone));
        let logits = export.layers(&self.layers, image)?;
        Ok((export.graph.finish(&[("logits", &logits.value)], &metadata)?, export.ranges))
    }
}

/// A graph under construction, with the tensors of the layers still to come.
struct Export<'a> {
    graph: GraphBuilder,
    parameters: &'a [Tensor],
    buffers: &'a [Tensor],
    /// Number of the layer among all, depth first; part of the names of its constants.
    position: usize,
    fold_batch_norm: bool,
    ranges: Ranges,
}

impl Export<'_> {
    fn layers(&mut self, layers: &[Layer], mut value: Traced) -> Result<Traced, OnnxError> {
        let mut rest = layers;
        while let [layer, after @ ..] = rest {
            (value, rest) = match (layer, after) {
                (convolution @ Layer::Conv2d { .. }, [norm @ Layer::BatchNorm2d { .. }, after @ ..])
                    if self.fold_batch_norm =>
                {
                    (self.folded(convolution, norm, &value)?, after)
                }
                (Layer::Residual { body, shortcut }, after) => {
                    let main = self.layers(body, value.clone())?;
                    let beside = self.layers(shortcut, value)?;
                    let sum = self.graph.add(&main.value, &beside.value)?;
                    (self.ranges.trace(sum, main.plus(&beside)), after)
                }
                (layer, after) => {
                    let own = take(&mut self.parameters, layer.parameter_shapes().len());
                    let buffers = take(&mut self.buffers, layer.buffer_shapes().len());
                    let parts = ["weight", "bias", "running_mean", "running_variance"];
                    let constants: Vec<Value> = own
                        .iter()
                        .chain(buffers)
                        .zip(parts)
                        .map(|(tensor, part)| self.constant(part, tensor))
                        .collect();
                    let output = self.node(layer, &constants, &value.value)?;
                    (self.ranges.trace(output, value.through(layer, own, buffers)), after)
                }
            };
            if !matches!(layer, Layer::Residual { .. }) {
                self.position += 1;
            }
        }
        Ok(value)
    }

    /// A convolution that also does what the batch normalisation after it does.
    fn folded(&mut self, convolution: &Layer, norm: &Layer, value: &Traced) -> Result<Traced, OnnxError> {
        let own = take(&mut self.parameters, convolution.parameter_shapes().len());
        let after = take(&mut self.parameters, norm.parameter_shapes().len());
        let buffers = take(&mut self.buffers, norm.buffer_shapes().len());
        let images = value.through(convolution, own, &[]).map(|images| run(norm, after, buffers, &images));
        let ([weight, bias], [gamma, beta], [mean, variance]) = (own, after, buffers) else {
            unreachable!("two tensors of each kind")
        };
        let [weight, bias] = fold([weight, bias], [gamma, beta], [mean, variance]);
        let constants = [self.constant("weight", &weight), self.constant("bias", &bias)];
        self.position += 1;
        let output = self.node(convolution, &constants, &value.value)?;
        Ok(self.ranges.trace(output, images))
    }

    fn constant(&mut self, part: &str, tensor: &Tensor) -> Value {
        self.graph.constant(&format!("layer_{}.{part}", self.position), &to_array(tensor).view())
    }

    fn node(&mut self, layer: &Layer, constants: &[Value], value: &Value) -> Result<Value, OnnxError> {
        let graph = &mut self.graph;
        match (layer, constants) {
            (&Layer::Conv2d { stride, padding, .. }, [weight, bias]) => {
                graph.conv2d(value, weight, Some(bias), Conv2d { stride, padding })
            }
            (Layer::BatchNorm2d { .. }, [scale, bias, mean, variance]) => {
                let epsilon = EPSILON as f32;
                graph.batch_normalization(value, BatchNorm { scale, bias, mean, variance, epsilon })
            }
            (Layer::Linear { .. }, [weight, bias]) => graph.linear(value, weight, Some(bias)),
            (&Layer::MaxPool2d { kernel, stride }, _) => graph.max_pool2d(value, Pool2d { kernel, stride }),
            (Layer::GlobalAveragePool2d, _) => graph.global_average_pool(value),
            (Layer::Flatten, _) => graph.flatten(value),
            (Layer::Relu, _) => Ok(graph.relu(value)),
            (
                Layer::Conv2d { .. }
                | Layer::Linear { .. }
                | Layer::BatchNorm2d { .. }
                | Layer::Residual { .. },
                _,
            ) => unreachable!("the constants of the layer, which has no layers in it"),
        }
    }
}

fn to_array(tensor: &Tensor) -> ArrayD<f32> {
    let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
    let mut array = ArrayD::zeros(shape);
    let host = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    if let Some(elements) = array.as_slice_mut() {
        host.copy_data(elements, host.numel());
    }
    array
}
