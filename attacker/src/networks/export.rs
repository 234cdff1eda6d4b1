use mithridate_onnx::{
    Conv2d, Dim, ElementType, GraphBuilder, ModelMetadata, OnnxError, Pool2d, messages::ModelProto,
};
use ndarray::ArrayD;
use tch::{Device, Kind, Tensor};

use super::{Layer, Network};

impl Network {
    /// The network as an ONNX model: input `image` N×C×H×W, output `logits` N×K.
    ///
    /// N is symbolic, or fixed at `batch`. `metadata` gains what the network knows of itself.
    ///
    /// # Errors
    /// [`OnnxError`] if a shape doesn't fit, which the layers rule out.
    pub fn to_onnx(
        &self,
        batch: Option<usize>,
        mut metadata: ModelMetadata,
    ) -> Result<ModelProto, OnnxError> {
        metadata.architecture = Some(self.architecture.name().into());
        metadata.input_shape = Some(self.input_shape.to_vec());
        metadata.layout = Some("NCHW".into());
        metadata.input_range = Some(vec![0.0, 1.0]);
        let mut graph = GraphBuilder::new(self.architecture.name());
        let mut shape = vec![batch.map_or_else(|| Dim::symbolic("batch"), |size| Dim::Fixed(size as i64))];
        shape.extend(self.input_shape.iter().map(|&size| Dim::Fixed(size as i64)));
        let mut value = graph.input("image", ElementType::Float, &shape)?;
        let mut rest = self.parameters.tensors();
        for (position, layer) in self.layers.iter().enumerate() {
            let (own, after) = rest.split_at(layer.parameter_shapes().len());
            rest = after;
            let constants: Vec<_> = own
                .iter()
                .zip(["weight", "bias"])
                .map(|(tensor, part)| {
                    graph.constant(&format!("layer_{position}.{part}"), &to_array(tensor).view())
                })
                .collect();
            value = match (layer, &constants[..]) {
                (&Layer::Conv2d { stride, padding, .. }, [weight, bias]) => {
                    graph.conv2d(&value, weight, Some(bias), Conv2d { stride, padding })?
                }
                (Layer::Linear { .. }, [weight, bias]) => graph.linear(&value, weight, Some(bias))?,
                (&Layer::MaxPool2d { kernel, stride }, _) => {
                    graph.max_pool2d(&value, Pool2d { kernel, stride })?
                }
                (Layer::Flatten, _) => graph.flatten(&value)?,
                (Layer::Relu, _) => graph.relu(&value),
                (Layer::Conv2d { .. } | Layer::Linear { .. }, _) => unreachable!("a weight and a bias"),
            };
        }
        graph.finish(&[("logits", &value)], &metadata)
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
