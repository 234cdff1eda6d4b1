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

/// The content of a valid signature of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Id of the key.
    pub key_id: String,
    /// Name of the evidence file when it was signed.
    pub name: String,
    /// Last value of the hash chain of the run.
    pub chain: String,
    /// Number of signatures in the envelope, of which one was verified.
    pub signatures: usize,
}

/// The result of [`sign_run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Id of the key.
    pub key_id: String,
    /// False if the envelope already had a signature by this key and was left unchanged.
    pub is_new: bool,
    /// Number of signatures in the envelope now.
    pub signatures: usize,
}

/// Default path of the envelope of a run: the path of the evidence file followed by `.dsse.json`.
pub fn signature_path(run: &Path) -> PathBuf {
    let mut name = run.as_os_str().to_owned();
    name.push(".dsse.json");
    name.into()
}

/// Verifies the evidence file `run` by itself, signs it with `key` and writes the envelope to `out`. If `out` is
/// already an envelope of this run, the signature is added to it.
///
/// # Errors
/// [`SignatureError`] if the run can't be read, is being written, is not finished or is not valid; or if `out` exists
/// and is not an envelope of this run, or can't be written. After an error `out` is unchanged.
pub fn sign_run(run: &Path, key: &PrivateKey, out: &Path) -> Result<Added, SignatureError> {
    let read_error = |source| SignatureError::Read { path: run.to_owned(), source };
    let mut file = files::open(run).map_err(read_error)?;
    // If two programs signed the same run at once, one of the signatures would be lost.
    file.try_lock().map_err(|error| {
        read_error(match error {
            TryLockError::WouldBlock => io::Error::other(
                "another program is writing or signing it; try again when that program has finished",
            ),
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
        // Check before writing that the envelope can be read again.
        Envelope::parse(&written)?;
        files::write_atomically(out, |file| file.write_all(&written))
            .map_err(|source| SignatureError::Write { path: out.to_owned(), source })?;
    }
    Ok(Added { key_id: key.public_key().id(), is_new, signatures: envelope.signatures() })
}

/// Checks that the envelope `signature` has a signature by `key`, and that every field of the signed statement equals
/// that of the evidence file `run`. It does not check the evidence itself; use [`verify`] for that.
///
/// # Errors
/// [`SignatureError`] if a file can't be read, the envelope is malformed, the key did not sign it, or it is about
/// another run.
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
        problem: "it contains bytes that are not UTF-8 text".into(),
    })?;
    Ok(parse_evidence(run, text)?)
}

fn read_envelope(path: &Path) -> Result<Envelope, SignatureError> {
    let error = |source| SignatureError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    files::open(path).map_err(error)?.take(MAX_ENVELOPE + 1).read_to_end(&mut bytes).map_err(error)?;
    Envelope::parse(&bytes)
}

/// Completes the error for an existing envelope of another run: says that it was not overwritten.
fn beside(error: SignatureError, out: &Path) -> SignatureError {
    match error {
        SignatureError::OtherRun { mut differences } => {
            differences.push(format!("{} was not changed; choose another name with `out`", out.display()));
            SignatureError::OtherRun { differences }
        }
        error => error,
    }
}
