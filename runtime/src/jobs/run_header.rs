use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::ModelSettings;
use crate::{
    backend::{Batching, OnnxModel, OnnxRuntime},
    certify::Plan,
    evidence::{Execution, ModelSource, ModelUse},
    units::Sigma,
};

/// Name and version of this program in headers.
pub(super) const TOOL: &str = concat!("rscert ", env!("CARGO_PKG_VERSION"));

/// The model as evidence records it.
pub(super) fn model_source(model: &OnnxModel, sigma: Sigma) -> ModelSource {
    ModelSource {
        file: file_name(&model.path),
        sha256: model.sha256.clone(),
        classes: model.classes(),
        external: model.external.clone(),
        r#use: ModelUse {
            preprocessing: model.preprocessing.clone(),
            sigma_in_model: ModelUse::sigma_in_model(&model.preprocessing, model.image_shape()[0], sigma),
            output: (model.is_output_named || model.summary.outputs.len() > 1)
                .then(|| model.output().to_owned()),
            class_labels: model.class_labels.clone(),
            batch_rewritten_from: match model.batching {
                Batching::Rewritten { from } => Some(from),
                _ => None,
            },
        },
    }
}

/// Engine, provider and precision as evidence records them. The plan is filled in when it is known.
pub(super) fn execution(settings: &ModelSettings, runtime: &OnnxRuntime, model: &OnnxModel) -> Execution {
    Execution {
        engine: engine(runtime),
        provider: settings.device.provider.to_string(),
        precision: settings.device.precision_of(model.precision()).into(),
        plan: Plan { sessions: 0, threads: 0, batch: 0, noise_threads: 0 },
    }
}

pub(super) fn engine(runtime: &OnnxRuntime) -> String {
    format!("ONNX Runtime {}", runtime.version())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The name of a file without its folder.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
