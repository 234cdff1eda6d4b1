//! Every forgery is found by whoever reads it, or said to be what nobody can check.

#![allow(clippy::unwrap_used)]

use mithridate_adversary::{
    evidence::{Honest, all, check},
    table::{Row, check_all, print_rows},
};
use mithridate_testkit::program::Program;

#[test]
fn every_forgery_is_found() {
    let program = Program::tested("mithridate-adversary");
    let honest = Honest::make(&program).unwrap();
    let entries = all();
    assert!(entries.len() >= 60, "{}", entries.len());
    let rows = check_all(&entries, |entry| Row {
        kind: entry.kind,
        name: entry.name.into(),
        result: check(&program, &honest, entry),
    });
    assert_eq!(print_rows("forged evidence", &rows), 0);
}
