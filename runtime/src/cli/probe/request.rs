use mithridate_onnx::ModelFile;
use serde::{Deserialize, Serialize};

use crate::{
    backend::{InputOptions, Layout},
    data::sha256,
    evidence::ExternalSource,
};

/// The request to the process that tests a model, on its standard input.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    /// Identifier of the parent process. The child ends when the parent does.
    pub parent: u32,
    /// Time limit in seconds.
    pub seconds: u64,
    /// Memory limit in bytes, if there is one.
    pub memory: Option<u64>,
    options: Vec<Wire>,
}

/// [`InputOptions`] with numbers as bits, because JSON can't represent infinity and NaN.
#[derive(Serialize, Deserialize)]
struct Wire {
    image: Option<[usize; 3]>,
    layout: Option<Layout>,
    range: Option<[u64; 2]>,
    mean: Option<Vec<u64>>,
    std: Option<Vec<u64>>,
    output: Option<String>,
    side: Option<usize>,
    sigma: Option<u64>,
    keep_batch: bool,
}

/// The answer of the process, on its standard output.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The model runs, and can be certified.
    Taken {
        /// Index in the request of the options with which it runs.
        place: usize,
        /// Hashes of the files that were tested.
        hashes: Hashes,
    },
    /// The model is not a classifier that can be certified.
    Unsupported {
        /// Reason, with the property that is needed, as the end of a sentence.
        problem: String,
    },
    /// The model does not run.
    Refused {
        /// Reason, as a sentence.
        problem: String,
        /// Whether memory was too small.
        lacks_memory: bool,
    },
}

/// SHA-256 of a model and of its files of weights.
#[derive(PartialEq, Serialize, Deserialize)]
pub(super) struct Hashes {
    sha256: String,
    external: Vec<ExternalSource>,
}

impl Request {
    pub fn new(options: &[InputOptions], seconds: u64, memory: Option<u64>) -> Self {
        let options = options.iter().map(Wire::of).collect();
        Self { parent: std::process::id(), seconds, memory, options }
    }

    pub fn options(&self) -> Vec<InputOptions> {
        self.options.iter().map(Wire::options).collect()
    }
}

impl Wire {
    fn of(options: &InputOptions) -> Self {
        let InputOptions { image, layout, range, mean, std, output, side, sigma, keep_batch } = options;
        let bits = |values: &Option<Vec<f64>>| {
            values.as_ref().map(|values| values.iter().map(|value| value.to_bits()).collect())
        };
        Self {
            image: *image,
            layout: *layout,
            range: range.map(|range| range.map(f64::to_bits)),
            mean: bits(mean),
            std: bits(std),
            output: output.clone(),
            side: *side,
            sigma: sigma.map(f64::to_bits),
            keep_batch: *keep_batch,
        }
    }

    fn options(&self) -> InputOptions {
        let Self { image, layout, range, mean, std, output, side, sigma, keep_batch } = self;
        let values = |bits: &Option<Vec<u64>>| {
            bits.as_ref().map(|bits| bits.iter().map(|&bits| f64::from_bits(bits)).collect())
        };
        InputOptions {
            image: *image,
            layout: *layout,
            range: range.map(|range| range.map(f64::from_bits)),
            mean: values(mean),
            std: values(std),
            output: output.clone(),
            side: *side,
            sigma: sigma.map(f64::from_bits),
            keep_batch: *keep_batch,
        }
    }
}

impl Hashes {
    pub fn of(file: &ModelFile) -> Self {
        Self { sha256: sha256(&file.bytes), external: ExternalSource::of(file) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_arrive_as_they_were_to_the_last_bit() {
        let options = InputOptions {
            image: Some([3, 2, 1]),
            layout: Some(Layout::Nhwc),
            range: Some([-0.0, f64::INFINITY]),
            mean: Some(vec![0.1 + 0.2, f64::MIN_POSITIVE / 3.0]),
            std: Some(Vec::new()),
            output: Some("größe \"\n".into()),
            side: Some(224),
            sigma: Some(0.1 + 0.2),
            keep_batch: true,
        };
        let text =
            serde_json::to_string(&Request::new(&[InputOptions::default(), options.clone()], 7, Some(8)));
        let request: Request = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(request.options(), [InputOptions::default(), options]);
        assert_eq!((request.seconds, request.memory, request.parent), (7, Some(8), std::process::id()));
    }
}
