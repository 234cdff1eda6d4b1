use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde_json::{Map, Value, json};

use super::{PrivateKey, PublicKey, SignatureError, json};

/// The type of what is signed: an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Most bytes of a file with an envelope.
pub const MAX_ENVELOPE: u64 = 1 << 20;

/// Most signatures in an envelope.
pub const MAX_SIGNATURES: usize = 64;

/// Most characters that are told of a text in an envelope.
const MOST_TOLD: usize = 64;

/// Most keys that are told of.
const MAX_TOLD_KEYS: usize = 4;

/// The bytes that are signed: `DSSEv1`, the length of the type, the type, the length of the payload and the payload, with a
/// space between each. By DSSE v1, *Signature Definition*; so no payload can pass for one of another type.
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
    /// The document: members that are not known stay in it.
    document: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
struct EnvelopeSignature {
    key_id: Option<String>,
    bytes: Vec<u8>,
}

impl Envelope {
    /// An envelope that nobody has signed yet.
    pub fn new(payload: Vec<u8>) -> Self {
        let mut document = Map::new();
        document.insert("payloadType".into(), PAYLOAD_TYPE.into());
        document.insert("payload".into(), STANDARD.encode(&payload).into());
        document.insert("signatures".into(), json!([]));
        Self { payload, signatures: Vec::new(), document }
    }

    /// Reads an envelope. Members that DSSE does not name are left alone, as it asks.
    ///
    /// # Errors
    /// [`SignatureError::Envelope`]: too large, no JSON, a member twice, missing or of another kind, base64 that is not
    /// canonical (standard or URL-safe), another type of payload, no signature or more than [`MAX_SIGNATURES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() as u64 > MAX_ENVELOPE {
            return Err(broken(format!(
                "it is larger than the {MAX_ENVELOPE} bytes that an envelope may have"
            )));
        }
        let document = match json::parse(bytes) {
            Ok(Value::Object(document)) => document,
            Ok(_) => return Err(broken("it is no DSSE envelope, which is a JSON object")),
            Err(problem) => return Err(broken(problem.to_string())),
        };
        let text = |name: &str| match document.get(name) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(broken(format!("its member '{name}' is no text"))),
            None => Err(broken(format!("it has no member '{name}', as a DSSE envelope must"))),
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
                return Err(broken("one of its signatures has no text 'sig'"));
            };
            let key_id = match signature.get("keyid") {
                None | Some(Value::Null) => None,
                Some(Value::String(key_id)) => Some(key_id.clone()).filter(|key_id| !key_id.is_empty()),
                Some(_) => return Err(broken("the 'keyid' of one of its signatures is no text")),
            };
            signatures.push(EnvelopeSignature { key_id, bytes: decode("sig", sig)? });
        }
        Ok(Self { payload, signatures, document })
    }

    /// Adds the signature of a key; false if it is there already. Other signatures stay.
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

    /// The payload, if this key signed it. Which keys the signatures name has no part in it.
    ///
    /// # Errors
    /// [`SignatureError::Broken`] if a signature names the key and is not its, [`SignatureError::OtherKey`] if none does.
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
        // Somebody else wrote them.
        let told = signers().take(MAX_TOLD_KEYS).map(|signer| signer.chars().take(MOST_TOLD).collect());
        Err(SignatureError::OtherKey { key_id, signers: told.collect() })
    }

    /// What the signatures are over. Nothing of it is to be believed before [`signed_by`](Self::signed_by).
    pub fn unchecked_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Number of signatures.
    pub fn signatures(&self) -> usize {
        self.signatures.len()
    }

    /// The envelope as a file holds it.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{}\n", Value::Object(self.document.clone())).into_bytes()
    }
}

fn broken(problem: impl Into<String>) -> SignatureError {
    SignatureError::Envelope(problem.into())
}

/// Bytes from base64, in the one form that they have in the standard alphabet or the one for addresses.
fn decode(name: &str, text: &str) -> Result<Vec<u8>, SignatureError> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| {
        broken(format!("its '{name}' is not base64 in canonical form, with padding and without spaces"))
    })
}

#[cfg(test)]
mod tests;
