use std::collections::HashMap;

use mithridate_onnx::Value;
use tch::{Tensor, no_grad};

use super::{Statistics, bound_layer::BoundLayer};

/// Smallest and largest element of each value of the graph, by name.
#[derive(Debug, Default)]
pub(super) struct Ranges(HashMap<String, [f32; 2]>);

impl Ranges {
    /// The smallest and the largest element of the value `name`, if it was recorded.
    pub fn of(&self, name: &str) -> Option<[f32; 2]> {
        self.0.get(name).copied()
    }

    /// Pairs a value with its tensor for the calibration images, and records the range of that tensor.
    pub fn trace(&mut self, value: Value, images: Option<Tensor>) -> Traced {
        if let Some(images) = &images {
            let number = |tensor: Tensor| f64::try_from(tensor).map_or(f32::NAN, |number| number as f32);
            self.0.insert(value.name().to_owned(), [number(images.min()), number(images.max())]);
        }
        Traced { value, images }
    }
}

/// A value of the graph, and its tensor for the calibration images if there are any.
#[derive(Debug)]
pub(super) struct Traced {
    pub value: Value,
    images: Option<Tensor>,
}

impl Clone for Traced {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), images: self.images.as_ref().map(Tensor::shallow_clone) }
    }
}

impl Traced {
    /// Output of a layer for the calibration images.
    pub fn through(&self, layer: &BoundLayer<'_>) -> Option<Tensor> {
        self.images.as_ref().map(|images| evaluate(layer, images))
    }

    /// Sum of the tensors of two values.
    pub fn plus(&self, other: &Self) -> Option<Tensor> {
        self.images.as_ref().zip(other.images.as_ref()).map(|(left, right)| left + right)
    }
}

/// Output of a layer in evaluation, without graph.
pub(super) fn evaluate(layer: &BoundLayer<'_>, images: &Tensor) -> Tensor {
    no_grad(|| layer.forward(images, Statistics::Running))
}

#[cfg(test)]
mod tests {
    use mithridate_onnx::ModelMetadata;
    use tch::Device;

    use super::*;
    use crate::{
        networks::{Architecture, ExportOptions, Network, export::TracedModel},
        random::{Domain, Purpose, Random},
    };

    #[test]
    fn the_ranges_are_those_of_the_values_in_the_graph() {
        let random = Random::new(Domain::Data, 5);
        let images = random.normal(Purpose::TrainingNoise, 0, &[4, 1, 28, 28], Device::Cpu);
        for architecture in [Architecture::LeNet, Architecture::ResNet20] {
            let network = Network::new(architecture, [1, 28, 28], 10, random, Device::Cpu).unwrap();
            // Running statistics other than those of a fresh network.
            let _ = network.forward_training(&images);
            let number = |tensor: Tensor| f64::try_from(tensor).unwrap() as f32;
            let logits = network.forward(&images);
            let [low, high] = [number(logits.min()), number(logits.max())];
            for fold_batch_norm in [false, true] {
                let options = ExportOptions { batch: None, fold_batch_norm };
                let TracedModel { model, ranges: Ranges(ranges) } =
                    network.traced(options, ModelMetadata::default(), Some(&images)).unwrap();
                let nodes = model.graph.unwrap().node;
                // The last value is called logits in the file.
                let (last, others) = nodes.split_last().unwrap();
                assert_eq!(ranges.len(), nodes.len() + 1);
                assert!(others.iter().all(|node| ranges.contains_key(&node.output[0])));
                assert_eq!(ranges["image"], [number(images.min()), number(images.max())]);
                let [a, b] = ranges[last.name.as_ref().unwrap()];
                assert!((a - low).abs() < 1e-5 && (b - high).abs() < 1e-5, "{architecture}: {a} to {b}");
                for node in others.iter().filter(|node| node.op_type.as_deref() == Some("Relu")) {
                    assert!(ranges[&node.output[0]][0] >= 0.0, "{architecture}: after a ReLU");
                }
            }
        }
    }
}
