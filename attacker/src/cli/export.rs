use std::{collections::HashMap, io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use mithridate_runtime::{files::write_atomically, terminal, units::parse_count};
use safetensors::{Dtype, tensor::TensorView};
use tch::{Device, no_grad};

use crate::{
    networks::{ExportOptions, Network, read_weights},
    random::{Domain, Purpose, Random},
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd export --weights victim-1/weights.safetensors --out model.onnx --batch-size 1")]
pub(super) struct Arguments {
    /// Weights, as `pacd train` writes them
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
    /// Also write random inputs with libtorch's logits for them, to check any other engine against: a safetensors
    /// file with `inputs` (N×C×H×W) and `logits` (N×K)
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Number of these inputs
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = parse_count::<usize>)]
    reference_inputs: usize,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (network, metadata) = read_weights(&arguments.weights, Device::Cpu)?;
    let options = ExportOptions { batch: arguments.batch_size, fold_batch_norm: arguments.fold_batch_norm };
    let model = network.to_onnx(options, metadata)?;
    mithridate_onnx::write(&model, &arguments.out)?;
    if let Some(path) = &arguments.reference {
        let bytes = reference(&network, arguments.reference_inputs)?;
        write_atomically(path, |file| file.write_all(&bytes))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(terminal::print(&format!("{} written\n", arguments.out.display()))?)
}

/// Inputs in [0, 1] and beyond, as noisy images are, with the network's logits.
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
