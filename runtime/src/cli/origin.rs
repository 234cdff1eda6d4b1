use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use crate::{
    evidence::{Problem, Verification, seed_origin},
    signature::{PublicKey, SignatureError, Signed, signature_path, verify_run},
};

/// Whose signature to ask for.
#[derive(Args)]
pub(super) struct OriginArguments {
    /// A public key: did its holder sign this run?
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The file of signatures [default: the run's name with .dsse.json]
    #[arg(long, value_name = "FILE", requires = "key")]
    signature: Option<PathBuf>,
}

/// Checks who signed a run and where its seed comes from; what does not hold is added to what was found.
pub(super) fn check(run: &Path, arguments: &OriginArguments, found: &mut Verification) -> anyhow::Result<()> {
    if let Some(header) = &found.header {
        let (origin, is_derived) = (seed_origin(header), header.challenge.is_some());
        if is_derived {
            found.add_checked("seed", origin);
        } else {
            found.add_not_checked("seed", origin);
        }
    }
    let place = arguments.signature.clone().unwrap_or_else(|| signature_path(run));
    let Some(key) = &arguments.key else {
        found.add_not_checked(
            SIGNATURE,
            if place.exists() {
                format!("who signed it: there is {}, and no --key to check it by", place.display())
            } else {
                "who made it: it is not signed, and anybody can make a file with good hashes".into()
            },
        );
        return Ok(());
    };
    let public =
        PublicKey::read(key).with_context(|| format!("cannot check a signature with {}", key.display()))?;
    ensure!(
        place.exists(),
        "there is no {}; name the file of signatures with --signature, or `rscert sign` the run",
        place.display()
    );
    if !found.holds() {
        found.add_not_checked(SIGNATURE, "who signed it, because the file does not hold as it is");
        return Ok(());
    }
    match verify_run(run, &public, &place) {
        Ok(Signed { key_id, name, chain, signatures }) if chain == found.chain => {
            found.add_checked(
                SIGNATURE,
                format!(
                    "key {key_id} signed this file, and every field of the signed statement is that of the run"
                ),
            );
            found.add_stated("name", format!("it was signed under the name {name}"));
            if signatures > 1 {
                let others = signatures - 1;
                let plural = if others == 1 { "" } else { "s" };
                found.add_not_checked(
                    "other signatures",
                    format!("{others} other signature{plural} in {}", place.display()),
                );
            }
        }
        Ok(_) => found.problems.push(problem(run, "it was changed while it was verified")),
        Err(error @ SignatureError::Read { .. }) => return Err(error.into()),
        Err(error) => found.problems.push(problem(&place, &error.to_string())),
    }
    Ok(())
}

/// What the lists call the question who signed a run.
const SIGNATURE: &str = "signature";

fn problem(path: &Path, problem: &str) -> Problem {
    Problem { line: 0, problem: format!("{}: {problem}", path.display()) }
}
