use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::{
    files::check_place,
    signature::PrivateKey,
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
    let named = |ending: &str| {
        let mut name = arguments.out.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let (private, public) = (named(".key"), named(".pub"));
    for place in [&private, &public] {
        check_place(place).with_context(|| format!("cannot write {}", place.display()))?;
    }
    let key = PrivateKey::generate()?;
    key.write(&private, &public)?;
    let shown = |path: &Path| printable(&path.display().to_string());
    Ok(terminal::print(&format!(
        "key {}\nprivate key in {}, to be kept secret; public key in {}, to be given to those who verify\n",
        key.public_key().id(),
        shown(&private),
        shown(&public)
    ))?)
}
