use std::{
    fs::TryLockError,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{
    Envelope, MAX_ENVELOPE, PrivateKey, PublicKey, SignatureError, statement::compare, statement::statement,
};
use crate::{
    evidence::{Evidence, Problem, parse_evidence, verify},
    files,
};

/// What a signature that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Id of the key.
    pub key_id: String,
    /// Name of the evidence file when it was signed.
    pub name: String,
    /// Last value of the hash chain of the run.
    pub chain: String,
    /// Signatures in the envelope, of which one was checked.
    pub signatures: usize,
}

/// What [`sign_run`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Id of the key.
    pub key_id: String,
    /// False if the envelope held this signature already and was left as it is.
    pub is_new: bool,
    /// Signatures in the envelope now.
    pub signatures: usize,
}

/// Where the envelope of a run lies if nothing else is said: beside it, with `.dsse.json` after its name.
pub fn signature_path(run: &Path) -> PathBuf {
    let mut name = run.as_os_str().to_owned();
    name.push(".dsse.json");
    name.into()
}

/// Signs a finished run that holds by itself. If there is an envelope for it in `out`, the signature is added to those in it.
///
/// # Errors
/// [`SignatureError`]: the run can't be read, is being written, is not finished or does not hold; `out` is something else than
/// an envelope of this run, or can't be written. `out` is then as it was.
pub fn sign_run(run: &Path, key: &PrivateKey, out: &Path) -> Result<Added, SignatureError> {
    let read_error = |source| SignatureError::Read { path: run.to_owned(), source };
    let mut file = files::open(run).map_err(read_error)?;
    // Two that sign the same run at once would lose one of the signatures.
    file.try_lock().map_err(|error| {
        read_error(match error {
            TryLockError::WouldBlock => {
                io::Error::other("another program is writing or signing it; try again when that is done")
            }
            TryLockError::Error(error) => error,
        })
    })?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(read_error)?;
    let evidence = parse(run, &bytes)?;
    let found = verify(run)?;
    let invalid = |problem: String| SignatureError::Invalid { path: run.to_owned(), problem };
    if let Some(Problem { line, problem }) = found.problems.first() {
        return Err(invalid(format!("line {line}: {problem}")));
    }
    if found.chain != evidence.footer.chain {
        return Err(invalid("it was changed while it was read".into()));
    }
    let mut envelope = if out.symlink_metadata().is_ok() {
        let envelope = read_envelope(out)?;
        compare(envelope.unchecked_payload(), &bytes, &evidence).map_err(|error| beside(error, out))?;
        envelope
    } else {
        let name = run.file_name().unwrap_or(run.as_os_str()).to_string_lossy();
        Envelope::new(statement(&name, &bytes, &evidence).to_string().into_bytes())
    };
    let is_new = envelope.sign(key);
    let written = envelope.to_bytes();
    if is_new {
        // What is written can be read again.
        Envelope::parse(&written)?;
        files::write_atomically(out, |file| file.write_all(&written))
            .map_err(|source| SignatureError::Write { path: out.to_owned(), source })?;
    }
    Ok(Added { key_id: key.public_key().id(), is_new, signatures: envelope.signatures() })
}

/// Checks that a key signed a run, and that every field of the signed statement is that of the run. It does not check the run
/// itself; [`verify`] does.
///
/// # Errors
/// [`SignatureError`]: a file can't be read; the envelope is not one; the key did not sign it; it is about another run.
pub fn verify_run(run: &Path, key: &PublicKey, signature: &Path) -> Result<Signed, SignatureError> {
    let envelope = read_envelope(signature)?;
    let payload = envelope.signed_by(key)?;
    let bytes = files::read(run).map_err(|source| SignatureError::Read { path: run.to_owned(), source })?;
    let evidence = parse(run, &bytes)?;
    let name = compare(payload, &bytes, &evidence)?;
    Ok(Signed { key_id: key.id(), name, chain: evidence.footer.chain, signatures: envelope.signatures() })
}

fn parse(run: &Path, bytes: &[u8]) -> Result<Evidence, SignatureError> {
    let text = str::from_utf8(bytes).map_err(|_| SignatureError::Invalid {
        path: run.to_owned(),
        problem: "it holds bytes that are no UTF-8 text".into(),
    })?;
    Ok(parse_evidence(run, text)?)
}

fn read_envelope(path: &Path) -> Result<Envelope, SignatureError> {
    let error = |source| SignatureError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    files::open(path).map_err(error)?.take(MAX_ENVELOPE + 1).read_to_end(&mut bytes).map_err(error)?;
    Envelope::parse(&bytes)
}

/// The error of an envelope that would have to be written over.
fn beside(error: SignatureError, out: &Path) -> SignatureError {
    match error {
        SignatureError::OtherRun { mut differences } => {
            differences.push(format!("{} is left as it is; choose another name with `out`", out.display()));
            SignatureError::OtherRun { differences }
        }
        error => error,
    }
}
