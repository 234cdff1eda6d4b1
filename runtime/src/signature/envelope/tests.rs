use ed25519_dalek::{Signer, SigningKey, pkcs8::DecodePrivateKey};

use super::*;

/// Made with Python; see `dsse.py` beside it. The keys are those of RFC 8410, section 10.
const RECORDED: &[u8] = include_bytes!("../../../tests/fixtures/dsse/envelope.json");
const PAYLOAD: &[u8] = include_bytes!("../../../tests/fixtures/dsse/payload.json");
const PRIVATE: &str = include_str!("../../../tests/fixtures/dsse/private.pem");
const PRIVATE_2: &str = include_str!("../../../tests/fixtures/dsse/private-2.pem");
const PUBLIC: &str = include_str!("../../../tests/fixtures/dsse/public.pem");
/// `openssl pkey -pubin -in public.pem -outform DER | sha256sum`
const KEY_ID: &str = "a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f";

fn private() -> PrivateKey {
    PrivateKey::from_pem(PRIVATE).unwrap()
}

fn public() -> PublicKey {
    PublicKey::from_pem(PUBLIC).unwrap()
}

/// The recorded envelope with a member replaced.
fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut document: Value = serde_json::from_slice(RECORDED).unwrap();
    document[name] = value.into();
    document
}

fn refused(document: &str, what: &str) {
    let error = Envelope::parse(document.as_bytes()).unwrap_err().to_string();
    assert!(error.contains(what) && !error.contains('\n'), "{error}");
}

#[test]
fn keys_and_signatures_are_those_of_another_implementation() {
    assert_eq!(private().public_key(), public());
    // Also a key in PKCS#8 version 2, with the public key and an attribute.
    assert_eq!(PrivateKey::from_pem(PRIVATE_2).unwrap().public_key(), public());
    assert_eq!(
        (private().to_pem().unwrap().as_str(), public().to_pem().unwrap().as_str()),
        (PRIVATE, PUBLIC)
    );
    assert_eq!(public().id(), KEY_ID);
    let envelope = Envelope::parse(RECORDED).unwrap();
    assert_eq!(envelope.signed_by(&public()).unwrap(), PAYLOAD);
    let mut ours = Envelope::new(PAYLOAD.to_vec());
    assert!(ours.sign(&private()));
    assert_eq!(serde_json::from_slice::<Value>(&ours.to_bytes()).unwrap(), with("payloadType", PAYLOAD_TYPE));
}

#[test]
fn whatever_is_changed_the_payload_is_the_signed_one_or_none() {
    let text = String::from_utf8(RECORDED.to_vec()).unwrap();
    let mut accepted = 0;
    for place in 0..text.len() {
        for change in [1_u8, 2, 4, 8, 16, 32, 64] {
            let mut changed = RECORDED.to_vec();
            changed[place] ^= change;
            let Ok(envelope) = Envelope::parse(&changed) else { continue };
            if let Ok(payload) = envelope.signed_by(&public()) {
                assert_eq!(payload, PAYLOAD, "byte {place}");
                accepted += 1;
            }
        }
        assert!(
            Envelope::parse(&RECORDED[..place]).is_err() || place + 1 >= text.len(),
            "cut off at {place}"
        );
    }
    // Key ids and white space are not signed, so changes there need not be found.
    assert!(accepted > 200 && accepted < 64 * 7 + 200, "{accepted}");
}

#[test]
fn a_key_that_did_not_sign_is_told_from_a_false_signature() {
    let other = PrivateKey::generate().unwrap();
    let envelope = Envelope::parse(RECORDED).unwrap();
    let error = envelope.signed_by(&other.public_key()).unwrap_err();
    let expected =
        format!("it contains no signature by key {}; its signatures name {KEY_ID}", other.public_key().id());
    assert_eq!(error.to_string(), expected);
    let changed = with("payload", STANDARD.encode("{}")).to_string();
    let error = Envelope::parse(changed.as_bytes()).unwrap().signed_by(&public()).unwrap_err();
    assert!(matches!(&error, SignatureError::Broken { key_id } if key_id == KEY_ID), "{error}");
    // Verification does not depend on the key id.
    let sig = with("a", 1)["signatures"][0]["sig"].clone();
    for list in
        [json!([{ "sig": sig }]), json!([{ "sig": sig, "keyid": "another" }, { "sig": "", "keyid": KEY_ID }])]
    {
        let envelope = Envelope::parse(with("signatures", list).to_string().as_bytes()).unwrap();
        assert_eq!(envelope.signed_by(&public()).unwrap(), PAYLOAD);
    }
}

/// S + L in place of S: the second form of a signature that lenient checks accept.
#[test]
fn a_second_form_of_a_signature_is_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let document: Value = serde_json::from_slice(RECORDED).unwrap();
    let mut bytes = STANDARD.decode(document["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    let changed = with("signatures", json!([{ "sig": STANDARD.encode(bytes) }])).to_string();
    assert!(Envelope::parse(changed.as_bytes()).unwrap().signed_by(&public()).is_err());
}

#[test]
fn keys_that_anybody_signs_for_are_refused() {
    // y = 1, the neutral element; y = 0, a point of order 4.
    for y in [1_u8, 0] {
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, y];
        der.extend([0; 31]);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        assert!(PublicKey::from_pem(&pem).unwrap_err().to_string().contains("small order"));
    }
}

#[test]
fn what_is_no_key_is_told_why() {
    let error = |result: Result<(), SignatureError>| result.unwrap_err().to_string();
    let private = |text: &str| error(PrivateKey::from_pem(text).map(|_| ()));
    let public = |text: &str| error(PublicKey::from_pem(text).map(|_| ()));
    assert!(private(PUBLIC).contains("it is a public key"));
    assert!(public(PRIVATE).contains("it is a private key"));
    assert!(private(&PRIVATE.replace(" PRIVATE", " ENCRYPTED PRIVATE")).contains("it is encrypted"));
    // A key of another elliptic curve, and a key whose public half does not belong to its private half.
    for text in
        ["", "text", &PRIVATE.replace("K2VwB", "K2VxB"), &PRIVATE_2.replace("Z9w7", "Z9w8"), &PRIVATE[..90]]
    {
        assert!(private(text).contains("not an Ed25519 private key"), "{text}");
    }
    for text in ["", &PUBLIC.replace("K2VwA", "K2VxA"), &PUBLIC[..60]] {
        assert!(public(text).contains("not an Ed25519 public key"), "{text}");
    }
}

#[test]
fn one_type_can_not_pass_for_another() {
    let key = SigningKey::from_pkcs8_pem(PRIVATE).unwrap();
    let signed = |message: &[u8]| {
        let list = json!([{ "keyid": KEY_ID, "sig": STANDARD.encode(key.sign(message).to_bytes()) }]);
        Envelope::parse(with("signatures", list).to_string().as_bytes()).unwrap().signed_by(&public()).is_ok()
    };
    assert!(signed(&pae(PAYLOAD_TYPE, PAYLOAD)));
    // Signatures of the payload without the encoding, of another type, or with the boundary between type and payload
    // moved.
    let moved = [b"DSSEv1 28 application/vnd.in-toto+json".as_slice(), PAYLOAD].concat();
    for message in [PAYLOAD.to_vec(), pae("application/json", PAYLOAD), pae("", PAYLOAD), moved] {
        assert!(!signed(&message));
    }
    refused(
        &with("payloadType", "application/json").to_string(),
        "of type 'application/json', and must be of",
    );
    refused(&with("payloadType", "application/vnd.in-toto+JSON").to_string(), "must be of");
    refused(&with("payloadType", "x".repeat(100_000)).to_string(), "xxx', and must be of");
}

#[test]
fn base64_has_one_form() {
    let document = with("a", 1);
    let (payload, sig) =
        (document["payload"].as_str().unwrap(), document["signatures"][0]["sig"].as_str().unwrap());
    assert!(payload.ends_with("fX0=") && sig.ends_with("dBA=="));
    let sig_of = |sig: &str| with("signatures", json!([{ "sig": sig }])).to_string();
    for changed in
        [payload.replace("fX0=", "fX1="), payload.replace('=', ""), format!("{payload}\n"), "ÿ".into()]
    {
        refused(&with("payload", changed).to_string(), "its 'payload' is not base64 in canonical form");
    }
    for changed in [sig.replace("dBA==", "dBB=="), sig.replace("==", "="), format!(" {sig}")] {
        refused(&sig_of(&changed), "its 'sig' is not base64 in canonical form");
    }
    // DSSE allows the URL-safe alphabet.
    let bytes = STANDARD.decode(sig).unwrap();
    let envelope = Envelope::parse(sig_of(&URL_SAFE.encode(bytes)).as_bytes()).unwrap();
    assert_eq!(envelope.signed_by(&public()).unwrap(), PAYLOAD);
}

#[test]
fn what_is_no_envelope_is_told_why() {
    let text = str::from_utf8(RECORDED).unwrap();
    refused(
        &text.replacen("\"payload\"", "\"payload\":\"\",\"payload\"", 1),
        "the member 'payload' occurs twice",
    );
    refused(&text.replacen("\"sig\"", "\"sig\":\"\",\"sig\"", 1), "the member 'sig' occurs twice");
    refused(&text.replacen("\"payload\"", "\"load\"", 1), "it has no member 'payload'");
    refused(&with("payload", 1).to_string(), "its member 'payload' is not a string");
    refused(&with("signatures", 1).to_string(), "it has no list 'signatures'");
    refused(&with("signatures", json!([])).to_string(), "it has 0 signatures");
    refused(&with("signatures", vec![json!({ "sig": "" }); 65]).to_string(), "it has 65 signatures");
    refused(&with("signatures", json!([1])).to_string(), "has no string 'sig'");
    refused(&with("signatures", json!([{ "sig": "", "keyid": 1 }])).to_string(), "is not a string");
    refused(&with("more", "x".repeat(1 << 20)).to_string(), "larger than 1048576 bytes");
    refused("[]", "not a DSSE envelope");
    refused("", "EOF");
    refused(&"[".repeat(1 << 19), "recursion limit");
}

#[test]
fn signatures_are_added_and_nothing_is_lost() {
    let (first, second) = (private(), PrivateKey::generate().unwrap());
    let document = with("note", json!({ "of": "somebody" })).to_string();
    let mut envelope = Envelope::parse(document.as_bytes()).unwrap();
    assert!(!envelope.sign(&first), "it is there");
    assert!(envelope.sign(&second) && !envelope.sign(&second));
    let envelope = Envelope::parse(&envelope.to_bytes()).unwrap();
    assert_eq!((envelope.signatures(), &envelope.document["note"]["of"]), (2, &json!("somebody")));
    for key in [first, second] {
        assert_eq!(envelope.signed_by(&key.public_key()).unwrap(), PAYLOAD);
    }
}
