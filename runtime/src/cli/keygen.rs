use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    jobs::Keygen,
    terminal::{self, printable},
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert keygen --out auditor
  rscert sign run.jsonl --key auditor.key
  rscert verify run.jsonl --key auditor.pub")]
pub(super) struct Arguments {
    /// Name of the two files: NAME.key, the private key, not encrypted and readable by its owner only, and NAME.pub,
    /// the public key
    #[arg(long, value_name = "NAME")]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let job = Keygen::new(&arguments.out);
    let key = job.run()?;
    let shown = |path: &Path| printable(&path.display().to_string());
    Ok(terminal::print(&format!(
        "key {key}\nthe private key is in {}: keep it secret; the public key is in {}: give it to those who verify\n",
        shown(&job.private),
        shown(&job.public)
    ))?)
}
