use std::path::Path;

use super::{EvidenceError, Footer, Header, Record, SCHEMA, format::Line, write::is_torn_header};
use crate::data::sha256;

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

/// Reads a finished evidence file and checks the hash in its footer.
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
    let partial = read_partial(path, text)?;
    let Some(footer) = partial.footer else {
        return Err(EvidenceError::Unfinished {
            path: path.to_owned(),
            found: partial.records.len() as u64,
            expected: partial.header.selection.count,
        });
    };
    let found = sha256(&text.as_bytes()[..partial.bytes]);
    if found != footer.sha256 {
        return Err(EvidenceError::Changed { path: path.to_owned(), found, expected: footer.sha256 });
    }
    let mut totals = Footer { sha256: found, ..Footer::default() };
    for record in &partial.records {
        totals.add(record, &partial.header);
    }
    if totals != footer {
        let problem = "its totals are not those of the lines before it".into();
        return Err(EvidenceError::Line { path: path.to_owned(), line: partial.records.len() + 2, problem });
    }
    Ok(Evidence { header: partial.header, records: partial.records, footer })
}

/// Reads the header of an evidence file, finished or not; `None` if it was interrupted before the header was whole.
///
/// # Errors
/// [`EvidenceError`].
pub fn read_header(path: &Path) -> Result<Option<Header>, EvidenceError> {
    let text = read_text(path)?;
    Ok(if is_torn_header(&text) { None } else { Some(read_partial(path, &text)?.header) })
}

/// What an evidence file holds so far.
pub(super) struct Partial {
    pub header: Header,
    pub records: Vec<Record>,
    pub footer: Option<Footer>,
    /// Bytes of the header and the whole records.
    pub bytes: usize,
}

pub(super) fn read_text(path: &Path) -> Result<String, EvidenceError> {
    std::fs::read_to_string(path).map_err(|source| EvidenceError::Read { path: path.to_owned(), source })
}

/// Reads what is there; a last line without its line end was torn by an interruption and is left out.
pub(super) fn read_partial(path: &Path, text: &str) -> Result<Partial, EvidenceError> {
    let line_error =
        |line: usize, problem: String| EvidenceError::Line { path: path.to_owned(), line, problem };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut lines = whole.split_inclusive('\n').enumerate().map(|(number, line)| (number + 1, line));
    let (_, first) = lines.next().ok_or_else(|| line_error(1, "there is no whole line".into()))?;
    let header = match serde_json::from_str(first) {
        Ok(Line::Header(header)) if header.schema == SCHEMA => *header,
        Ok(Line::Header(header)) => {
            return Err(line_error(
                1,
                format!("its schema is '{}'; this program reads '{SCHEMA}'", header.schema),
            ));
        }
        Ok(_) => return Err(line_error(1, "it is not a header".into())),
        Err(error) => return Err(line_error(1, error.to_string())),
    };
    let mut partial = Partial { header, records: Vec::new(), footer: None, bytes: first.len() };
    for (number, line) in lines {
        if partial.footer.is_some() {
            return Err(line_error(number, "it comes after the footer".into()));
        }
        match serde_json::from_str(line).map_err(|error| line_error(number, error.to_string()))? {
            Line::Input(record) => {
                partial.records.push(record);
                partial.bytes += line.len();
            }
            Line::Footer(footer) => partial.footer = Some(footer),
            Line::Header(_) => return Err(line_error(number, "it is a second header".into())),
        }
    }
    Ok(partial)
}
