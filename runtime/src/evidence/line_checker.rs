//! Reads the lines of an evidence file and checks each: it must be encoded canonically, and its numbers must follow
//! from its votes. All evidence is read here, for verification, audit, merging, resuming and recertification.

use std::thread;

use super::{
    Footer, Header, Record, SCHEMA,
    check::{check_header, check_record},
    encode::Encoder,
    format::Line,
};
use crate::certify::Procedure;

/// Longest accepted line, in bytes: more than names or votes of 65,536 classes need.
const LONGEST_LINE: usize = 16 << 20;

/// A problem with the number of its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: usize,
    pub problem: String,
}

/// The content of an evidence file and all problems found in it.
pub(super) struct LineChecker {
    pub header: Header,
    pub records: Vec<Record>,
    /// Line number of each record.
    pub lines: Vec<usize>,
    pub footer: Option<Footer>,
    /// State of chain and hash after the last record.
    pub encoder: Encoder,
    /// Number of bytes of the header and the records.
    pub bytes: usize,
    /// Whether the last line is incomplete.
    pub is_torn: bool,
    /// The certification procedure of the header's settings; `None` if they are invalid.
    procedure: Option<Procedure>,
    /// Problems in the order of lines. A line is reported for its own problems, not for consequences of earlier lines.
    pub faults: Vec<Fault>,
    /// Number of further problems that are not listed.
    unlisted: u64,
}

impl LineChecker {
    /// Reads and checks the lines of a file; an incomplete last line is ignored.
    ///
    /// # Errors
    /// If there is no valid header, without which the other lines have no meaning.
    pub fn new(text: &str) -> Result<Self, Fault> {
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.split_inclusive('\n').enumerate().map(|(number, line)| (number + 1, line));
        let first_fault = |problem: String| Fault { line: 1, problem };
        let (_, first) = lines.next().ok_or_else(|| first_fault("it has no complete line".into()))?;
        check_line(first).map_err(first_fault)?;
        let header = match serde_json::from_str(first) {
            Ok(Line::Header(header)) if header.schema == SCHEMA => *header,
            Ok(Line::Header(header)) => {
                let schema = &header.schema;
                return Err(first_fault(format!("its schema is '{schema}'; this program reads '{SCHEMA}'")));
            }
            Ok(_) => return Err(first_fault("it is not a header".into())),
            Err(error) => return Err(first_fault(error.to_string())),
        };
        let (encoder, expected) = Encoder::begin(&header).map_err(|error| first_fault(error.to_string()))?;
        let mut line_checker = Self {
            header,
            records: Vec::new(),
            lines: Vec::new(),
            footer: None,
            encoder,
            bytes: first.len(),
            is_torn: whole.len() < text.len(),
            procedure: None,
            faults: Vec::new(),
            unlisted: 0,
        };
        if expected != first.as_bytes() {
            line_checker.fault(1, NOT_CANONICAL.into());
            line_checker.encoder.replace_line(None, first.as_bytes());
        }
        let mut problems = Vec::new();
        line_checker.procedure = check_header(&line_checker.header, |problem| problems.push(problem));
        line_checker.faults.extend(problems.into_iter().map(first_fault));
        for (number, line) in lines {
            line_checker.line(number, line);
        }
        line_checker.check_records();
        if line_checker.unlisted > 0 {
            let problem = format!("{} more problems are not listed", line_checker.unlisted);
            line_checker.faults.push(Fault { line: 0, problem });
        }
        Ok(line_checker)
    }

    fn fault(&mut self, line: usize, problem: String) {
        // A file of empty lines has a fault in every byte, so limit the list.
        if self.faults.len() < MOST_LISTED {
            self.faults.push(Fault { line, problem });
        } else {
            self.unlisted += 1;
        }
    }

    /// Checks that the numbers of all records follow from their votes. Uses all threads, since a bound takes up to
    /// about a millisecond.
    fn check_records(&mut self) {
        let Some(procedure) = &self.procedure else { return };
        let numbered: Vec<(&Record, usize)> = self.records.iter().zip(self.lines.iter().copied()).collect();
        let check = |part: &[(&Record, usize)]| {
            let mut faults = Vec::new();
            for &(record, line) in part {
                check_record(record, &self.header, procedure, |problem| faults.push(Fault { line, problem }));
            }
            faults
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let size = numbered.len().div_ceil(threads).max(LEAST_PART);
        let found: Vec<Fault> = thread::scope(|scope| {
            let spawn = |part| (part, thread::Builder::new().spawn_scoped(scope, move || check(part)));
            let mut parts = numbered.chunks(size);
            let own = parts.next().unwrap_or_default();
            let others: Vec<_> = parts.map(spawn).collect();
            let mut found = check(own);
            for (part, thread) in others {
                found.extend(match thread {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                    // If no thread could be started, check the part here.
                    Err(_) => check(part),
                });
            }
            found
        });
        self.faults.extend(found);
        // The sort is stable: for one line, problems of form come before problems of content.
        self.faults.sort_by_key(|fault| fault.line);
    }

    fn line(&mut self, number: usize, line: &str) {
        if self.footer.is_some() {
            return self.fault(number, "it comes after the footer".into());
        }
        match check_line(line).and_then(|()| serde_json::from_str(line).map_err(|error| error.to_string())) {
            Ok(Line::Input(chained)) => self.record(number, line, chained.record, chained.chain),
            Ok(Line::Footer(footer)) => self.last(number, line, footer),
            Ok(Line::Header(_)) => self.fault(number, "it is a second header".into()),
            Err(problem) => {
                self.fault(number, problem);
                // The chain value of this line is unknown, so the next line is not compared with it.
                self.encoder.replace_line(Some(String::new()), line.as_bytes());
            }
        }
    }

    fn record(&mut self, number: usize, line: &str, record: Record, chain: String) {
        if self.records.last().is_some_and(|before| before.index >= record.index) {
            self.fault(number, format!("input {} is out of order", record.index));
        }
        let is_known = !self.encoder.chain().is_empty();
        match self.encoder.record(&record) {
            Err(error) => self.fault(number, error.to_string()),
            Ok(expected) => {
                if is_known && self.encoder.chain() != chain {
                    let problem = format!(
                        "its chain value is {chain} and must be {}: it was changed, or a line before it was removed, \
                         added or moved",
                        self.encoder.chain()
                    );
                    self.fault(number, problem);
                } else if is_known && expected != line.as_bytes() {
                    self.fault(number, NOT_CANONICAL.into());
                }
                if expected != line.as_bytes() {
                    self.encoder.replace_line(Some(chain), line.as_bytes());
                }
            }
        }
        self.bytes += line.len();
        self.records.push(record);
        self.lines.push(number);
    }

    fn last(&mut self, number: usize, line: &str, footer: Footer) {
        let (found, promised) = (self.records.len() as u64, self.header.inputs());
        if found != promised {
            self.fault(number, format!("{found} inputs come before it, and the header declares {promised}"));
        }
        match self.encoder.finish() {
            Err(error) => self.fault(number, error.to_string()),
            Ok((expected, bytes)) if bytes != line.as_bytes() => {
                let Footer { inputs, certified, abstained, samples, seconds, chain, sha256 } = &footer;
                let pairs = [
                    ("number of inputs", inputs.to_string(), expected.inputs.to_string()),
                    ("number of certificates", certified.to_string(), expected.certified.to_string()),
                    ("number of abstentions", abstained.to_string(), expected.abstained.to_string()),
                    ("number of samples", samples.to_string(), expected.samples.to_string()),
                    ("time", seconds.to_string(), expected.seconds.to_string()),
                    ("chain value", chain.clone(), expected.chain.clone()),
                    ("hash of the lines before", sha256.clone(), expected.sha256.clone()),
                ];
                let before = self.faults.len();
                for (name, found, expected) in pairs {
                    if found != expected {
                        self.fault(number, format!("its {name} is {found} and must be {expected}"));
                    }
                }
                if self.faults.len() == before {
                    self.fault(number, NOT_CANONICAL.into());
                }
            }
            Ok(_) => {}
        }
        self.footer = Some(footer);
    }
}

/// Largest number of problems of form that are listed.
const MOST_LISTED: usize = 1000;

/// Smallest number of records for which another thread is started.
const LEAST_PART: usize = 16;

const NOT_CANONICAL: &str = "it is not in the form in which `rscert` writes such a line; it was changed";

/// Refuses a line longer than any valid one, since parsing a line takes much more memory than its result.
pub(super) fn check_line(line: &str) -> Result<(), String> {
    if line.len() <= LONGEST_LINE {
        return Ok(());
    }
    Err(format!("it has {} bytes, and a line may have at most {LONGEST_LINE}", line.len()))
}
