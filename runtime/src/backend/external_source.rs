use mithridate_onnx::{ExternalFile, ModelFile};
use serde::{Deserialize, Serialize};

use crate::data::sha256;

/// A file of weights beside a model, as evidence names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExternalSource {
    /// Its name in the model.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl ExternalSource {
    /// The files of weights of a model, hashed.
    pub fn of(model: &ModelFile) -> Vec<Self> {
        let hashed = |file: &ExternalFile| Self { file: file.location.clone(), sha256: sha256(&file.bytes) };
        model.external.iter().map(hashed).collect()
    }
}
