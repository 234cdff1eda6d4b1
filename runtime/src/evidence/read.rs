use std::path::Path;

use super::{
    EvidenceError, Footer, Header, Record,
    line_checker::{Fault, LineChecker},
};
use crate::{files, memory};

/// Memory that the text of evidence or a table and what it says take, at most, for each of its bytes: a count of votes can be
/// two characters, and is eight bytes in a list that may have twice the room it needs.
const BYTES_PER_BYTE: u64 = 10;
/// Longest line, in bytes: more than names or votes for 65,536 classes take.
const LONGEST_LINE: usize = 16 << 20;

/// A run that was read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What the certificates depend on.
    pub header: Header,
    /// Certificates, in order.
    pub records: Vec<Record>,
    /// Totals.
    pub footer: Footer,
}

/// Reads a finished evidence file and checks every line against the hash chain, the totals and the hash of all lines,
/// and every class, bound and radius against the votes: all that [`verify`](super::verify) finds without other files is an
/// error here. A file that was changed and hashed anew still has to be one that its votes give.
///
/// # Errors
/// [`EvidenceError`], with the number of the line where there is one to blame.
pub fn read_evidence(path: &Path) -> Result<Evidence, EvidenceError> {
    parse_evidence(path, &read_text(path)?)
}

/// The same for the content of a file; `path` names it in errors.
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
            let problem = "there is something after the footer".into();
            Err(EvidenceError::Line { path: path.to_owned(), line: line_checker.records.len() + 3, problem })
        }
        None => Err(EvidenceError::Unfinished {
            path: path.to_owned(),
            found: line_checker.records.len() as u64,
            expected: line_checker.header.inputs(),
        }),
    }
}

/// Whether a run was interrupted before its header was whole. Nothing else is taken for that, so that no other file
/// is ever written over.
pub(super) fn is_torn_header(text: &str) -> bool {
    const START: &str = "{\"kind\":\"header\"";
    !text.contains('\n') && (text.starts_with(START) || START.starts_with(text))
}

pub(super) fn read_text(path: &Path) -> Result<String, EvidenceError> {
    check_size(path)?;
    files::read_to_string(path).map_err(|source| EvidenceError::Read { path: path.to_owned(), source })
}

/// Refuses a file of evidence, or a table, that takes more memory than there is.
pub(super) fn check_size(path: &Path) -> Result<(), EvidenceError> {
    let size = || memory::check(files::open(path)?.metadata()?.len().saturating_mul(BYTES_PER_BYTE));
    size().map_err(|source| EvidenceError::Read { path: path.to_owned(), source })
}

/// Refuses a line that no run and no table has. What is being made of a line takes more memory than the result.
pub(super) fn check_line(line: &str) -> Result<(), String> {
    if line.len() <= LONGEST_LINE {
        return Ok(());
    }
    Err(format!("it has {} characters, and no line of results has more than {LONGEST_LINE}", line.len()))
}

/// Reads what is there, without a last line that an interruption has torn, and fails at the first thing that is wrong.
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
