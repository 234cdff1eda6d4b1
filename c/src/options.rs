use std::{ffi::c_char, path::PathBuf, ptr};

use mithridate_runtime::{
    backend::{OnnxModel, Provider},
    certify::{Settings, SettingsError, StoppingRule},
    noise::seed_from_os,
    units::{Alpha, Sigma},
};

use crate::{
    border::text,
    error::{Failure, Status},
};

/// The model to load and the settings of its certificates. Start from `mithridate_default_options()`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Path of the classifier, an ONNX file. UTF-8.
    pub model: *const c_char,
    /// Path of `libonnxruntime.so`, version 1.24 or newer. If null, the library is searched in the environment variable
    /// `ORT_DYLIB_PATH`, beside the program, and in the system. A process can load only one. ONNX Runtime reports its
    /// use to its maker unless the environment variable `ORT_DISABLE_TELEMETRY` is set when it is loaded. In a process
    /// with several threads, set the variable yourself before they start.
    pub onnxruntime: *const c_char,
    /// Execution provider of ONNX Runtime: `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`; null for `cpu`. If the
    /// provider is not available, loading fails; no other provider is used instead.
    pub provider: *const c_char,
    /// Standard deviation of the noise in the units of the frames; 0 for the training sigma in the model's metadata.
    pub sigma: f64,
    /// Largest probability with which a certificate may be wrong.
    pub alpha: f64,
    /// Number of selection samples of a frame. Multiples of `batch` waste no time.
    pub n0: u64,
    /// Largest number of estimation samples of a frame.
    pub max_samples: u64,
    /// Radius in the units of the frames at which sampling stops before the time limit: as soon as it is certified, or
    /// when `max_samples` samples would hardly certify it. 0 to use the whole time.
    pub enough_radius: f64,
    /// Seed of the noise; 0 for a seed from the operating system.
    pub seed: u64,
    /// Number of threads of the engine. With 1, everything runs on the calling thread.
    pub threads: u32,
    /// Number of samples in a batch. A time limit is exceeded by at most about the time of one batch. With 1, the
    /// model's answer to a sample can't depend on other samples.
    pub batch: u32,
}

/// Default options for the model file `model`: alpha 0.001, n0 64, `max_samples` 100000, a seed from the operating
/// system, one thread of the processor, batches of 64, sigma from the model's metadata.
#[unsafe(no_mangle)]
pub extern "C" fn mithridate_default_options(model: *const c_char) -> Options {
    Options {
        model,
        onnxruntime: ptr::null(),
        provider: ptr::null(),
        sigma: 0.0,
        alpha: Alpha::USUAL.get(),
        n0: 64,
        max_samples: 100_000,
        enough_radius: 0.0,
        seed: 0,
        threads: 1,
        batch: 64,
    }
}

impl Options {
    /// Path of the model, path of ONNX Runtime if given, and provider.
    ///
    /// # Safety
    /// Each string is null or ends with a zero byte.
    pub(crate) unsafe fn names(&self) -> Result<(PathBuf, Option<PathBuf>, Provider), Failure> {
        // SAFETY: promised by the caller.
        let (model, library, provider) = unsafe {
            (
                text(self.model, "options.model")?,
                text(self.onnxruntime, "options.onnxruntime")?,
                text(self.provider, "options.provider")?,
            )
        };
        let model = model.ok_or_else(|| Failure::argument("options.model is null; name an ONNX file"))?;
        let provider = provider.map_or(Ok(Provider::Cpu), |name| {
            name.parse().map_err(|problem| Failure::argument(format!("options.provider: {problem}")))
        })?;
        Ok((model.into(), library.map(PathBuf::from), provider))
    }

    pub(crate) fn settings(&self, model: &OnnxModel) -> Result<Settings, Failure> {
        let sigma = match (self.sigma, model.metadata.training_sigma) {
            (0.0, Some(trained)) => trained,
            (0.0, None) => {
                return Err(SettingsError::UnknownSigma { model: model.path.clone() }.into());
            }
            (sigma, _) => sigma,
        };
        let seed = match self.seed {
            0 => seed_from_os().map_err(|error| {
                Failure::new(Status::InternalError, format!("no seed from the operating system: {error}"))
            })?,
            seed => seed,
        };
        let stop = match self.enough_radius {
            0.0 => StoppingRule::Fixed,
            radius if radius > 0.0 && radius.is_finite() => StoppingRule::Radius(vec![radius]),
            radius => {
                return Err(Failure::argument(format!(
                    "options.enough_radius is {radius}; give a radius, or 0 for none"
                )));
            }
        };
        let settings = Settings::new(Sigma::new(sigma)?, seed);
        Ok(Settings { alpha: Alpha::new(self.alpha)?, n0: self.n0, n: self.max_samples, stop, ..settings })
    }
}
