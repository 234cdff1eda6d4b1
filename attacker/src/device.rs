//! The device that holds tensors and computes with them.

use std::{fmt, str::FromStr};

use crate::Error;

/// A device by name: `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by its number.
    Cuda(usize),
}

impl DeviceChoice {
    /// Prepares the device. For CUDA this must be the first use of libtorch in the process: it loads the library of CUDA
    /// kernels, while the program is linked to the CPU library only.
    ///
    /// # Errors
    /// [`Error::Device`] for CUDA if there is no CUDA libtorch or no such GPU.
    pub fn prepare(self) -> Result<tch::Device, Error> {
        let Self::Cuda(number) = self else { return Ok(tch::Device::Cpu) };
        let error = |problem: String| Error::Device { device: self.to_string(), problem };
        cuda_library::load().map_err(|problem| {
            error(format!(
                "libtorch_cuda.so can't be loaded ({problem}); put the lib folders of a CUDA libtorch 2.11 on \
                 LD_LIBRARY_PATH, or use the CPU"
            ))
        })?;
        let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        if !tch::Cuda::is_available() || count == 0 {
            return Err(error("this machine has no GPU that CUDA can use; use the CPU".into()));
        }
        if number >= count {
            return Err(error(format!("this machine has {count} GPU(s), numbered from 0")));
        }
        Ok(tch::Device::Cuda(number))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("'{text}' is not a device; use cpu, cuda or cuda:N")),
        }
    }
}

/// Loads the CUDA library of libtorch, which registers its kernels with the linked CPU library.
#[allow(unsafe_code)]
mod cuda_library {
    use std::{error::Error, sync::OnceLock};

    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    pub fn load() -> Result<(), String> {
        static LOADED: OnceLock<Result<Library, String>> = OnceLock::new();
        LOADED
            .get_or_init(|| {
                // SAFETY: the library's initialisers only register kernels; it is never unloaded.
                unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| {
                    // The message of the loader is in the source.
                    error.source().map_or_else(|| error.to_string(), ToString::to_string)
                })
            })
            .as_ref()
            .map(|_| ())
            .map_err(Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in ["cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for bad in ["gpu", "cuda:", "cuda:-1", ""] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }
}
