//! Where a run comes from: seeds that follow from a challenge, inputs certified anew, signatures.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod challenge;
mod fresh_seed;
mod signatures;

use std::process::{Command, Output};

use mithridate_testkit::place::Place;

/// Status, standard output and standard error.
fn text_of(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A run of `rscert` that succeeds, and what it prints.
fn done(place: &Place, arguments: &[&str]) -> String {
    let (status, text, error) = text_of(&place.run(arguments));
    assert_eq!(status, Some(0), "{arguments:?}: {text}{error}");
    text
}

/// A Python program of the fixtures; `MITHRIDATE_PYTHON` names another Python. None, with a message, if there is none or it
/// lacks what the first command asks for.
fn python(program: &str, check: &[&str]) -> Option<impl Fn(&[&str]) -> Output> {
    let python = std::env::var("MITHRIDATE_PYTHON").unwrap_or_else(|_| "python3".into());
    let path = format!("{}/tests/fixtures/{program}", env!("CARGO_MANIFEST_DIR"));
    let run = move |arguments: &[&str]| Command::new(&python).arg(&path).args(arguments).output();
    match run(check) {
        Ok(output) if output.status.success() => Some(move |arguments: &[&str]| run(arguments).unwrap()),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            eprintln!("skipped: {program} does not run: {}", error.lines().last().unwrap_or_default());
            None
        }
        Err(error) => {
            eprintln!("skipped: there is no Python to run {program}: {error}");
            None
        }
    }
}
