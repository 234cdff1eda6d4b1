use std::path::PathBuf;

use clap::Args;

use crate::{
    jobs::Merge,
    terminal::{self, printable},
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert certify --model lenet.onnx --data data/mnist --seed 1 --shard 1/2 --out 1.jsonl
  rscert certify --model lenet.onnx --data data/mnist --seed 1 --shard 2/2 --out 2.jsonl
  rscert merge 1.jsonl 2.jsonl --out run.jsonl")]
pub(super) struct Arguments {
    /// Evidence files of all parts of one run
    #[arg(required = true, value_name = "PARTS")]
    parts: Vec<PathBuf>,
    /// The evidence file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { parts, out } = arguments;
    let footer = Merge::new(parts, out).run()?;
    let text = format!(
        "{} parts with {} inputs joined in {}\nresult {}\n",
        parts.len(),
        footer.inputs,
        printable(&out.display().to_string()),
        footer.chain
    );
    Ok(terminal::print(&text)?)
}
