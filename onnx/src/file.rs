use std::{io::Write, path::Path};

use prost::Message;

use crate::{
    OnnxError,
    decoded_size::decoded_size,
    files::{self, write_atomically},
    memory,
    messages::ModelProto,
};

/// Largest size of a protobuf message, and so of a model file, in bytes.
const MAX_BYTES: u64 = 1 << 31;

/// Reads a model file.
///
/// # Errors
/// [`OnnxError::Read`] if the file can't be read, [`OnnxError::TooLarge`] if it has more than 2 GiB,
/// [`OnnxError::NotOnnx`] if it is not a complete model.
pub fn read(path: impl AsRef<Path>) -> Result<ModelProto, OnnxError> {
    parse(path.as_ref()).map(|(_, model)| model)
}

/// Reads a model file; returns its bytes and the decoded model.
pub(crate) fn parse(path: &Path) -> Result<(Vec<u8>, ModelProto), OnnxError> {
    let failed = |source| OnnxError::Read { path: path.to_owned(), source };
    let file = files::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_BYTES {
        return Err(OnnxError::TooLarge { path: path.to_owned(), bytes: size });
    }
    // The file may have grown since.
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

/// Decodes a model from memory.
///
/// # Errors
/// [`OnnxError::Malformed`] if the bytes are not a model, if the model has no graph or no operator set (as after
/// truncation between two fields), or if decoding would take memory out of proportion to the bytes.
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

/// Encodes a model as the content of a file.
pub fn to_bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Writes a model file atomically: it appears complete or not at all.
///
/// # Errors
/// [`OnnxError::Write`].
pub fn write(model: &ModelProto, path: impl AsRef<Path>) -> Result<(), OnnxError> {
    let path = path.as_ref();
    write_atomically(path, |file| file.write_all(&to_bytes(model)))
        .map_err(|source| OnnxError::Write { path: path.to_owned(), source })
}
