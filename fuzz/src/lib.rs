//! What a fuzz target does with its bytes: one function a target, so that an ordinary test can replay what was found.
//! None may panic, hang, or take memory out of proportion to its input, whatever it is given.

use std::{fs, path::Path};

use mithridate_onnx::{ModelMetadata, from_bytes, to_bytes};
use mithridate_runtime::{
    audit::{Audit, Run, TableSettings, compare, summarize, to_html, to_text},
    data::{Dataset, Preparation},
    evidence::{Earlier, parse_evidence, parse_table, read_evidence, verify},
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
    let key = PrivateKey::from_pem(include_str!("../seeds/signature/private.pem")).expect("a key");
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
    let Ok(earlier) = Earlier::read(&path) else { return };
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
