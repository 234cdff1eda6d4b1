use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::note;
use crate::{
    files::{check_place, is_same},
    signature::{Added, PrivateKey, sign_run, signature_path},
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
    let Arguments { run, key, .. } = arguments;
    let out = arguments.out.clone().unwrap_or_else(|| signature_path(run));
    for (path, what) in [(run, "the run"), (key, "the key")] {
        anyhow::ensure!(
            !is_same(path, &out),
            "--out {} is the place of {what}; give another name",
            out.display()
        );
    }
    check_place(&out).with_context(|| format!("cannot write {}", out.display()))?;
    let private = PrivateKey::read(key).with_context(|| format!("cannot sign with {}", key.display()))?;
    warn_of_readers(key);
    let Added { key_id, is_new, signatures } = sign_run(run, &private, &out)
        .with_context(|| format!("cannot sign {} in {}", run.display(), out.display()))?;
    let place = printable(&out.display().to_string());
    let done = if is_new { "signed by" } else { "was signed already by" };
    let signatures = if signatures == 1 { "1 signature".into() } else { format!("{signatures} signatures") };
    let run = printable(&run.display().to_string());
    Ok(terminal::print(&format!("{run}: {done} key {key_id}; {place} holds {signatures}\n"))?)
}

/// Prints a warning if users other than the owner can read a private key.
fn warn_of_readers(key: &Path) {
    #[cfg(unix)]
    if let Ok(information) = key.metadata() {
        let mode = std::os::unix::fs::PermissionsExt::mode(&information.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            note(&format!(
                "others can read the private key {} (mode {mode:o}); chmod 600 keeps it secret",
                key.display()
            ));
        }
    }
}
