use serde_json::{Value, json};

use super::{SignatureError, json};
use crate::{
    data::sha256,
    evidence::{Evidence, Record},
    statistics::mean_down,
};

/// The type of an in-toto statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The predicate type: the kind of content of the statement's `predicate`.
pub const PREDICATE_TYPE: &str = "urn:mithridate:smoothing-certificates:v1";

/// Largest number of differences that errors list.
const MOST_TOLD: usize = 5;

/// Builds the in-toto statement about a run.
///
/// `subject` is the evidence file: its `name` when it was signed and the SHA-256 of its `bytes`. `predicate` repeats
/// the most important content of the file, for readers who do not have it. Its members have the same names as in the
/// evidence file, except `selection`, which is the input subset:
///
/// | member | content |
/// | --- | --- |
/// | `model` | SHA-256 of the file and of its files of weights, number of classes, preprocessing and output used |
/// | `data` | SHA-256 of images and labels (empty without labels), shape, preparation, input subset |
/// | `settings` | σ, α, n0, n, stopping rule, sequence, distribution and mode of the noise, seed, challenge, simultaneous claim, shard, the earlier run of a recertification |
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

/// Compares a signed statement with a run. Returns the name of the evidence file when it was signed.
///
/// # Errors
/// [`SignatureError::Envelope`] if `payload` is not a statement, [`SignatureError::OtherRun`] with the differences if
/// any field differs. Unknown members count as differences.
pub(super) fn compare(payload: &[u8], bytes: &[u8], evidence: &Evidence) -> Result<String, SignatureError> {
    let found = json::parse(payload).map_err(|error| {
        SignatureError::Envelope(format!("its payload is not an in-toto statement: {error}"))
    })?;
    let name = found["subject"][0]["name"].as_str().unwrap_or_default().to_owned();
    // The file may have been renamed, so its name is returned and not compared.
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
