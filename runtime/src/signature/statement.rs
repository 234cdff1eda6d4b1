use serde_json::{Value, json};

use super::{SignatureError, json};
use crate::{
    data::sha256,
    evidence::{Evidence, Record},
    statistics::mean_down,
};

/// The type of an in-toto statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The type of what the statement says of its subject.
pub const PREDICATE_TYPE: &str = "urn:mithridate:smoothing-certificates:v1";

/// Most differences that are told.
const MOST_TOLD: usize = 5;

/// The in-toto statement about a run.
///
/// `subject` is the evidence file: its `name` when it was signed and the SHA-256 of its `bytes`. `predicate` repeats, in the
/// names of the evidence file, what a reader without that file wants to know:
///
/// | member | holds |
/// | --- | --- |
/// | `model` | SHA-256 of the file and of its files of weights, number of classes, how it was used |
/// | `data` | SHA-256 of images and labels (empty without labels), shape, preparation, the selection of inputs |
/// | `settings` | σ, α, n0, n, stopping rule, sequence, distribution and mode of the noise, seed, challenge, the claim about all inputs, which part of a divided run it is, the run that a recertification rests on |
/// | `result` | last value of the hash chain, numbers of inputs, certificates and abstentions, and the average certified radius in the norm of the noise (null without labels) |
pub fn statement(name: &str, bytes: &[u8], evidence: &Evidence) -> Value {
    let Evidence { header, records, footer } = evidence;
    let settings = &header.settings;
    let is_labelled = !header.data.labels_sha256.is_empty();
    json!({
        "_type": STATEMENT_TYPE,
        "subject": [{ "name": name, "digest": { "sha256": sha256(bytes) } }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "model": {
                "file": header.model.file,
                "sha256": header.model.sha256,
                "classes": header.model.classes,
                "external": header.model.external,
                "use": header.model.r#use,
            },
            "data": {
                "images_sha256": header.data.images_sha256,
                "labels_sha256": header.data.labels_sha256,
                "shape": header.data.shape,
                "preparation": header.data.preparation,
                "selection": header.subset,
            },
            "settings": {
                "sigma": settings.sigma,
                "alpha": settings.alpha,
                "n0": settings.n0,
                "n": settings.n,
                "stopping_rule": settings.stop,
                "sequence": settings.sequence,
                "distribution": settings.distribution,
                "noise_mode": header.noise.mode,
                "seed": settings.seed,
                "challenge": header.challenge,
                "simultaneous": header.simultaneous,
                "shard": header.shard,
                "recertification": header.recertification,
            },
            "result": {
                "chain": footer.chain,
                "inputs": footer.inputs,
                "certified": footer.certified,
                "abstained": footer.abstained,
                "acr": is_labelled.then(|| mean_down(records.iter().map(Record::right_radius))),
            },
        },
    })
}

/// Compares a signed statement with a run, and returns the name that the run was signed under.
///
/// # Errors
/// [`SignatureError::Envelope`] for what is no statement, [`SignatureError::OtherRun`] with all that differs, members that
/// a statement does not have included.
pub(super) fn compare(payload: &[u8], bytes: &[u8], evidence: &Evidence) -> Result<String, SignatureError> {
    let found = json::parse(payload)
        .map_err(|error| SignatureError::Envelope(format!("its payload is no in-toto statement: {error}")))?;
    let name = found["subject"][0]["name"].as_str().unwrap_or_default().to_owned();
    // A file may be renamed: what its name was is said, and not compared.
    let mut differences = json::differences(&found, &statement(&name, bytes, evidence));
    if differences.is_empty() {
        return Ok(name);
    }
    let more = differences.len().saturating_sub(MOST_TOLD);
    differences.truncate(MOST_TOLD);
    if more > 0 {
        differences.push(format!("{more} other differences"));
    }
    Err(SignatureError::OtherRun { differences })
}
