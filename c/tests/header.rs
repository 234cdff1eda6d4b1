//! The header says what the library has.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

#[test]
fn the_header_is_that_of_the_sources() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut fresh = Vec::new();
    cbindgen::generate(crate_folder).unwrap().write(&mut fresh);
    let fresh = String::from_utf8(fresh).unwrap();
    let path = crate_folder.join("include/mithridate.h");
    if std::env::var_os("MITHRIDATE_WRITE_HEADER").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let header = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        header == fresh,
        "the header is behind the sources; run this test with MITHRIDATE_WRITE_HEADER=1"
    );
}
