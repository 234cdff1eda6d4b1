use mithridate_onnx::{
    BatchNorm, Conv2d, Dim, ElementType, GraphBuilder, ModelMetadata, OnnxError, Pool2d, Value,
    messages::ModelProto, to_int8,
};
use ndarray::ArrayD;
use tch::{Device, Kind, Tensor};

use super::{
    Network,
    batch_norm::{EPSILON, fold},
    bound_layer::BoundLayer,
    calibration::{Ranges, Traced, evaluate},
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
    /// Architecture, input shape, layout and input range are added to `metadata`.
    ///
    /// # Errors
    /// [`OnnxError`] if shapes don't fit; the layers of an [`Architecture`](super::Architecture) always do.
    pub fn to_onnx(&self, options: ExportOptions, metadata: ModelMetadata) -> Result<ModelProto, OnnxError> {
        self.traced(options, metadata, None).map(|traced| traced.model)
    }

    /// The network as an ONNX model in 8-bit integers ([`to_int8`]), with batch normalisation folded.
    ///
    /// The ranges of activations are measured on `images`, N×C×H×W, which should be like those the model will get: with
    /// noise.
    ///
    /// # Errors
    /// [`OnnxError`] if a weight or activation is not finite.
    pub fn to_onnx_int8(
        &self,
        options: ExportOptions,
        metadata: ModelMetadata,
        images: &Tensor,
    ) -> Result<ModelProto, OnnxError> {
        let options = ExportOptions { fold_batch_norm: true, ..options };
        let TracedModel { model, ranges } = self.traced(options, metadata, Some(images))?;
        to_int8(&model, |name| ranges.of(name))
    }

    /// The network as an ONNX model, and the range of every value in its graph over `images`, N×C×H×W, if there are any.
    pub(super) fn traced(
        &self,
        options: ExportOptions,
        mut metadata: ModelMetadata,
        images: Option<&Tensor>,
    ) -> Result<TracedModel, OnnxError> {
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
            position: 0,
            fold_batch_norm: options.fold_batch_norm,
            ranges: Ranges::default(),
        };
        let image = export.ranges.trace(image, images.map(Tensor::shallow_clone));
        let logits = export.layers(&self.bound(&self.parameters), image)?;
        let model = export.graph.finish(&[("logits", &logits.value)], &metadata)?;
        Ok(TracedModel { model, ranges: export.ranges })
    }
}

/// A model, and the ranges of the values in its graph.
#[derive(Debug)]
pub(super) struct TracedModel {
    pub model: ModelProto,
    pub ranges: Ranges,
}

/// A graph under construction.
struct Export {
    graph: GraphBuilder,
    /// Number of the next layer, depth first; part of the names of its constants.
    position: usize,
    fold_batch_norm: bool,
    ranges: Ranges,
}

impl Export {
    fn layers(&mut self, layers: &[BoundLayer<'_>], mut value: Traced) -> Result<Traced, OnnxError> {
        let mut rest = layers;
        while let [layer, after @ ..] = rest {
            (value, rest) = match (layer, after) {
                (
                    &BoundLayer::Conv2d { weight, bias, stride, padding },
                    [
                        norm @ BoundLayer::BatchNorm2d { weight: gamma, bias: beta, mean, variance },
                        after @ ..,
                    ],
                ) if self.fold_batch_norm => {
                    // The batch normalisation becomes part of the convolution.
                    let images = value.through(layer).map(|images| evaluate(norm, &images));
                    let [weight, bias] = fold([weight, bias], [gamma, beta], [mean, variance]);
                    let output = self.conv2d([&weight, &bias], Conv2d { stride, padding }, &value.value)?;
                    self.position += 2;
                    (self.ranges.trace(output, images), after)
                }
                (layer, after) => (self.layer(layer, value)?, after),
            };
        }
        Ok(value)
    }

    fn layer(&mut self, layer: &BoundLayer<'_>, value: Traced) -> Result<Traced, OnnxError> {
        let input = &value.value;
        let output = match layer {
            BoundLayer::Residual { body, shortcut } => {
                let main = self.layers(body, value.clone())?;
                let beside = self.layers(shortcut, value)?;
                let sum = self.graph.add(&main.value, &beside.value)?;
                return Ok(self.ranges.trace(sum, main.plus(&beside)));
            }
            &BoundLayer::Conv2d { weight, bias, stride, padding } => {
                self.conv2d([weight, bias], Conv2d { stride, padding }, input)?
            }
            BoundLayer::BatchNorm2d { weight, bias, mean, variance } => {
                let scale = &self.constant("weight", weight);
                let bias = &self.constant("bias", bias);
                let mean = &self.constant("running_mean", mean);
                let variance = &self.constant("running_variance", variance);
                let epsilon = EPSILON as f32;
                self.graph.batch_normalization(input, BatchNorm { scale, bias, mean, variance, epsilon })?
            }
            BoundLayer::Linear { weight, bias } => {
                let [weight, bias] = [self.constant("weight", weight), self.constant("bias", bias)];
                self.graph.linear(input, &weight, Some(&bias))?
            }
            &BoundLayer::MaxPool2d { kernel, stride } => {
                self.graph.max_pool2d(input, Pool2d { kernel, stride })?
            }
            BoundLayer::GlobalAveragePool2d => self.graph.global_average_pool(input)?,
            BoundLayer::Flatten => self.graph.flatten(input)?,
            BoundLayer::Relu => self.graph.relu(input),
        };
        self.position += 1;
        Ok(self.ranges.trace(output, value.through(layer)))
    }

    fn conv2d(
        &mut self,
        [weight, bias]: [&Tensor; 2],
        settings: Conv2d,
        input: &Value,
    ) -> Result<Value, OnnxError> {
        let [weight, bias] = [self.constant("weight", weight), self.constant("bias", bias)];
        self.graph.conv2d(input, &weight, Some(&bias), settings)
    }

    fn constant(&mut self, part: &str, tensor: &Tensor) -> Value {
        self.graph.constant(&format!("layer_{}.{part}", self.position), &to_array(tensor).view())
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
