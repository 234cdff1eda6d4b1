use std::{fmt, str::FromStr};

use ort::ep::{CUDA, ExecutionProvider};

use crate::backend::BackendError;

/// What ONNX Runtime runs a model on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by its number.
    Cuda(i32),
}

impl Provider {
    /// Fails if this ONNX Runtime was built without the provider; whether its device works is seen when a session
    /// is made.
    pub(super) fn check(self) -> Result<(), BackendError> {
        match self {
            Self::Cpu => Ok(()),
            Self::Cuda(_) if <CUDA as ExecutionProvider>::is_available().unwrap_or(false) => Ok(()),
            Self::Cuda(_) => Err(BackendError::Provider {
                provider: self.to_string(),
                problem:
                    "this ONNX Runtime was built without it; `python3 scripts/setup.py onnxruntime-cuda` \
                          fetches one with it, then set ORT_DYLIB_PATH to \
                          third_party/onnxruntime-cuda/lib/libonnxruntime.so"
                        .into(),
            }),
        }
    }

    /// Providers that this ONNX Runtime was built with, of those that can be used here; whether there is a device for
    /// one is another matter.
    pub fn built_in() -> Vec<Self> {
        [Self::Cpu, Self::Cuda(0)].into_iter().filter(|provider| provider.check().is_ok()).collect()
    }

    /// Number of sessions that make sense at once: on a GPU one keeps the device busy.
    pub fn is_cpu(self) -> bool {
        self == Self::Cpu
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(device) => write!(f, "cuda:{device}"),
        }
    }
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let device = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => Some(0),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|device| device.parse().ok())
                .filter(|&device| device >= 0),
        };
        device
            .map(Self::Cuda)
            .ok_or_else(|| format!("'{text}' is not an execution provider; use cpu, cuda or cuda:N"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, provider) in
            [("cpu", Provider::Cpu), ("cuda", Provider::Cuda(0)), ("cuda:3", Provider::Cuda(3))]
        {
            assert_eq!(text.parse::<Provider>().unwrap(), provider);
            assert_eq!(provider.to_string().parse::<Provider>().unwrap(), provider);
        }
        for bad in ["tpu", "cuda:", "cuda:x", "cuda:-1", ""] {
            assert!(bad.parse::<Provider>().is_err(), "{bad}");
        }
    }
}
