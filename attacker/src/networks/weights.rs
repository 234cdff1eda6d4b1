use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::Path,
};

use mithridate_onnx::{
    ModelMetadata,
    files::{self, write_atomically},
    messages::{ModelProto, StringStringEntryProto},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Device, Kind, Tensor};

use super::{Architecture, Layer, Network};
use crate::{Error, parameters::Parameters};

/// Key of the number of classes in the metadata of the file.
const CLASSES: &str = "mithridate.classes";
/// First parts of the names of tensors.
const PARAMETER: &str = "parameter";
const BUFFER: &str = "buffer";

/// Writes the parameters and running statistics of a network, with `metadata`, as a safetensors file.
///
/// # Errors
/// [`Error::Write`].
pub fn write_weights(network: &Network, metadata: &ModelMetadata, path: &Path) -> Result<(), Error> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> =
        [(PARAMETER, network.parameters()), (BUFFER, network.buffers())]
            .into_iter()
            .flat_map(|(kind, parameters)| {
                parameters.tensors().iter().enumerate().map(move |(position, tensor)| {
                    let host = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
                    let mut elements = vec![0_f32; host.numel()];
                    host.copy_data(&mut elements, host.numel());
                    let bytes = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
                    let shape = host.size().iter().map(|&size| size as usize).collect();
                    (name(kind, position), shape, bytes)
                })
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
    let bytes = with_sorted_header(bytes).map_err(Error::write(path))?;
    write_atomically(path, |file| file.write_all(&bytes)).map_err(Error::write(path))
}

/// The same safetensors file with the keys of its header sorted. The library keeps metadata in a hash map, whose order
/// changes; the same network must give the same file.
fn with_sorted_header(bytes: Vec<u8>) -> Result<Vec<u8>, serde_json::Error> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Ok(bytes) };
    let length = u64::from_le_bytes(*length) as usize;
    let (header, data) = rest.split_at(length);
    let sorted: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_slice(header)?;
    let mut text = serde_json::to_string(&sorted)?;
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    let length = (text.len() as u64).to_le_bytes();
    Ok([&length, text.as_bytes(), data].concat())
}

/// A network read from a file.
#[derive(Debug)]
pub struct StoredNetwork {
    /// The network.
    pub network: Network,
    /// The metadata that it was written with.
    pub metadata: ModelMetadata,
}

/// Reads a network and its metadata.
///
/// # Errors
/// [`Error::Read`] if it is not a safetensors file of this program, or its tensors don't fit the architecture it names.
pub fn read_weights(path: &Path, device: Device) -> Result<StoredNetwork, Error> {
    let bytes = files::read(path).map_err(Error::read(path))?;
    let bad = |problem: String| Error::Read { path: path.to_owned(), problem };
    let not_safetensors = |error| bad(format!("it is not a complete safetensors file ({error})"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(not_safetensors)?;
    let file = SafeTensors::deserialize(&bytes).map_err(not_safetensors)?;
    let entries = header.metadata().clone().unwrap_or_default();
    let missing = |what: &str| bad(format!("its metadata has no {what}; it was not written by pacd"));
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
    let shapes = |of: fn(&Layer) -> Vec<Vec<i64>>| layers.iter().flat_map(of).collect::<Vec<_>>();
    let (parameter_shapes, buffer_shapes) = (shapes(Layer::parameter_shapes), shapes(Layer::buffer_shapes));
    let expected = parameter_shapes.len() + buffer_shapes.len();
    if file.len() > expected {
        return Err(bad(format!("it holds {} tensors and {architecture} has {expected}", file.len())));
    }
    let read = |kind, shapes: &[Vec<i64>]| {
        let tensors = shapes.iter().enumerate().map(|(position, shape)| {
            tensor(&file, &name(kind, position), shape).map(|tensor| tensor.to_device(device))
        });
        tensors.collect::<Result<_, _>>().map(Parameters::new).map_err(bad)
    };
    let parameters = read(PARAMETER, &parameter_shapes)?;
    let buffers = read(BUFFER, &buffer_shapes)?;
    for (position, variance) in buffers.tensors().iter().enumerate().skip(1).step_by(2) {
        let smallest = variance.min().double_value(&[]);
        if smallest.is_nan() || smallest < 0.0 {
            let problem = format!("{} holds a running variance below 0 or NaN", name(BUFFER, position));
            return Err(bad(problem));
        }
    }
    let network = Network::from_parts(architecture, input_shape, classes, layers, parameters, buffers);
    Ok(StoredNetwork { network, metadata })
}

/// A name with leading zeros, so that tensors sorted by name are in order.
fn name(kind: &str, position: usize) -> String {
    format!("{kind}_{position:03}")
}

/// One tensor of a file.
fn tensor(file: &SafeTensors<'_>, name: &str, shape: &[i64]) -> Result<Tensor, String> {
    let view = file.tensor(name).map_err(|_| format!("it holds no tensor {name}"))?;
    let found: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    if view.dtype() != Dtype::F32 || found != shape {
        return Err(format!("{name} is {:?} {found:?} and not F32 {shape:?}", view.dtype()));
    }
    Ok(Tensor::from_data_size(view.data(), shape, Kind::Float))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::random::{Domain, Purpose, Random};

    fn images() -> Tensor {
        Random::new(Domain::Data, 6).normal(Purpose::TrainingNoise, 0, &[3, 1, 6, 5], Device::Cpu)
    }

    fn network(architecture: Architecture) -> Network {
        Network::new(architecture, [1, 6, 5], 4, Random::new(Domain::Data, 5), Device::Cpu).unwrap()
    }

    #[test]
    fn a_network_comes_back_with_the_same_logits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        for architecture in [Architecture::Mlp, Architecture::ResNet20] {
            let network = network(architecture);
            let fresh = network.forward(&images());
            let _ = network.forward_training(&images());
            assert_eq!(architecture.has_batch_norm(), network.forward(&images()) != fresh);
            let metadata = ModelMetadata { training_sigma: Some(0.25), ..ModelMetadata::default() };
            write_weights(&network, &metadata, &path).unwrap();
            let StoredNetwork { network: again, metadata: read } = read_weights(&path, Device::Cpu).unwrap();
            assert_eq!(network.forward(&images()), again.forward(&images()));
            assert_eq!(read.training_sigma, Some(0.25));
            let first = fs::read(&path).unwrap();
            for _ in 0..5 {
                write_weights(&again, &read, &path).unwrap();
                assert!(fs::read(&path).unwrap() == first, "the same network is the same file");
            }
        }
    }

    #[test]
    fn files_that_hold_something_else_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let refused = || {
            let error = read_weights(&path, Device::Cpu).unwrap_err().to_string();
            let start = format!("cannot read {}: ", path.display());
            error.strip_prefix(&start).map(str::to_owned).unwrap()
        };
        fs::write(&path, b"not a network").unwrap();
        assert!(refused().contains("not a complete safetensors"));

        let write = |change: fn(&mut Network)| {
            let mut network = network(Architecture::ResNet20);
            change(&mut network);
            write_weights(&network, &ModelMetadata::default(), &path).unwrap();
        };
        write(|network| network.buffers = Parameters::new(Vec::new()));
        assert_eq!(refused(), "it holds no tensor buffer_000");
        write(|network| network.buffers.tensors_mut()[0] = Tensor::zeros([3], (Kind::Float, Device::Cpu)));
        assert_eq!(refused(), "buffer_000 is F32 [3] and not F32 [16]");
        write(|network| network.architecture = Architecture::ResNet32);
        assert_eq!(refused(), "parameter_028 is F32 [32, 16, 3, 3] and not F32 [16, 16, 3, 3]");
        write(|network| network.architecture = Architecture::Linear);
        assert_eq!(refused(), "it holds 120 tensors and linear has 2");
        for value in [-0.5, f64::NAN] {
            let mut network = network(Architecture::ResNet20);
            let _ = network.buffers_mut().tensors_mut()[3].fill_(value);
            write_weights(&network, &ModelMetadata::default(), &path).unwrap();
            assert_eq!(refused(), "buffer_003 holds a running variance below 0 or NaN");
        }
    }
}
