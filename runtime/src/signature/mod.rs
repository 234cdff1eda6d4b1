//! Who vouches for a run: Ed25519 signatures over what a run says.
//!
//! The hash chain of an [evidence](crate::evidence) file shows that nothing in it was changed by accident. Anybody can make a
//! file anew, with good hashes. A signature shows that the holder of a key signed this very file.
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
//! Key ids only help to find a key: which signature counts is decided by the key that is given, never by what an envelope says.
//! Envelopes may carry signatures of several keys; [`verify_run`] asks for one of the key given and says nothing of others.
//! A signature says nothing about whether the votes are the model's own: that is for a replay.
//!
//! # Example
//!
//! ```
//! use mithridate_runtime::signature::{Envelope, PrivateKey, PublicKey};
//!
//! let key = PrivateKey::generate()?;
//! let mut envelope = Envelope::new(b"{}".to_vec());
//! envelope.sign(&key);
//! // As somebody else reads it, who has the public key.
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
