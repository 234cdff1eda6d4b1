//! Keys, and the signatures of runs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    Control, JobError,
    error::ensure,
    keywords::{Keywords, NamedJob},
};
use crate::{
    files::{check_place, is_same},
    signature::{Added, PrivateKey, sign_run, signature_path},
};

/// Generates a pair of Ed25519 keys.
///
/// # Example
/// ```no_run
/// use mithridate_runtime::jobs::Keygen;
///
/// println!("key {}", Keygen::new("auditor").run()?);
/// # Ok::<(), mithridate_runtime::jobs::JobError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Keygen {
    /// The file of the private key. It is not encrypted, and readable by its owner only.
    pub private: PathBuf,
    /// The file of the public key.
    pub public: PathBuf,
}

impl Keygen {
    /// A job that writes the private key to `name` followed by `.key` and the public key to `name` followed by `.pub`.
    pub fn new(name: impl AsRef<Path>) -> Self {
        let named = |ending: &str| {
            let mut path = name.as_ref().to_owned().into_os_string();
            path.push(ending);
            PathBuf::from(path)
        };
        Self { private: named(".key"), public: named(".pub") }
    }

    /// Runs the job. Returns the id of the key.
    ///
    /// # Errors
    /// [`JobError`] if one of the files exists or can't be written.
    pub fn run(&self) -> Result<String, JobError> {
        for place in [&self.private, &self.public] {
            check_place(place).map_err(|error| JobError::cannot_write(place, error))?;
        }
        let key = PrivateKey::generate()?;
        key.write(&self.private, &self.public)?;
        Ok(key.public_key().id())
    }
}

impl NamedJob for Keygen {
    const NAME: &'static str = "keygen";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        Ok(Self::new(keywords.need::<PathBuf>("out")?))
    }

    fn run_to_json(&self, _: &Control) -> Result<Value, JobError> {
        Ok(json!({
            "key": self.run()?,
            "private": self.private.to_string_lossy(),
            "public": self.public.to_string_lossy(),
        }))
    }
}

/// Signs a finished run: writes a DSSE envelope with an in-toto statement, or adds a signature to one.
///
/// # Example
/// ```no_run
/// use mithridate_runtime::jobs::{Control, Sign};
///
/// let added = Sign::new("run.jsonl", "auditor.key").run(&Control::default())?;
/// println!("signed by {}", added.key_id);
/// # Ok::<(), mithridate_runtime::jobs::JobError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sign {
    /// The evidence file of a finished run.
    pub run: PathBuf,
    /// The private key: Ed25519, PKCS#8 in PEM.
    pub key: PathBuf,
    /// The file of signatures.
    pub out: PathBuf,
}

impl Sign {
    /// A job that writes to the run's name followed by `.dsse.json`.
    pub fn new(run: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let run = run.into();
        Self { out: signature_path(&run), run, key: key.into() }
    }

    /// Runs the job.
    ///
    /// # Errors
    /// [`JobError`] if the run is not finished or not valid, the key can't be read, or `out` is of another run or can't be
    /// written.
    pub fn run(&self, control: &Control) -> Result<Added, JobError> {
        let Self { run, key, out } = self;
        let place = out.display();
        for (path, what) in [(run, "the run"), (key, "the key")] {
            ensure!(!is_same(path, out), "`out` {place} would overwrite {what}; give another name");
        }
        check_place(out).map_err(|error| JobError::cannot_write(out, error))?;
        let private = PrivateKey::read(key).map_err(|error| JobError::While {
            doing: format!("cannot sign with {}", key.display()),
            source: error.into(),
        })?;
        note_readers(control, key);
        sign_run(run, &private, out).map_err(|error| JobError::While {
            doing: format!("cannot sign {} in {place}", run.display()),
            source: error.into(),
        })
    }
}

impl NamedJob for Sign {
    const NAME: &'static str = "sign";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        let mut job = Self::new(keywords.need::<PathBuf>("run")?, keywords.need::<PathBuf>("key")?);
        keywords.set("out", &mut job.out)?;
        Ok(job)
    }

    fn run_to_json(&self, control: &Control) -> Result<Value, JobError> {
        let Added { key_id, is_new, signatures } = self.run(control)?;
        Ok(json!({
            "signature": self.out.to_string_lossy(),
            "key": key_id,
            "is_new": is_new,
            "signatures": signatures,
        }))
    }
}

/// Sends a note if users other than the owner can read a private key.
fn note_readers(control: &Control, key: &Path) {
    #[cfg(unix)]
    if let Ok(information) = key.metadata() {
        let mode = std::os::unix::fs::PermissionsExt::mode(&information.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            control.note(&format!(
                "other users can read the private key {} (mode {mode:o}); to keep it secret, change its mode with chmod 600",
                key.display()
            ));
        }
    }
}
