use std::path::Path;

use super::{
    EvidenceError, Footer, Header, Record,
    line_checker::{Fault, LineChecker},
};
use crate::{files, memory};

/// Upper limit of the memory needed for each byte of a file of evidence or a table: its text and its parsed form. A
/// count of votes can be two characters of text and takes eight bytes, in a list with up to twice the needed capacity.
const BYTES_PER_BYTE: u64 = 10;

/// The content of a finished evidence file.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Model, data, settings and circumstances of the run.
    pub header: Header,
    /// One record for each input, in order.
    pub records: Vec<Record>,
    /// Totals and hashes.
    pub footer: Footer,
}

/// Reads a finished evidence file and checks it: every line against the hash chain, the totals and the hash of all
/// lines, and every class, bound and radius against the votes. Every problem that [`verify`](super::verify) finds
/// without other files is an error here. So even a file that was changed and hashed again has numbers that follow from
/// its votes.
///
/// # Errors
/// [`EvidenceError`] with the first problem.
pub fn read_evidence(path: &Path) -> Result<Evidence, EvidenceError> {
    parse_evidence(path, &read_text(path)?)
}

/// Like [`read_evidence`], for the content `text` of a file; `path` names it in errors.
///
/// # Errors
/// As [`read_evidence`].
pub fn parse_evidence(path: &Path, text: &str) -> Result<Evidence, EvidenceError> {
    let line_checker = read_partial(path, text)?;
    match line_checker.footer {
        Some(footer) if !line_checker.is_torn => {
            Ok(Evidence { header: line_checker.header, records: line_checker.records, footer })
        }
        Some(_) => {
            let problem = "there is text after the footer".into();
            Err(EvidenceError::Line { path: path.to_owned(), line: line_checker.records.len() + 3, problem })
        }
        None => Err(EvidenceError::Unfinished {
            path: path.to_owned(),
            found: line_checker.records.len() as u64,
            expected: line_checker.header.inputs(),
        }),
    }
}

/// Whether `text` is the beginning of a header line, as left by a run that was interrupted while it wrote its header.
/// The test is strict, so that no other file is ever overwritten.
pub(super) fn is_torn_header(text: &str) -> bool {
    const START: &str = "{\"kind\":\"header\"";
    !text.contains('\n') && (text.starts_with(START) || START.starts_with(text))
}

pub(super) fn read_text(path: &Path) -> Result<String, EvidenceError> {
    check_size(path)?;
    files::read_to_string(path).map_err(|source| EvidenceError::Read { path: path.to_owned(), source })
}

/// Refuses a file that would need more memory than is available.
pub(super) fn check_size(path: &Path) -> Result<(), EvidenceError> {
    let size = || memory::check(files::open(path)?.metadata()?.len().saturating_mul(BYTES_PER_BYTE));
    size().map_err(|source| EvidenceError::Read { path: path.to_owned(), source })
}

/// Reads a file that may be unfinished, ignoring an incomplete last line. Fails with the first problem.
pub(super) fn read_partial(path: &Path, text: &str) -> Result<LineChecker, EvidenceError> {
    let mut line_checker = LineChecker::new(text).map_err(|fault| line_error(path, fault))?;
    if line_checker.faults.is_empty() {
        Ok(line_checker)
    } else {
        Err(line_error(path, line_checker.faults.remove(0)))
    }
}

fn line_error(path: &Path, Fault { line, problem }: Fault) -> EvidenceError {
    EvidenceError::Line { path: path.to_owned(), line, problem }
}
