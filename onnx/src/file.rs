use std::{fs, io::Write, path::Path};

use prost::Message;

use crate::{OnnxError, files::write_atomically, messages::ModelProto};

/// Reads a model file.
///
/// # Errors
/// [`OnnxError::Read`] if the file can't be read, [`OnnxError::NotOnnx`] if it holds no complete model.
pub fn read(path: impl AsRef<Path>) -> Result<ModelProto, OnnxError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|source| OnnxError::Read { path: path.to_owned(), source })?;
    from_bytes(&bytes).map_err(|error| OnnxError::NotOnnx {
        path: path.to_owned(),
        reason: match error {
            OnnxError::Malformed(reason) => reason,
            other => other.to_string(),
        },
    })
}

/// Reads a model from memory.
///
/// # Errors
/// [`OnnxError::Malformed`] if the bytes are no model, or one without a graph or an operator set, as a file cut
/// short at a field border is.
pub fn from_bytes(bytes: &[u8]) -> Result<ModelProto, OnnxError> {
    if bytes.is_empty() {
        return Err(OnnxError::Malformed("it is empty".into()));
    }
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
