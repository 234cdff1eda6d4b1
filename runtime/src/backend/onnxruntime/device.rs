use std::{fmt, str::FromStr};

use super::Provider;
use crate::backend::BackendError;

/// Arithmetic that a provider may use for a model of single-precision weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// The precision of the model.
    #[default]
    OfModel,
    /// Products of numbers rounded to 10 bits of fraction (TF32), sums in single precision; on NVIDIA GPUs.
    Tf32,
    /// Half precision wherever TensorRT finds it faster.
    Float16,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "model" => Ok(Self::OfModel),
            "tf32" => Ok(Self::Tf32),
            "float16" => Ok(Self::Float16),
            _ => Err(format!("'{text}' is not a precision; use model, tf32 or float16")),
        }
    }
}

/// The device that runs a model: the processor, or a GPU with its allowed precision and memory.
///
/// ```
/// use mithridate_runtime::backend::{Device, Precision, Provider};
///
/// let device = Device { precision: Precision::Tf32, ..Device::from(Provider::Cuda(0)) };
/// assert_eq!(device.to_string(), "cuda:0");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The execution provider.
    pub provider: Provider,
    /// The arithmetic that the provider may use.
    pub precision: Precision,
    /// Largest number of bytes of GPU memory that ONNX Runtime may take for a session; `None` for no limit.
    pub memory: Option<usize>,
}

impl From<Provider> for Device {
    fn from(provider: Provider) -> Self {
        Self { provider, ..Self::default() }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.provider.fmt(f)
    }
}

impl Device {
    /// Checks that the provider is built into ONNX Runtime and supports the precision and memory limit.
    ///
    /// # Errors
    /// [`BackendError::Provider`].
    pub fn check(self) -> Result<(), BackendError> {
        let refused = |problem: &str| {
            Err(BackendError::Provider { provider: self.provider.to_string(), problem: problem.into() })
        };
        match (self.provider, self.precision) {
            (Provider::Cpu, Precision::Tf32 | Precision::Float16) => {
                return refused(
                    "the processor always uses the precision of the model; leave out `precision`",
                );
            }
            (Provider::Cuda(_), Precision::Float16) => {
                return refused(
                    "float16 arithmetic needs tensorrt; leave out `precision`, or write a float16 model with \
                     `pacd export --precision float16`",
                );
            }
            (Provider::TensorRt(_), Precision::OfModel)
                if std::env::var_os("NVIDIA_TF32_OVERRIDE").as_deref() != Some("0".as_ref()) =>
            {
                return refused(
                    "TensorRT computes in TF32 by default; allow this with `precision` tf32, or set \
                     NVIDIA_TF32_OVERRIDE=0 in the environment",
                );
            }
            _ => {}
        }
        if self.provider == Provider::Cpu && self.memory.is_some() {
            return refused("`device_memory` limits the memory of a GPU; leave it out");
        }
        self.provider.check()
    }

    /// The name of the arithmetic of a run in evidence, for a model of precision `model`.
    pub fn precision_of(self, model: &'static str) -> &'static str {
        match self.precision {
            Precision::Tf32 if model == "float32" => "tf32",
            Precision::OfModel | Precision::Tf32 => model,
            Precision::Float16 => "float16",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_can_not_do_is_refused_with_what_to_do() {
        let of = |provider, precision, memory| {
            Device { provider, precision, memory }.check().unwrap_err().to_string()
        };
        for (error, expected) in [
            (of(Provider::Cpu, Precision::Tf32, None), "leave out `precision`"),
            (of(Provider::Cpu, Precision::OfModel, Some(1)), "`device_memory` limits the memory of a GPU"),
            (of(Provider::Cuda(0), Precision::Float16, None), "pacd export --precision float16"),
        ] {
            assert!(error.contains(expected), "{error}");
        }
        assert!(Device::default().check().is_ok());
    }

    #[test]
    fn reduced_precision_is_named() {
        let device = |precision| Device { precision, ..Device::from(Provider::Cuda(0)) };
        assert_eq!(device(Precision::OfModel).precision_of("float32"), "float32");
        assert_eq!(device(Precision::Tf32).precision_of("float32"), "tf32");
        assert_eq!(device(Precision::Tf32).precision_of("float16"), "float16");
        assert_eq!(device(Precision::Float16).precision_of("float32"), "float16");
        for (text, precision) in
            [("model", Precision::OfModel), ("tf32", Precision::Tf32), ("float16", Precision::Float16)]
        {
            assert_eq!(text.parse(), Ok(precision));
        }
        assert!("half".parse::<Precision>().is_err());
    }
}
