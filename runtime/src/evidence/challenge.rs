//! Challenges: seeds that the party who certifies could not choose.
//!
//! Whoever may choose the seed of the noise can certify with many seeds and publish the best run. A *challenge*
//! prevents that. It is a text that somebody else names or that nobody could foresee, such as the value of a public
//! randomness beacon. The seed is a hash of the challenge and of everything that the certificates depend on, and
//! anybody can recompute it.
//!
//! | part of the hash | fields of the [`Header`] |
//! | --- | --- |
//! | model | SHA-256 of the file and of its files of weights, preprocessing, name of the output read |
//! | data | SHA-256 of images and labels, shape, range, preparation; classes, `skip` and `count` of the input subset (`max` only affects `count`) |
//! | settings | σ, distribution, α, n0, n, stopping rule, the form of confidence sequence (for rules that look at votes), noise mode, simultaneous claim, earlier run of a recertification |
//! | challenge | the text |
//!
//! Nothing else enters the hash: not the engine, the provider, the batch size, the machine, the version of the program,
//! file names, or the division into shards.
//!
//! The hash is SHA-256 over the 23 bytes `mithridate-challenge/1\0` and the encoding of one object with the members
//! `challenge`, `data`, `model`, `noise`, `recertification`, `selection` (the input subset) and `settings`. The
//! encoding of a JSON value is unambiguous and does not depend on the notation of numbers:
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
//! Members that the header omits are omitted here too. The seed is the first eight bytes of the hash, most significant
//! first.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Header;

/// Prefix that separates this hash from hashes for other purposes.
const DOMAIN: &[u8] = b"mithridate-challenge/1\0";

/// Largest length of a challenge, in bytes.
const MAX_CHALLENGE: usize = 1024;

/// Settings that are top-level members of a header.
const SETTINGS: [&str; 8] =
    ["sigma", "distribution", "alpha", "n0", "n", "stopping_rule", "sequence", "simultaneous"];

/// Checks a challenge: 1 to 1024 ASCII letters, digits, punctuation characters and single spaces, without a space at
/// either end. So two texts that look alike are equal, and nobody can vary invisible characters to get another seed.
///
/// # Errors
/// A message for the user.
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
        return Err("a challenge may contain only ASCII letters, digits, punctuation and single spaces between them, so that \
                    texts that look alike are equal"
            .into());
    }
    Ok(text.to_owned())
}

/// The seed that follows from `challenge` for a run with `header`. The seed and the challenge in the header are ignored.
///
/// # Errors
/// If the header can't be written as JSON.
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
    // The form of the confidence sequence matters only to stopping rules that look at votes.
    let looks = header.settings.stop.looks_at_votes();
    let header = serde_json::to_value(header)?;
    let r#use = picked(&header["model"]["use"], &["preprocessing", "output"]);
    let mut model = picked(&header["model"], &["sha256", "external"]);
    model.insert("use".into(), Value::Object(r#use));
    let mut document = picked(&header, &["recertification"]);
    // `max` only affects `count`.
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

/// The members of an object with the given names, if it has them.
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

/// For a run with a challenge, checks that its seed is the one that follows from the challenge.
pub(super) fn check(header: &Header, mut add: impl FnMut(String)) {
    let Some(challenge) = &header.challenge else { return };
    if let Err(problem) = parse_challenge(challenge) {
        add(problem);
    }
    match challenge_seed(header, challenge) {
        Ok(seed) if seed == header.settings.seed => {}
        Ok(seed) => add(format!(
            "its seed is {} and must be {seed} for its challenge: the seed was chosen, or the model, data, settings or \
             challenge were changed",
            header.settings.seed
        )),
        Err(error) => add(error.to_string()),
    }
}

/// A sentence for the user about the origin of a run's seed, and whether the seed could have been chosen.
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
            "the seed follows from model, data, settings and the challenge '{challenge}'; this rules out a chosen seed if \
             somebody else named the challenge after model, data and settings were fixed"
        ),
        None => "the maker of the run drew or chose the seed, and could have tried several seeds to keep the best run; \
                 to test for this, certify inputs anew with `fresh_seed`; to rule it out, ask for a run made with \
                 `challenge`"
            .into(),
    }
}

#[cfg(test)]
mod tests;
