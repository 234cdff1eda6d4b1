//! Who made a run, and where its seed comes from.

use std::path::Path;

use super::Verify;
use crate::{
    evidence::{Problem, Verification, seed_origin},
    jobs::{JobError, error::ensure},
    signature::{PublicKey, SignatureError, Signed, signature_path, verify_run},
};

/// Subject of the signature check in the lists.
const SIGNATURE: &str = "signature";

impl Verify {
    /// Checks who signed a run and where its seed comes from.
    pub(super) fn check_origin(&self, found: &mut Verification) -> Result<(), JobError> {
        if let Some(header) = &found.header {
            let (origin, is_derived) = (seed_origin(header), header.challenge.is_some());
            if is_derived {
                found.add_checked("seed", origin);
            } else {
                found.add_not_checked("seed", origin);
            }
        }
        let place = self.signature.clone().unwrap_or_else(|| signature_path(&self.run));
        let Some(key) = &self.key else {
            found.add_not_checked(
                SIGNATURE,
                if place.exists() {
                    format!(
                        "who signed it: to check the signatures in {}, give a public key with `key`",
                        place.display()
                    )
                } else {
                    "who made it: it is not signed, and anybody can make a file with valid hashes".into()
                },
            );
            return Ok(());
        };
        let public = PublicKey::read(key).map_err(|error| JobError::While {
            doing: format!("cannot check a signature with {}", key.display()),
            source: error.into(),
        })?;
        ensure!(
            place.exists(),
            "there is no {}; name the file of signatures with `signature`, or `rscert sign` the run",
            place.display()
        );
        if !found.holds() {
            found.add_not_checked(SIGNATURE, "who signed it, because other checks of the file failed");
            return Ok(());
        }
        match verify_run(&self.run, &public, &place) {
            Ok(signed) if signed.chain == found.chain => state_signature(found, &signed, &place),
            Ok(_) => found.problems.push(of_file(&self.run, "it was changed while it was verified")),
            Err(error @ SignatureError::Read { .. }) => return Err(error.into()),
            Err(error) => found.problems.push(of_file(&place, &error.to_string())),
        }
        Ok(())
    }
}

fn state_signature(found: &mut Verification, signed: &Signed, place: &Path) {
    let Signed { key_id, name, signatures, .. } = signed;
    found.add_checked(
        SIGNATURE,
        format!("key {key_id} signed this file, and every field of the signed statement is that of the run"),
    );
    found.add_stated("name", format!("it was signed under the name {name}"));
    if *signatures > 1 {
        let others = signatures - 1;
        let plural = if others == 1 { "" } else { "s" };
        let detail = format!("{others} other signature{plural} in {}", place.display());
        found.add_not_checked("other signatures", detail);
    }
}

fn of_file(path: &Path, problem: &str) -> Problem {
    Problem { line: 0, problem: format!("{}: {problem}", path.display()) }
}
