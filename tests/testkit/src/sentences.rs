//! What a command that must fail says, in the form of the snapshots.

use std::{fmt::Write, path::Path, process::Output};

/// What a command that must fail says: exit status and the first line of standard error, the only one unless the usage
/// was wrong.
pub fn sentence(folder: &Path, what: &str, output: &Output) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    let status = output.status.code().unwrap_or(-1);
    assert!(status == 1 || status == 2, "{what}: exit status {status}, {error}");
    assert!(output.stdout.is_empty(), "{what}: results in spite of an error");
    assert!(!error.contains("panicked"), "{what}: {error}");
    let lines: Vec<&str> = error.lines().filter(|line| !line.is_empty()).collect();
    assert!(status == 2 || lines.len() == 1, "{what}: one sentence, not {lines:#?}");
    format!("{status}: {}", lines[0].replace(&folder.display().to_string(), "[FOLDER]"))
}

/// Lists what was said in each case.
pub fn list(folder: &Path, cases: impl Iterator<Item = (String, Output)>) -> String {
    let mut text = String::new();
    for (what, output) in cases {
        let _ = writeln!(text, "{what}\n  {}", sentence(folder, &what, &output));
    }
    text
}
