//! Seeds that nobody could choose.
//!
//! A party that may choose the seed of its noise can certify under many and show the best run. A *challenge* ends that: a
//! text that somebody else names, or that nobody could foresee, such as the value of a public randomness beacon. The seed is
//! then a hash of the challenge and of everything that the certificates depend on, and anybody can compute it again.
//!
//! | part of the hash | fields of the [`Header`] |
//! | --- | --- |
//! | model | SHA-256 of the file and of its files of weights, preprocessing, the output read |
//! | data | SHA-256 of images and labels, shape, range, preparation; of the selection of inputs its classes, `skip` and `count` (`max` does nothing more than limit that) |
//! | settings | σ, distribution, α, n0, n, stopping rule, for rules that look at votes the sequence, mode of the noise, the claim about all inputs, the run that a recertification rests on |
//! | challenge | the text |
//!
//! Nothing else has a part in it: not the engine, the provider, the batch size, the machine, the version of the program, names
//! of files, or how a run is divided.
//!
//! The hash is SHA-256 over the 23 bytes `mithridate-challenge/1\0` and the encoding of one object with the members `challenge`,
//! `data`, `model`, `noise`, `recertification`, `selection` and `settings`. The encoding of a JSON value is unambiguous and needs
//! no rule for how a number is written:
//!
//! | value | bytes |
//! | --- | --- |
//! | null, true, false | `n`, `t`, `f` |
//! | whole number | `i`, its decimal digits, `;` |
//! | number written with a point or an exponent | `d`, the 16 hexadecimal digits of the IEEE 754 double, `;` |
//! | text | `s`, the number of its bytes in UTF-8, `:`, the bytes |
//! | list | `l`, the number of values, `:`, the values |
//! | object | `m`, the number of members, `:`, for each member in the order of the bytes of its name the name as text and the value |
//!
//! Members that the header leaves out are left out here too. The seed is the first eight bytes of the hash, the highest first.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Header;

/// What separates this hash from every other.
const DOMAIN: &[u8] = b"mithridate-challenge/1\0";

/// Most bytes of a challenge.
const MAX_CHALLENGE: usize = 1024;

/// Settings of a header that stand at its top.
const SETTINGS: [&str; 8] =
    ["sigma", "distribution", "alpha", "n0", "n", "stopping_rule", "sequence", "simultaneous"];

/// Reads a challenge: 1 to 1024 letters, digits, punctuation and single spaces of ASCII, without space at either end. So two
/// texts that look alike are the same, and nobody can try invisible characters until a seed serves.
///
/// # Errors
/// A sentence for the user.
///
/// ```
/// use mithridate_runtime::evidence::parse_challenge;
///
/// assert_eq!(parse_challenge("beacon 5213").as_deref(), Ok("beacon 5213"));
/// assert!(parse_challenge(" beacon").is_err() && parse_challenge("").is_err());
/// ```
pub fn parse_challenge(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_CHALLENGE {
        return Err(format!("a challenge has 1 to {MAX_CHALLENGE} bytes, and this one has {}", text.len()));
    }
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if !is_plain || text.trim() != text || text.contains("  ") {
        return Err("a challenge has letters, digits and punctuation of ASCII and single spaces between them, so that texts \
                    that look alike are the same"
            .into());
    }
    Ok(text.to_owned())
}

/// The seed of a run with this header and this challenge, whatever seed and challenge the header has.
///
/// # Errors
/// If the header is no JSON.
///
/// # Example
/// ```no_run
/// use std::path::Path;
///
/// use mithridate_runtime::evidence::{challenge_seed, read_evidence};
///
/// let header = read_evidence(Path::new("run.jsonl"))?.header;
/// if let Some(challenge) = &header.challenge {
///     assert_eq!(header.settings.seed, challenge_seed(&header, challenge)?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn challenge_seed(header: &Header, challenge: &str) -> serde_json::Result<u64> {
    // The form of bounds that hold at every moment matters to rules that look at votes, and to no others.
    let looks = header.settings.stop.looks_at_votes();
    let header = serde_json::to_value(header)?;
    let r#use = picked(&header["model"]["use"], &["preprocessing", "output"]);
    let mut model = picked(&header["model"], &["sha256", "external"]);
    model.insert("use".into(), Value::Object(r#use));
    let mut document = picked(&header, &["recertification"]);
    // `max` is what it makes of the count.
    document.insert(
        "selection".into(),
        Value::Object(picked(&header["selection"], &["classes", "skip", "count"])),
    );
    document.insert("challenge".into(), challenge.into());
    document.insert("model".into(), Value::Object(model));
    let data = ["images_sha256", "labels_sha256", "shape", "range", "preparation"];
    document.insert("data".into(), Value::Object(picked(&header["data"], &data)));
    let mut settings = picked(&header, &SETTINGS);
    if !looks {
        settings.remove("sequence");
    }
    document.insert("settings".into(), Value::Object(settings));
    document.insert("noise".into(), json!({ "mode": header["noise"]["mode"] }));
    let mut bytes = DOMAIN.to_vec();
    encode(&Value::Object(document), &mut bytes);
    let hash = Sha256::digest(&bytes);
    Ok(hash.iter().take(8).fold(0, |seed, &byte| seed << 8 | u64::from(byte)))
}

/// The members of an object with these names, as far as it has them.
fn picked(value: &Value, names: &[&str]) -> Map<String, Value> {
    let member = |name: &&str| Some(((*name).to_owned(), value.get(name)?.clone()));
    names.iter().filter_map(member).collect()
}

fn encode(value: &Value, bytes: &mut Vec<u8>) {
    let text = |text: &str, bytes: &mut Vec<u8>| {
        bytes.extend(format!("s{}:", text.len()).bytes());
        bytes.extend(text.bytes());
    };
    match value {
        Value::Null => bytes.push(b'n'),
        Value::Bool(true) => bytes.push(b't'),
        Value::Bool(false) => bytes.push(b'f'),
        Value::Number(number) => {
            let written = match number.as_f64() {
                Some(real) if number.is_f64() => format!("d{:016x};", real.to_bits()),
                _ => format!("i{number};"),
            };
            bytes.extend(written.bytes());
        }
        Value::String(content) => text(content, bytes),
        Value::Array(values) => {
            bytes.extend(format!("l{}:", values.len()).bytes());
            for value in values {
                encode(value, bytes);
            }
        }
        Value::Object(map) => {
            bytes.extend(format!("m{}:", map.len()).bytes());
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|&(name, _)| name);
            for (name, value) in members {
                text(name, bytes);
                encode(value, bytes);
            }
        }
    }
}

/// Compares the seed of a run that names a challenge with the one that follows from it.
pub(super) fn check(header: &Header, mut add: impl FnMut(String)) {
    let Some(challenge) = &header.challenge else { return };
    if let Err(problem) = parse_challenge(challenge) {
        add(problem);
    }
    match challenge_seed(header, challenge) {
        Ok(seed) if seed == header.settings.seed => {}
        Ok(seed) => add(format!(
            "its seed is {} and must be {seed} for its challenge: the seed was chosen, or the model, data, settings or \
             challenge are others",
            header.settings.seed
        )),
        Err(error) => add(error.to_string()),
    }
}

/// A sentence that says where the seed of a run comes from, and what that leaves open.
///
/// ```no_run
/// # use std::path::Path;
/// use mithridate_runtime::evidence::{read_evidence, seed_origin};
///
/// println!("{}", seed_origin(&read_evidence(Path::new("run.jsonl"))?.header));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn seed_origin(header: &Header) -> String {
    match &header.challenge {
        Some(challenge) => format!(
            "the seed follows from model, data, settings and the challenge '{challenge}'; that rules out chosen noise if the \
             challenge was named by somebody else after these were fixed"
        ),
        None => "the seed was drawn or given by who made the run: seeds could have been tried until one certified; \
                 `fresh_seed` certifies inputs anew, and a run made with `challenge` has no seed to choose"
            .into(),
    }
}

#[cfg(test)]
mod tests;
