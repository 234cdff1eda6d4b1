use std::{fmt, str::FromStr};

use ort::ep::{CUDA, ExecutionProvider, TensorRT};

use crate::backend::BackendError;

/// Execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by its number.
    Cuda(i32),
    /// An NVIDIA GPU, by its number, through TensorRT. Operators that TensorRT does not support run on the same GPU
    /// without it.
    TensorRt(i32),
}

impl Provider {
    /// Fails if this ONNX Runtime was built without the provider. Whether its device works is found out when a session
    /// is created.
    pub(super) fn check(self) -> Result<(), BackendError> {
        let there = match self {
            Self::Cpu => true,
            Self::Cuda(_) => <CUDA as ExecutionProvider>::is_available().unwrap_or(false),
            Self::TensorRt(_) => <TensorRT as ExecutionProvider>::is_available().unwrap_or(false),
        };
        if there {
            return Ok(());
        }
        Err(BackendError::Provider {
            provider: self.to_string(),
            problem: "this ONNX Runtime was built without it; `python3 scripts/setup.py onnxruntime-cuda` fetches one \
                      with it, then set ORT_DYLIB_PATH to third_party/onnxruntime-cuda/lib/libonnxruntime.so"
                .into(),
        })
    }

    /// The supported providers that this ONNX Runtime was built with. There need not be a device for each.
    pub fn built_in() -> Vec<Self> {
        let all = [Self::Cpu, Self::Cuda(0), Self::TensorRt(0)];
        all.into_iter().filter(|provider| provider.check().is_ok()).collect()
    }

    /// Whether the provider is the processor. Several sessions make sense there; on a GPU one session keeps the device
    /// busy.
    pub fn is_cpu(self) -> bool {
        self == Self::Cpu
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(device) => write!(f, "cuda:{device}"),
            Self::TensorRt(device) => write!(f, "tensorrt:{device}"),
        }
    }
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "cpu" {
            return Ok(Self::Cpu);
        }
        let (name, device) = text.split_once(':').unwrap_or((text, "0"));
        let device = device.parse().ok().filter(|&device| device >= 0);
        match (name, device) {
            ("cuda", Some(device)) => Ok(Self::Cuda(device)),
            ("tensorrt", Some(device)) => Ok(Self::TensorRt(device)),
            _ => Err(format!(
                "'{text}' is not an execution provider; use cpu, cuda, cuda:N, tensorrt or tensorrt:N"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, provider) in [
            ("cpu", Provider::Cpu),
            ("cuda", Provider::Cuda(0)),
            ("cuda:3", Provider::Cuda(3)),
            ("tensorrt", Provider::TensorRt(0)),
            ("tensorrt:1", Provider::TensorRt(1)),
        ] {
            assert_eq!(text.parse::<Provider>().unwrap(), provider);
            assert_eq!(provider.to_string().parse::<Provider>().unwrap(), provider);
        }
        for bad in ["tpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "tensorrt:", ""] {
            assert!(bad.parse::<Provider>().is_err(), "{bad}");
        }
    }
}
