//! Every hostile or odd model is refused, stopped, or certified with the right votes.

use mithridate_adversary::{
    models,
    program::Program,
    table::{Row, check_all, print_rows},
};

#[test]
fn every_model_gets_what_it_must() {
    let program = Program::new(env!("CARGO_BIN_EXE_mithridate-adversary"));
    let entries = models::all();
    assert!(entries.len() >= 60, "{}", entries.len());
    let rows = check_all(&entries, |entry| Row {
        kind: entry.kind,
        name: entry.name.clone(),
        result: models::check(&program, entry),
    });
    assert_eq!(print_rows("hostile and odd models", &rows), 0);
}
