//! Every hostile or odd model is refused, stopped, or certified with the right votes.

use mithridate_adversary::{
    models,
    table::{Row, check_all, print_rows},
};
use mithridate_testkit::program::Program;

#[test]
fn every_model_gets_what_it_must() {
    let program = Program::tested("mithridate-adversary");
    let entries = models::all();
    assert!(entries.len() >= 60, "{}", entries.len());
    let rows = check_all(&entries, |entry| Row {
        kind: entry.kind,
        name: entry.name.clone(),
        result: models::check(&program, entry),
    });
    assert_eq!(print_rows("hostile and odd models", &rows), 0);
}
