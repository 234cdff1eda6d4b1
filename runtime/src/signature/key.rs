use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    path::Path,
};

use ed25519_dalek::{
    Signature, Signer, SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
        spki::der::{pem::LineEnding, zeroize::Zeroizing},
    },
};

use super::SignatureError;
use crate::{data::sha256, files};

/// Largest size of a key file, in bytes.
pub const MAX_KEY: u64 = 1 << 14;

/// An Ed25519 private key, which makes signatures. Its bytes are wiped from memory when it is dropped.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

/// An Ed25519 public key, which verifies signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PrivateKey {
    /// Generates a key from the random generator of the operating system.
    ///
    /// # Errors
    /// [`SignatureError::NoRandomNumbers`].
    pub fn generate() -> Result<Self, SignatureError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|error| SignatureError::NoRandomNumbers(error.to_string()))?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// Parses a key in PKCS#8 PEM, version 1 or 2, not encrypted.
    ///
    /// # Errors
    /// [`SignatureError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, SignatureError> {
        let found = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
        let problem = if found("PUBLIC KEY") {
            "it is a public key, and a signature needs the private key"
        } else if found("ENCRYPTED PRIVATE KEY") {
            "it is encrypted; `openssl pkey -in KEY -out PLAIN` writes the unencrypted key that is needed"
        } else {
            match SigningKey::from_pkcs8_pem(text) {
                Ok(key) => return Ok(Self(key)),
                Err(_) => "it is not an Ed25519 private key in PKCS#8 PEM, as `rscert keygen` writes it",
            }
        };
        Err(SignatureError::Key(problem.into()))
    }

    /// Reads a key from a file of at most [`MAX_KEY`] bytes.
    ///
    /// # Errors
    /// [`SignatureError::Read`], [`SignatureError::Key`].
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        Self::from_pem(&read_text(path)?)
    }

    /// The key as PKCS#8 PEM of version 1, which every reader of the format accepts.
    ///
    /// # Errors
    /// [`SignatureError::Key`] if it can't be encoded.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SignatureError> {
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).map_err(|error| SignatureError::Key(error.to_string()))
    }

    /// The public key that belongs to it.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Writes the private key to `private` and the public key to `public`. Neither file may exist. On Unix only the
    /// owner of the file can read the private key.
    ///
    /// # Errors
    /// [`SignatureError::Exists`], [`SignatureError::Write`]. After an error neither file has been created.
    pub fn write(&self, private: &Path, public: &Path) -> Result<(), SignatureError> {
        if let Some(path) = [private, public].into_iter().find(|path| path.symlink_metadata().is_ok()) {
            return Err(SignatureError::Exists { path: path.to_owned() });
        }
        write_new(private, self.to_pem()?.as_bytes(), true)?;
        write_new(public, self.public_key().to_pem()?.as_bytes(), false).inspect_err(|_| {
            // A private key without its public key is of no use, so remove the one just written.
            let _ = fs::remove_file(private);
        })
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl PublicKey {
    /// Parses a key in `SubjectPublicKeyInfo` PEM.
    ///
    /// # Errors
    /// [`SignatureError::Key`], also for the few weak keys (points of small order) for which anybody can make
    /// signatures.
    pub fn from_pem(text: &str) -> Result<Self, SignatureError> {
        let problem = if text.contains("PRIVATE KEY-----") {
            "it is a private key, which its owner must keep secret; verification needs the public key"
        } else {
            match VerifyingKey::from_public_key_pem(text) {
                Ok(key) if !key.is_weak() => return Ok(Self(key)),
                Ok(_) => "it is a point of small order, for which anybody can make signatures",
                Err(_) => "it is not an Ed25519 public key in PEM, as `rscert keygen` writes it",
            }
        };
        Err(SignatureError::Key(problem.into()))
    }

    /// Reads a key from a file of at most [`MAX_KEY`] bytes.
    ///
    /// # Errors
    /// [`SignatureError::Read`], [`SignatureError::Key`].
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        Self::from_pem(&read_text(path)?)
    }

    /// The key as `SubjectPublicKeyInfo` in PEM.
    ///
    /// # Errors
    /// [`SignatureError::Key`] if it can't be encoded.
    pub fn to_pem(&self) -> Result<String, SignatureError> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|error| SignatureError::Key(error.to_string()))
    }

    /// The key id: SHA-256 of the `SubjectPublicKeyInfo` in DER, as 64 hexadecimal digits. The command
    /// `openssl pkey -pubin -in KEY -outform DER | sha256sum` prints the same.
    pub fn id(&self) -> String {
        // Encoding 32 bytes of a known kind does not fail; if it did, the id would be empty and match no key.
        self.0.to_public_key_der().map(|der| sha256(der.as_bytes())).unwrap_or_default()
    }

    /// Whether `signature` is a valid signature of `message` by this key. Strict: points of small order and
    /// non-canonical signatures are refused.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, SignatureError> {
    let error = |source| SignatureError::Read { path: path.to_owned(), source };
    let mut text = Zeroizing::new(String::new());
    files::open(path).map_err(error)?.take(MAX_KEY + 1).read_to_string(&mut text).map_err(error)?;
    if text.len() as u64 > MAX_KEY {
        return Err(SignatureError::Key(format!("it is larger than {MAX_KEY} bytes, the limit for a key")));
    }
    Ok(text)
}

fn write_new(path: &Path, content: &[u8], is_private: bool) -> Result<(), SignatureError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = is_private;
    let error = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => SignatureError::Exists { path: path.to_owned() },
        _ => SignatureError::Write { path: path.to_owned(), source },
    };
    let mut file = options.open(path).map_err(error)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|source| {
        let _ = fs::remove_file(path);
        error(source)
    })
}
