//! Ed25519 signatures of evidence files.
//!
//! The hash chain of an [evidence](crate::evidence) file detects accidental changes. It does not prove who made the
//! file: anybody can make another file with a valid hash chain. A signature proves that the owner of a key signed
//! exactly this file.
//!
//! | part | form |
//! | --- | --- |
//! | envelope | [DSSE](https://github.com/secure-systems-lab/dsse) v1, as JSON, payload type [`PAYLOAD_TYPE`] |
//! | payload | an [in-toto Statement v1](https://github.com/in-toto/attestation/tree/main/spec/v1) about the evidence file, see [`statement`] |
//! | signature | Ed25519 (RFC 8032) over the pre-authentication encoding of DSSE, see [`pae`] |
//! | private key | PKCS#8 in PEM (RFC 8410), not encrypted |
//! | public key | `SubjectPublicKeyInfo` in PEM (RFC 8410) |
//! | key id | SHA-256 of the `SubjectPublicKeyInfo` in DER, as 64 hexadecimal digits |
//!
//! Key ids only help to find a key. Verification uses the key that the caller gives and ignores the key ids in the
//! envelope. An envelope may have signatures of several keys; [`verify_run`] requires one by the given key and does not
//! check the others. A signature does not show that the votes came from the model: replay the noise for that.
//!
//! # Example
//!
//! ```
//! use mithridate_runtime::signature::{Envelope, PrivateKey, PublicKey};
//!
//! let key = PrivateKey::generate()?;
//! let mut envelope = Envelope::new(b"{}".to_vec());
//! envelope.sign(&key);
//! // Somebody else who has the public key reads the envelope.
//! let public = PublicKey::from_pem(&key.public_key().to_pem()?)?;
//! let envelope = Envelope::parse(&envelope.to_bytes())?;
//! assert_eq!(envelope.signed_by(&public)?, b"{}");
//! assert!(envelope.signed_by(&PrivateKey::generate()?.public_key()).is_err());
//! # Ok::<(), mithridate_runtime::signature::SignatureError>(())
//! ```

mod envelope;
mod error;
mod json;
mod key;
mod run;
mod statement;

pub use envelope::{Envelope, MAX_ENVELOPE, MAX_SIGNATURES, PAYLOAD_TYPE, pae};
pub use error::SignatureError;
pub use key::{MAX_KEY, PrivateKey, PublicKey};
pub use run::{Added, Signed, sign_run, signature_path, verify_run};
pub use statement::{PREDICATE_TYPE, STATEMENT_TYPE, statement};
