//! What a fuzz target does with its bytes: one function a target of `fuzz`, so that an ordinary test can replay what was
//! found. None may panic, hang, or take memory out of proportion to its input, whatever it is given.

use std::{fs, path::Path};

use mithridate_onnx::{
    ModelFile, ModelMetadata, check_known_fields, find_normalization, from_bytes, products, to_bytes,
    to_float16, to_int8, with_symbolic_batch,
};
use mithridate_runtime::{
    audit::{Audit, Run, TableSettings, compare, summarize, to_html, to_text},
    data::{Dataset, Preparation},
    evidence::{
        KeptVotes, Record, ResumableRun, VotesWriter, parse_evidence, parse_table, read_evidence, verify,
    },
    signature::{Envelope, PrivateKey, PublicKey},
    statistics::Norm,
    units::Alpha,
};

/// Reads a model, sums it up, and writes it; what was written reads back as the same model.
pub fn onnx(bytes: &[u8]) {
    let Ok(model) = from_bytes(bytes) else { return };
    let _ = mithridate_onnx::summarize(&model);
    let _ = ModelMetadata::of(&model);
    let written = to_bytes(&model);
    let again = from_bytes(&written).expect("a model that was read and written can be read");
    assert_eq!(to_bytes(&again), written);
}

/// Everything that rewrites a model, or finds out about one; what was rewritten can be read.
pub fn rewriting(bytes: &[u8]) {
    let Ok(model) = from_bytes(bytes) else { return };
    let _ = (check_known_fields(bytes), products(&model));
    let input =
        model.graph.as_ref().and_then(|graph| graph.input.first()?.name.as_deref()).unwrap_or_default();
    let _ = find_normalization(&model, input);
    let rewritten =
        [with_symbolic_batch(&model, input), to_float16(&model), to_int8(&model, |_| Some([-1.0, 2.0]))];
    for rewritten in rewritten.into_iter().flatten() {
        assert!(from_bytes(&to_bytes(&rewritten)).is_ok());
    }
}

/// A model and a file of weights beside it, `weights.bin`; the first two bytes are the length of the model's file.
pub fn external(bytes: &[u8]) {
    let (model, weights) = two(bytes);
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("model.onnx");
    fs::write(&path, model).expect("a temporary file");
    fs::write(folder.path().join("weights.bin"), weights).expect("a temporary file");
    let Ok(file) = ModelFile::read(&path) else { return };
    assert!(file.external.iter().all(|external| external.bytes == weights));
}

/// IDX images and labels; the first two bytes are the length of the images' file.
pub fn idx(bytes: &[u8]) {
    let (images, labels) = two(bytes);
    check(Dataset::parse_idx(images, labels));
}

/// Records of CIFAR-10 or CIFAR-100.
pub fn cifar(bytes: &[u8]) {
    check(Dataset::parse_cifar(bytes));
}

/// An npz file.
pub fn npz(bytes: &[u8]) {
    check(Dataset::parse_npz(bytes));
}

/// An npy file of images and one of labels; the first two bytes are the length of the images' file.
pub fn npy(bytes: &[u8]) {
    let (images, labels) = two(bytes);
    check(Dataset::parse_npy(images, labels));
}

/// A PNG or JPEG image; the first byte chooses what is done with it.
pub fn image(bytes: &[u8]) {
    let Some((&choice, file)) = bytes.split_first() else { return };
    let side = |bits: u8| [None, Some(1), Some(7), Some(64)][usize::from(bits & 3)];
    check(Dataset::parse_image(file, 1, Preparation { resize: side(choice), crop: side(choice >> 2) }));
}

/// A file of signatures or a key; what is signed and written again holds the same payload.
pub fn signature(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (PrivateKey::from_pem(text), PublicKey::from_pem(text));
    }
    let Ok(mut envelope) = Envelope::parse(bytes) else { return };
    let key = PrivateKey::from_pem(include_str!("../../../fuzz/seeds/signature/private.pem")).expect("a key");
    envelope.sign(&key);
    assert_eq!(envelope.signed_by(&key.public_key()).expect("signed"), envelope.unchecked_payload());
    // It may hold one signature too many now.
    if let Ok(again) = Envelope::parse(&envelope.to_bytes()) {
        assert_eq!(again, envelope);
    }
}

/// An evidence file, finished or to be resumed, and its audit.
pub fn evidence(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = parse_evidence(Path::new("run"), &text);
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("run.jsonl");
    fs::write(&path, bytes).expect("a temporary file");
    if let Ok(found) = verify(&path) {
        assert!(!found.holds() || read_evidence(&path).is_ok());
    }
    let Ok(earlier) = ResumableRun::read(&path) else { return };
    let Some(header) = earlier.header().cloned() else { return };
    if earlier.is_finished(&header).is_ok_and(|finished| !finished) {
        let (writer, _) = earlier.resume(&header).expect("a run can be resumed with its own header");
        writer.finish().expect("a run that can be resumed can be finished");
    }
    // Finished here, so that its hash and totals are right whatever it holds.
    let Ok(run) = read_evidence(&path) else { return };
    let norm = run.header.settings.distribution.norm();
    let run = Run::of_evidence("run", &run);
    audit_of(&run, norm);
}

/// A file of kept votes: read input by input, and gone on with after the votes of one record.
pub fn votes(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("run.jsonl.votes");
    fs::write(&path, bytes).expect("a temporary file");
    // The index and the number of votes of the first input, as far as they are there.
    let number = |at: usize| {
        bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    let (index, samples) = (number(8), number(16).min(1 << 16));
    let record = |hash: &str| -> Record {
        let text = format!(
            r#"{{"index":{index},"class":0,"selection":[1],"estimation":[1],"samples":{samples},"p_lower":0.0,
            "radius":0.0,"abstained":true,"votes_sha256":{hash},"seconds":0.0}}"#
        );
        serde_json::from_str(&text).expect("a record")
    };
    if let Ok(mut kept) = KeptVotes::open(&path) {
        for hash in ["null", "\"\"", "\"00\""] {
            assert!(kept.of(&record(hash)).is_err(), "votes without their hash");
        }
        let _ = kept.is_of(&[]);
    }
    if let Ok((mut writer, done)) = VotesWriter::resume(&path, &[record("\"00\"")]) {
        assert_eq!(done, 0, "votes without their hash");
        assert!(writer.add(index, &[0, 1]).is_ok());
        assert!(KeptVotes::open(&path).expect("votes that were written").of(&record("null")).is_err());
    }
}

/// A table of results and its audit.
pub fn table(bytes: &[u8]) {
    let Ok(table) = parse_table(&String::from_utf8_lossy(bytes)) else { return };
    let sigma = "0.25".parse().ok();
    let settings = TableSettings { sigma, alpha: Alpha::USUAL, n: 100_000 };
    audit_of(&Run::of_table("table", &table, settings), Norm::L2);
}

fn audit_of(run: &Run, norm: Norm) {
    let radii = vec![0.0, 0.25];
    let audit = Audit {
        runs: vec![summarize(run, &radii, norm)],
        comparisons: compare(run, run, norm).into_iter().collect(),
        baseline: Some(summarize(run, &radii, norm)),
        radii,
    };
    assert!(!to_text(&audit).contains('\u{1b}'));
    assert!(to_html(&audit).is_ok());
}

/// A data set that was read is one: as many images as labels, every value there.
fn check<E>(data: Result<Dataset, E>) {
    let Ok(data) = data else { return };
    assert!(!data.is_empty());
    assert_eq!(data.labels().len(), data.len());
    let last = data.pixels(data.len() - 1);
    assert_eq!(last.len(), data.shape().iter().product::<usize>());
    assert!(data.image(0).iter().all(|value| (0.0..=1.0).contains(value)));
}

fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return (bytes, &[]) };
    rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()))
}
