use std::path::PathBuf;

use clap::Args;

use super::{observer::control, probe::ProbeArguments};
use crate::{
    jobs::Sign,
    signature::Added,
    terminal::{self, printable},
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert sign run.jsonl --key auditor.key
  rscert verify run.jsonl --key auditor.pub")]
pub(super) struct Arguments {
    /// The evidence file of a finished run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The private key, as `rscert keygen` writes it: Ed25519, PKCS#8 in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The file of signatures, a DSSE envelope with an in-toto statement. If it has signatures of this run, this one is
    /// added [default: the run's name with .dsse.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut job = Sign::new(&arguments.run, &arguments.key);
    if let Some(out) = &arguments.out {
        job.out.clone_from(out);
    }
    let Added { key_id, is_new, signatures } = job.run(&control(ProbeArguments::default()))?;
    let (run, place) = (printable(&job.run.display().to_string()), printable(&job.out.display().to_string()));
    let done = if is_new { "signed by" } else { "was signed already by" };
    let signatures = if signatures == 1 { "1 signature".into() } else { format!("{signatures} signatures") };
    Ok(terminal::print(&format!("{run}: {done} key {key_id}; {place} holds {signatures}\n"))?)
}
