use std::{io::Write, path::Path};

use prost::Message;

use crate::{
    OnnxError,
    decoded_size::decoded_size,
    files::{self, write_atomically},
    memory,
    messages::ModelProto,
};

/// Most bytes in a protobuf message, and so in a model file.
const MAX_BYTES: u64 = 1 << 31;

/// Reads a model file.
///
/// # Errors
/// [`OnnxError::Read`] if the file can't be read, [`OnnxError::TooLarge`], [`OnnxError::NotOnnx`] if it holds no complete model.
pub fn read(path: impl AsRef<Path>) -> Result<ModelProto, OnnxError> {
    parse(path.as_ref()).map(|(_, model)| model)
}

/// Reads a model file; returns its bytes beside what they say.
pub(crate) fn parse(path: &Path) -> Result<(Vec<u8>, ModelProto), OnnxError> {
    let failed = |source| OnnxError::Read { path: path.to_owned(), source };
    let file = files::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_BYTES {
        return Err(OnnxError::TooLarge { path: path.to_owned(), bytes: size });
    }
    // A file may grow.
    let bytes = memory::read_at_most(file, MAX_BYTES as usize + 1).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(OnnxError::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64 });
    }
    if let Ok(decoded) = decoded_size(&bytes) {
        memory::check(decoded).map_err(failed)?;
    }
    let model = from_bytes(&bytes).map_err(|error| OnnxError::NotOnnx {
        path: path.to_owned(),
        reason: match error {
            OnnxError::Malformed(reason) => reason,
            other => other.to_string(),
        },
    })?;
    Ok((bytes, model))
}

/// Reads a model from memory.
///
/// # Errors
/// [`OnnxError::Malformed`] if the bytes are no model, or one without a graph or an operator set, as a file cut
/// short at a field border is; also if its parts would take memory out of all proportion to the bytes.
pub fn from_bytes(bytes: &[u8]) -> Result<ModelProto, OnnxError> {
    if bytes.is_empty() {
        return Err(OnnxError::Malformed("it is empty".into()));
    }
    decoded_size(bytes)?;
    let model = ModelProto::decode(bytes).map_err(|error| OnnxError::Malformed(error.to_string()))?;
    if model.graph.is_none() {
        return Err(OnnxError::Malformed("it holds no graph".into()));
    }
    if model.opset_import.is_empty() && model.functions.is_empty() {
        return Err(OnnxError::Malformed("it names no operator set".into()));
    }
    Ok(model)
}

/// A model as the bytes of a file.
pub fn to_bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Writes a model file; the file appears whole or not at all.
///
/// # Errors
/// [`OnnxError::Write`].
pub fn write(model: &ModelProto, path: impl AsRef<Path>) -> Result<(), OnnxError> {
    let path = path.as_ref();
    write_atomically(path, |file| file.write_all(&to_bytes(model)))
        .map_err(|source| OnnxError::Write { path: path.to_owned(), source })
}
