use clap::Args;

use crate::backend::{Device, Precision, Provider};

/// The device that runs the model.
#[derive(Args, Clone, Copy, Default)]
pub(super) struct DeviceArguments {
    /// Execution provider that runs the model: cpu, cuda, cuda:N, tensorrt or tensorrt:N, where N is the number of a
    /// GPU. With several GPUs, run one --shard on each
    #[arg(long, default_value = "cpu", value_name = "PROVIDER")]
    provider: Provider,
    /// Arithmetic on the GPU: model (the precision of the model), tf32, or float16 (with tensorrt)
    #[arg(long, default_value = "model", value_name = "PRECISION")]
    precision: Precision,
    /// Largest amount of GPU memory to use, such as 800M or 8G [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    device_memory: Option<usize>,
    /// Use a smoothing graph also on the processor, where it is not faster; for tests
    #[arg(long, hide = true)]
    pub smoothing_graph: bool,
}

impl DeviceArguments {
    pub fn device(self) -> Device {
        Device { provider: self.provider, precision: self.precision, memory: self.device_memory }
    }
}

/// Parses a number of bytes, KiB, MiB, GiB or TiB.
pub(super) fn parse_bytes(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let (number, shift) = match text.char_indices().last() {
        Some((end, 'k' | 'K')) => (&text[..end], 10),
        Some((end, 'm' | 'M')) => (&text[..end], 20),
        Some((end, 'g' | 'G')) => (&text[..end], 30),
        Some((end, 't' | 'T')) => (&text[..end], 40),
        _ => (text, 0),
    };
    let bytes = number.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "it must be a number of bytes, or one followed by K, M, G or T, such as 8G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_their_unit() {
        for (text, bytes) in [("1", 1), ("3k", 3072), ("800M", 800 << 20), ("8G", 8 << 30), (" 1T ", 1 << 40)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "G", "0", "-1", "1.5G", "1P", "99999999999T"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
