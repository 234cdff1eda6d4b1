use std::{collections::HashMap, fs, io::Write, path::Path};

use mithridate_onnx::{
    ModelMetadata,
    files::write_atomically,
    messages::{ModelProto, StringStringEntryProto},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Device, Kind, Tensor};

use super::{Architecture, Network};
use crate::{Error, parameters::Parameters};

const CLASSES: &str = "mithridate.classes";

/// Writes a network's parameters with what is known of it, in safetensors format.
///
/// # Errors
/// [`Error::Write`].
pub fn write_weights(network: &Network, metadata: &ModelMetadata, path: &Path) -> Result<(), Error> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = network
        .parameters()
        .tensors()
        .iter()
        .enumerate()
        .map(|(position, tensor)| {
            let host = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
            let mut elements = vec![0_f32; host.numel()];
            host.copy_data(&mut elements, host.numel());
            let bytes = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
            // Numbered with leading zeros, so that their order by name is their order.
            let shape = host.size().iter().map(|&size| size as usize).collect();
            (format!("parameter_{position:03}"), shape, bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(Error::write(path))?;
    let metadata = ModelMetadata {
        architecture: Some(network.architecture().name().into()),
        input_shape: Some(network.input_shape().to_vec()),
        ..metadata.clone()
    };
    let mut entries: HashMap<String, String> =
        metadata.entries().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    entries.insert(CLASSES.into(), network.classes().to_string());
    let bytes = safetensors::serialize(views, Some(entries)).map_err(Error::write(path))?;
    write_atomically(path, |file| file.write_all(&bytes)).map_err(Error::write(path))
}

/// Reads a network back, with what was known of it.
///
/// # Errors
/// [`Error::Read`] if the file is no such file, or its tensors don't fit the architecture it names.
pub fn read_weights(path: &Path, device: Device) -> Result<(Network, ModelMetadata), Error> {
    let bytes = fs::read(path).map_err(Error::read(path))?;
    let bad = |problem: String| Error::Read { path: path.to_owned(), problem };
    let not_safetensors = |error| bad(format!("it is not a whole safetensors file ({error})"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(not_safetensors)?;
    let file = SafeTensors::deserialize(&bytes).map_err(not_safetensors)?;
    let entries = header.metadata().clone().unwrap_or_default();
    let missing =
        |what: &str| bad(format!("its metadata doesn't tell the {what}; it was not written by pacd"));
    let classes =
        entries.get(CLASSES).and_then(|text| text.parse().ok()).ok_or_else(|| missing("classes"))?;
    let model = ModelProto {
        metadata_props: entries
            .into_iter()
            .map(|(key, value)| StringStringEntryProto { key: Some(key), value: Some(value) })
            .collect(),
        ..ModelProto::default()
    };
    let metadata = ModelMetadata::of(&model)?;
    let architecture: Architecture =
        metadata.architecture.as_deref().ok_or_else(|| missing("architecture"))?.parse().map_err(bad)?;
    let input_shape: [usize; 3] = metadata
        .input_shape
        .clone()
        .and_then(|shape| shape.try_into().ok())
        .ok_or_else(|| missing("input shape"))?;
    let layers = architecture.layers(input_shape, classes)?;
    let shapes: Vec<Vec<i64>> = layers.iter().flat_map(super::Layer::parameter_shapes).collect();
    let mut tensors = Vec::with_capacity(shapes.len());
    for (position, shape) in shapes.iter().enumerate() {
        let name = format!("parameter_{position:03}");
        let view = file.tensor(&name).map_err(|_| bad(format!("it holds no tensor {name}")))?;
        let found: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        if view.dtype() != Dtype::F32 || found != *shape {
            let problem = format!("{name} is {:?} {found:?} and not F32 {shape:?}", view.dtype());
            return Err(bad(problem));
        }
        tensors.push(Tensor::from_data_size(view.data(), shape, Kind::Float).to_device(device));
    }
    let parameters = Parameters::new(tensors);
    Ok((Network::from_parts(architecture, input_shape, classes, layers, parameters), metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_network_comes_back_with_the_same_logits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let random = Random::new(5);
        let network = Network::new(Architecture::Mlp, [1, 6, 5], 4, random, Device::Cpu).unwrap();
        let metadata = ModelMetadata { training_sigma: Some(0.25), ..ModelMetadata::default() };
        write_weights(&network, &metadata, &path).unwrap();
        let (again, read) = read_weights(&path, Device::Cpu).unwrap();
        let images = random.normal(crate::random::Purpose::TrainingNoise, 0, &[3, 1, 6, 5], Device::Cpu);
        assert_eq!(network.forward(&images), again.forward(&images));
        assert_eq!(read.training_sigma, Some(0.25));
        fs::write(&path, b"not a network").unwrap();
        assert!(
            read_weights(&path, Device::Cpu).unwrap_err().to_string().contains("not a whole safetensors")
        );
    }
}
