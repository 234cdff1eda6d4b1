use std::path::PathBuf;

use clap::Args;

use super::{device::DeviceArguments, probe::ProbeArguments};
use crate::{
    backend::{InputOptions, Layout},
    jobs::ModelSettings,
    units::parse_count,
};

/// The model, and how it is run.
#[derive(Args)]
pub(super) struct ModelArguments {
    /// The classifier, an ONNX file
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    #[command(flatten)]
    device: DeviceArguments,
    /// Number of noisy inputs in one call of the model [default: the fastest, measured if the run is long enough]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    batch: Option<usize>,
    /// Number of threads on the processor [default: all]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    threads: Option<usize>,
    #[command(flatten)]
    input: InputArguments,
    #[command(flatten)]
    pub probe: ProbeArguments,
}

/// How inputs are converted for the model, and which output is read.
#[derive(Args, Default)]
pub(super) struct InputArguments {
    /// Order of the dimensions of the model's input: nchw or nhwc [default: determined from its shape]
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<Layout>,
    /// Values that the model expects for black and white, such as 0,255 or -1,1. Noise is added before this conversion,
    /// in data-set units [default: from the model's metadata, or 0,1]
    #[arg(long, value_name = "LOW,HIGH", value_parser = parse_range, allow_hyphen_values = true)]
    range: Option<[f64; 2]>,
    /// Mean to subtract from each channel after --range: one number, or one per channel
    #[arg(long, value_name = "MEAN", value_delimiter = ',', allow_hyphen_values = true)]
    mean: Option<Vec<f64>>,
    /// Standard deviation by which to divide each channel after --mean: one number, or one per channel
    #[arg(long, value_name = "STD", value_delimiter = ',', allow_hyphen_values = true)]
    std: Option<Vec<f64>>,
    /// Name of the output with logits or probabilities, if the model has several outputs
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
}

impl InputArguments {
    pub fn options(&self) -> InputOptions {
        InputOptions {
            layout: self.layout,
            range: self.range,
            mean: self.mean.clone(),
            std: self.std.clone(),
            output: self.output.clone(),
            ..InputOptions::default()
        }
    }
}

impl ModelArguments {
    pub fn settings(&self) -> ModelSettings {
        ModelSettings {
            path: self.model.clone(),
            device: self.device.device(),
            smoothing_graph: self.device.smoothing_graph,
            batch: self.batch,
            threads: self.threads,
            input: self.input.options(),
        }
    }
}

fn parse_range(text: &str) -> Result<[f64; 2], String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some([low, high]) if low < high && (high - low).is_finite() => Ok([*low, *high]),
        _ => Err("it must be two numbers, the values of black and white, such as 0,255 or -1,1".to_owned()),
    }
}
