use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde_json::{Map, Value, json};

use super::{PrivateKey, PublicKey, SignatureError, json};

/// The payload type of the envelopes: an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Largest size of an envelope file, in bytes.
pub const MAX_ENVELOPE: u64 = 1 << 20;

/// Largest number of signatures in an envelope.
pub const MAX_SIGNATURES: usize = 64;

/// Largest number of characters of an untrusted text that errors quote.
const MOST_TOLD: usize = 64;

/// Largest number of key ids that errors list.
const MAX_TOLD_KEYS: usize = 4;

/// The pre-authentication encoding of DSSE v1 (*Signature Definition*), the bytes that are signed: `DSSEv1`, the length
/// of the type, the type, the length of the payload and the payload, separated by spaces. It binds the payload to its
/// type.
///
/// ```
/// use mithridate_runtime::signature::pae;
///
/// // The example of the specification.
/// let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
/// assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
/// ```
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend(payload);
    bytes
}

/// A DSSE envelope of a payload of [`PAYLOAD_TYPE`], with the signatures of any number of keys.
///
/// See the [module](super) for an example.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<EnvelopeSignature>,
    /// The whole JSON document, so that unknown members are kept.
    document: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
struct EnvelopeSignature {
    key_id: Option<String>,
    bytes: Vec<u8>,
}

impl Envelope {
    /// An envelope without signatures.
    pub fn new(payload: Vec<u8>) -> Self {
        let mut document = Map::new();
        document.insert("payloadType".into(), PAYLOAD_TYPE.into());
        document.insert("payload".into(), STANDARD.encode(&payload).into());
        document.insert("signatures".into(), json!([]));
        Self { payload, signatures: Vec::new(), document }
    }

    /// Parses an envelope. Unknown members are ignored and kept, as DSSE requires.
    ///
    /// # Errors
    /// [`SignatureError::Envelope`] if the envelope is too large or not JSON; if a member is duplicated, missing or of
    /// the wrong kind; if base64 (standard or URL-safe) is not canonical; if the payload type is not [`PAYLOAD_TYPE`];
    /// or if there is no signature or more than [`MAX_SIGNATURES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() as u64 > MAX_ENVELOPE {
            return Err(broken(format!("it is larger than {MAX_ENVELOPE} bytes, the limit for an envelope")));
        }
        let document = match json::parse(bytes) {
            Ok(Value::Object(document)) => document,
            Ok(_) => return Err(broken("it is not a DSSE envelope, which is a JSON object")),
            Err(problem) => return Err(broken(problem.to_string())),
        };
        let text = |name: &str| match document.get(name) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(broken(format!("its member '{name}' is not a string"))),
            None => Err(broken(format!("it has no member '{name}', which a DSSE envelope must have"))),
        };
        let payload_type = text("payloadType")?;
        if payload_type != PAYLOAD_TYPE {
            let found: String = payload_type.chars().take(MOST_TOLD).collect();
            return Err(broken(format!("its payload is of type '{found}', and must be of '{PAYLOAD_TYPE}'")));
        }
        let payload = decode("payload", text("payload")?)?;
        let Some(Value::Array(list)) = document.get("signatures") else {
            return Err(broken("it has no list 'signatures'"));
        };
        if list.is_empty() || list.len() > MAX_SIGNATURES {
            let count = list.len();
            return Err(broken(format!("it has {count} signatures, and must have 1 to {MAX_SIGNATURES}")));
        }
        let mut signatures = Vec::new();
        for signature in list {
            let Some(Value::String(sig)) = signature.get("sig") else {
                return Err(broken("one of its signatures has no string 'sig'"));
            };
            let key_id = match signature.get("keyid") {
                None | Some(Value::Null) => None,
                Some(Value::String(key_id)) => Some(key_id.clone()).filter(|key_id| !key_id.is_empty()),
                Some(_) => return Err(broken("the 'keyid' of one of its signatures is not a string")),
            };
            signatures.push(EnvelopeSignature { key_id, bytes: decode("sig", sig)? });
        }
        Ok(Self { payload, signatures, document })
    }

    /// Adds a signature by `key`. Returns false, and changes nothing, if the envelope already has one by this key.
    pub fn sign(&mut self, key: &PrivateKey) -> bool {
        let public = key.public_key();
        if self.signed_by(&public).is_ok() {
            return false;
        }
        let signature = EnvelopeSignature {
            key_id: Some(public.id()),
            bytes: key.sign(&pae(PAYLOAD_TYPE, &self.payload)).into(),
        };
        let written = json!({ "keyid": signature.key_id, "sig": STANDARD.encode(&signature.bytes) });
        if let Some(Value::Array(list)) = self.document.get_mut("signatures") {
            list.push(written);
        }
        self.signatures.push(signature);
        true
    }

    /// Returns the payload if one of the signatures is by `key`. Key ids in the envelope are not used for this.
    ///
    /// # Errors
    /// If no signature is by `key`: [`SignatureError::Broken`] if one has the id of this key, else
    /// [`SignatureError::OtherKey`].
    pub fn signed_by(&self, key: &PublicKey) -> Result<&[u8], SignatureError> {
        let message = pae(PAYLOAD_TYPE, &self.payload);
        if self.signatures.iter().any(|signature| key.has_signed(&message, &signature.bytes)) {
            return Ok(&self.payload);
        }
        let key_id = key.id();
        let signers = || self.signatures.iter().filter_map(|signature| signature.key_id.as_deref());
        if signers().any(|signer| signer == key_id) {
            return Err(SignatureError::Broken { key_id });
        }
        // Key ids are untrusted text: quote only the beginning of a few.
        let told = signers().take(MAX_TOLD_KEYS).map(|signer| signer.chars().take(MOST_TOLD).collect());
        Err(SignatureError::OtherKey { key_id, signers: told.collect() })
    }

    /// The payload without any check. Do not trust it before [`signed_by`](Self::signed_by) has returned it.
    pub fn unchecked_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Number of signatures.
    pub fn signatures(&self) -> usize {
        self.signatures.len()
    }

    /// The envelope as the content of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{}\n", Value::Object(self.document.clone())).into_bytes()
    }
}

fn broken(problem: impl Into<String>) -> SignatureError {
    SignatureError::Envelope(problem.into())
}

/// Decodes canonical base64 in the standard or the URL-safe alphabet; `name` is the member, for errors.
fn decode(name: &str, text: &str) -> Result<Vec<u8>, SignatureError> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| {
        broken(format!("its '{name}' is not base64 in canonical form, with padding and without spaces"))
    })
}

#[cfg(test)]
mod tests;
