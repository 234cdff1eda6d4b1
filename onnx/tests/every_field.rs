//! The messages hold every field of the published schema: a file made by another program with every field set is
//! written back with all of them.

use mithridate_onnx::{from_bytes, messages::ModelProto, summarize, to_bytes};
use proptest::prelude::*;

const EVERY_FIELD: &[u8] = include_bytes!("fixtures/every_field.onnx");

#[test]
fn a_model_with_every_field_set_is_written_back_whole() {
    let model = from_bytes(EVERY_FIELD).unwrap();
    assert_ne!(model, ModelProto::default());
    let written = to_bytes(&model);
    // Alternatives of a choice may stand before or after their neighbours; a field that was lost would be missing in
    // the length.
    assert_eq!(written.len(), EVERY_FIELD.len());
    assert_eq!(from_bytes(&written).unwrap(), model);
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(sorted(&written), sorted(EVERY_FIELD));
}

#[test]
fn every_truncation_is_refused_or_read_without_a_panic() {
    for end in 0..EVERY_FIELD.len() {
        if let Ok(model) = from_bytes(&EVERY_FIELD[..end]) {
            summarize(&model).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(model) = from_bytes(&bytes) {
            summarize(&model).unwrap();
        }
    }

    #[test]
    fn any_changed_byte_is_refused_or_read_without_a_panic(at in 0..EVERY_FIELD.len(), byte: u8) {
        let mut bytes = EVERY_FIELD.to_vec();
        bytes[at] = byte;
        if let Ok(model) = from_bytes(&bytes) {
            summarize(&model).unwrap();
        }
    }
}
