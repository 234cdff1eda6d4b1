use std::{collections::HashMap, io::Write, path::PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use mithridate_onnx::{ModelMetadata, messages::ModelProto, to_float16};
use mithridate_runtime::{
    data::{Dataset, Split},
    files::{is_same, write_atomically},
    terminal,
    units::{Sigma, parse_count},
};
use safetensors::{Dtype, tensor::TensorView};
use tch::{Device, no_grad};

use super::arguments::tell_changes;
use crate::{
    Error,
    choice::choice,
    data::calibration_images,
    networks::{ExportOptions, Network, StoredNetwork, read_weights},
    random::{Domain, Purpose, Random},
};

/// Number of images on which the ranges of activations are measured.
const CALIBRATION_IMAGES: usize = 256;

/// The precision of an exported model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExportPrecision {
    Float32,
    Float16,
    Int8,
}

choice!(ExportPrecision, "a precision", { Float32 = "float32", Float16 = "float16", Int8 = "int8" });

#[derive(Args)]
#[command(after_help = "Example:
  pacd export --weights victim-1/weights.safetensors --out model.onnx --batch-size 1
  pacd export --weights victim-1/weights.safetensors --out int8.onnx --precision int8 --calibration data/mnist")]
pub(super) struct Arguments {
    /// Weights written by `pacd train`
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The ONNX file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Fix the batch dimension at this size [default: symbolic]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>)]
    batch_size: Option<usize>,
    /// Fold batch normalisation into the convolutions before it
    #[arg(long)]
    fold_batch_norm: bool,
    /// Precision of weights and arithmetic: float32, float16, or int8 (static quantisation, batch normalisation folded);
    /// input and output stay float32
    #[arg(long, default_value = "float32", value_name = "PRECISION")]
    precision: ExportPrecision,
    /// For int8: data set from which 256 training images with noise are taken, to measure the ranges of activations
    #[arg(long, value_name = "DATA")]
    calibration: Option<PathBuf>,
    /// For int8: standard deviation of that noise [default: that of training]
    #[arg(long, value_name = "SIGMA")]
    sigma: Option<Sigma>,
    /// Also write random inputs and the logits that libtorch computes for them, to check another engine: a safetensors
    /// file with `inputs` (N×C×H×W) and `logits` (N×K)
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Number of these inputs
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = parse_count::<usize>)]
    reference_inputs: usize,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    for (flag, place) in [("--out", Some(&arguments.out)), ("--reference", arguments.reference.as_ref())] {
        if place.is_some_and(|place| is_same(place, &arguments.weights)) {
            bail!(
                "{flag} would overwrite the weights, {}; give it another name",
                arguments.weights.display()
            );
        }
    }
    let StoredNetwork { network, metadata } = read_weights(&arguments.weights, Device::Cpu)?;
    let model = model(arguments, &network, metadata)?;
    mithridate_onnx::write(&model, &arguments.out)?;
    if let Some(path) = &arguments.reference {
        let bytes = reference(&network, arguments.reference_inputs)?;
        write_atomically(path, |file| file.write_all(&bytes))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(terminal::print(&format!("{} written\n", arguments.out.display()))?)
}

/// The model in the chosen precision.
fn model(arguments: &Arguments, network: &Network, metadata: ModelMetadata) -> anyhow::Result<ModelProto> {
    let options = ExportOptions { batch: arguments.batch_size, fold_batch_norm: arguments.fold_batch_norm };
    let precision = arguments.precision;
    if precision != ExportPrecision::Int8 {
        for (flag, given) in
            [("--calibration", arguments.calibration.is_some()), ("--sigma", arguments.sigma.is_some())]
        {
            if given {
                bail!("{flag} is for --precision int8; {precision} needs no ranges of activations");
            }
        }
        let model = network.to_onnx(options, metadata)?;
        return Ok(if precision == ExportPrecision::Float16 { to_float16(&model)? } else { model });
    }
    let path = arguments.calibration.as_ref().ok_or_else(|| {
        anyhow!(
            "--precision int8 measures the ranges of activations on images; name a data set with --calibration"
        )
    })?;
    let sigma = arguments.sigma.map(Sigma::get).or(metadata.training_sigma).ok_or_else(|| {
        anyhow!(
            "the network was trained without noise; give the σ at which the model will be certified with --sigma"
        )
    })?;
    let data = Dataset::open(path, Split::Train)?;
    tell_changes(&data);
    if data.shape() != network.input_shape() {
        bail!(Error::Network {
            network: network.architecture().name(),
            shape: data.shape(),
            problem: format!(
                "it was trained on images of {:?}; use a data set of that shape",
                network.input_shape()
            ),
        });
    }
    let images = calibration_images(&data, CALIBRATION_IMAGES, sigma, 0);
    Ok(network.to_onnx_int8(options, metadata, &images)?)
}

/// `count` random inputs around [0, 1], like noisy images, and their logits, as the bytes of a safetensors file.
fn reference(network: &Network, count: usize) -> anyhow::Result<Vec<u8>> {
    let [c, h, w] = network.input_shape();
    let shape = [count, c, h, w].map(|size| size as i64);
    let random = Random::new(Domain::Data, 0);
    let inputs = random.normal(Purpose::Points, 0, &shape, Device::Cpu) * 0.25
        + random.uniform(Purpose::Weights, 0, &shape, 0.5)
        + 0.5;
    let logits = no_grad(|| network.forward(&inputs));
    let bytes = |tensor: &tch::Tensor| {
        let mut values = vec![0_f32; tensor.numel()];
        tensor.contiguous().copy_data(&mut values, tensor.numel());
        values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
    };
    let (input_bytes, logit_bytes) = (bytes(&inputs), bytes(&logits));
    let tensors = HashMap::from([
        ("inputs", TensorView::new(Dtype::F32, vec![count, c, h, w], &input_bytes)?),
        ("logits", TensorView::new(Dtype::F32, vec![count, network.classes()], &logit_bytes)?),
    ]);
    Ok(safetensors::serialize(tensors, None)?)
}
