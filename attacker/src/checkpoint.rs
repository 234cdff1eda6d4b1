//! Checkpoints: the exact state of a run in one file, its tensors and its position (counters, as JSON).

use std::{collections::HashMap, fs, io::Write, path::Path, time::Duration, time::Instant};

use mithridate_onnx::files::write_atomically;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Serialize, de::DeserializeOwned};
use tch::{Device, Kind, Tensor};

use crate::Error;

/// Key of the position in the metadata of the file.
const POSITION: &str = "mithridate.position";

/// A tensor as bytes.
#[derive(Clone, Debug)]
pub(crate) struct StoredTensor {
    /// Type of the elements.
    dtype: Dtype,
    shape: Vec<usize>,
    /// Elements, little endian.
    bytes: Vec<u8>,
}

impl StoredTensor {
    /// The tensor in the form that a safetensors file takes.
    pub fn view(&self) -> Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}

/// A checkpoint read from a file.
#[derive(Debug)]
pub struct Checkpoint<T> {
    /// The position of the run.
    pub position: T,
    /// Its tensors, in the order in which they were written.
    pub tensors: Vec<Tensor>,
}

/// Copies a tensor to bytes.
///
/// # Errors
/// A sentence if tensors of its kind can't be stored.
pub(crate) fn to_bytes(tensor: &Tensor) -> Result<StoredTensor, String> {
    let host = tensor.detach().to_device(Device::Cpu).contiguous();
    let shape = host.size().iter().map(|&size| size as usize).collect();
    let count = host.numel();
    let (dtype, bytes) = match host.kind() {
        Kind::Float => {
            let mut values = vec![0_f32; count];
            host.copy_data(&mut values, count);
            (Dtype::F32, values.into_iter().flat_map(f32::to_le_bytes).collect())
        }
        Kind::Double => {
            let mut values = vec![0_f64; count];
            host.copy_data(&mut values, count);
            (Dtype::F64, values.into_iter().flat_map(f64::to_le_bytes).collect())
        }
        Kind::Int64 => {
            let mut values = vec![0_i64; count];
            host.copy_data(&mut values, count);
            (Dtype::I64, values.into_iter().flat_map(i64::to_le_bytes).collect())
        }
        kind => return Err(format!("tensors of kind {kind:?} are not stored")),
    };
    Ok(StoredTensor { dtype, shape, bytes })
}

/// Makes a tensor from its bytes.
///
/// # Errors
/// A sentence if the elements have a type that [`to_bytes`] does not write.
pub(crate) fn from_bytes(view: &TensorView<'_>) -> Result<Tensor, String> {
    let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    let bytes = view.data();
    let flat = match view.dtype() {
        Dtype::F32 => Tensor::from_slice(
            &bytes
                .chunks_exact(4)
                .filter_map(|four| Some(f32::from_le_bytes(four.try_into().ok()?)))
                .collect::<Vec<_>>(),
        ),
        Dtype::F64 => Tensor::from_slice(
            &bytes
                .chunks_exact(8)
                .filter_map(|eight| Some(f64::from_le_bytes(eight.try_into().ok()?)))
                .collect::<Vec<_>>(),
        ),
        Dtype::I64 => Tensor::from_slice(
            &bytes
                .chunks_exact(8)
                .filter_map(|eight| Some(i64::from_le_bytes(eight.try_into().ok()?)))
                .collect::<Vec<_>>(),
        ),
        other => return Err(format!("it holds elements of type {other:?}, not F32, F64 or I64")),
    };
    Ok(flat.view(&shape[..]))
}

/// Writes a checkpoint. An older one at the same path is replaced only when the new one is complete.
///
/// # Errors
/// [`Error::Write`].
pub fn write<T: Serialize>(path: &Path, position: &T, tensors: &[&Tensor]) -> Result<(), Error> {
    let stored = tensors
        .iter()
        .map(|tensor| to_bytes(tensor))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Error::write(path))?;
    let views = stored
        .iter()
        .enumerate()
        .map(|(number, stored)| Ok((format!("{number:05}"), stored.view()?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(Error::write(path))?;
    let text = serde_json::to_string(position).map_err(Error::write(path))?;
    let bytes = safetensors::serialize(views, Some(HashMap::from([(POSITION.to_owned(), text)])))
        .map_err(Error::write(path))?;
    write_atomically(path, |file| file.write_all(&bytes)).map_err(Error::write(path))
}

/// Reads a checkpoint, and copies its tensors to a device.
///
/// # Errors
/// [`Error::Read`] if the file is not a checkpoint, is incomplete, or its position is not a `T`.
pub fn read<T: DeserializeOwned>(path: &Path, device: Device) -> Result<Checkpoint<T>, Error> {
    let bytes = fs::read(path).map_err(Error::read(path))?;
    let (position, file) = open(path, &bytes)?;
    let mut views = file.tensors();
    views.sort_by(|a, b| a.0.cmp(&b.0));
    let tensors = views
        .iter()
        .map(|(_, view)| from_bytes(view).map(|tensor| tensor.to_device(device)))
        .collect::<Result<_, _>>()
        .map_err(|problem: String| broken(path, &problem))?;
    Ok(Checkpoint { position, tensors })
}

/// Reads only the position of a checkpoint.
///
/// # Errors
/// As [`read`].
pub fn read_position<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = fs::read(path).map_err(Error::read(path))?;
    open(path, &bytes).map(|(position, _)| position)
}

fn open<'a, T: DeserializeOwned>(path: &Path, bytes: &'a [u8]) -> Result<(T, SafeTensors<'a>), Error> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| broken(path, &error))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(POSITION));
    let text = text.ok_or_else(|| broken(path, &"its metadata has no position of the run"))?;
    let position = serde_json::from_str(text).map_err(|error| broken(path, &error))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| broken(path, &error))?;
    Ok((position, file))
}

/// The error for a file that is not a complete checkpoint.
pub(crate) fn broken(path: &Path, problem: &impl ToString) -> Error {
    let problem = problem.to_string();
    Error::read(path)(format!("it is not a complete checkpoint ({problem}); remove it to start again"))
}

/// Tells when the next checkpoint is due.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointTimer {
    every: Duration,
    last: Instant,
}

impl CheckpointTimer {
    /// A checkpoint is due every `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, last: Instant::now() }
    }

    /// Whether a checkpoint is due; if so, the next one is due after the same time again.
    pub fn is_due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.every;
        if due {
            self.last = Instant::now();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_to_the_bit_and_a_broken_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let tensors = [
            Tensor::from_slice(&[1.0_f32 / 3.0, f32::MIN_POSITIVE, -0.0]),
            Tensor::from_slice(&[1.0_f64 / 3.0; 4]).view([2, 2]),
            Tensor::from_slice(&[2.5_f32]).view([]),
        ];
        write(&path, &(7_u64, "here"), &tensors.each_ref()).unwrap();
        let read_back: Checkpoint<(u64, String)> = read(&path, Device::Cpu).unwrap();
        assert_eq!((read_back.position, &read_back.tensors[..]), ((7, "here".to_owned()), &tensors[..]));
        let bytes = fs::read(&path).unwrap();
        for cut in [0, 5, 40, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            let error = read::<(u64, String)>(&path, Device::Cpu).unwrap_err().to_string();
            assert!(error.contains("not a complete checkpoint"), "{error}");
        }
    }
}
