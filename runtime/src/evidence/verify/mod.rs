//! Verification of an evidence file, alone and against the files that it is about.

mod data;
mod earlier;
mod lists;
mod model;
mod replay;
mod votes;

pub use earlier::unfit;
pub use lists::Check;
#[cfg(feature = "ort")]
pub(crate) use model::is_other_numbering;
pub use replay::{Replay, replayed};

use std::path::Path;

use serde::Serialize;

use super::{
    Evidence, EvidenceError, Header, Record,
    line_checker::{Fault, LineChecker},
    read::check_size,
};
use crate::files;

/// This program, as headers name it.
const TOOL: &str = concat!("rscert ", env!("CARGO_PKG_VERSION"));

/// Something in an evidence file that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Number of the line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What does not hold.
    pub problem: String,
}

/// What [`verify`] found, and what was compared with other files since: the [model](Self::check_model), the
/// [data](Self::check_data), the [votes](Self::check_votes), the [run of an earlier model](Self::check_earlier).
///
/// What was checked, what is only stated, and what could not be checked for lack of a file are lists that any other check
/// adds to by [`add_checked`](Self::add_checked), [`add_stated`](Self::add_stated) and
/// [`add_not_checked`](Self::add_not_checked).
///
/// ```no_run
/// use mithridate_onnx::ModelFile;
/// use mithridate_runtime::evidence::verify;
///
/// let mut found = verify("run.jsonl".as_ref())?;
/// found.check_model(&ModelFile::read("model.onnx")?);
/// for missing in &found.not_checked {
///     println!("{}: {}", missing.subject, missing.detail);
/// }
/// assert!(found.holds(), "{:?}", found.problems);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// The header, if the file has one that can be read.
    pub header: Option<Header>,
    /// Inputs whose numbers were computed again from their votes.
    pub records: Vec<Record>,
    /// Last value of the hash chain: names the result of the run.
    pub chain: String,
    /// Everything that does not hold, line by line.
    pub problems: Vec<Problem>,
    /// What was compared with something else, whether it was found to hold or not.
    pub checked: Vec<Check>,
    /// What the file says and nobody can check.
    pub stated: Vec<Check>,
    /// What can be checked with another file, which was not given.
    pub not_checked: Vec<Check>,
    /// Names of the model's classes in the order of its outputs, once the model was checked; empty if it gives none.
    #[serde(skip)]
    model_class_names: Option<Vec<String>>,
}

/// Checks an evidence file: form, hash chain, order, totals, and every class, bound and radius, computed again from the
/// votes. Bounds and radii are checked in a second way too, which shares no code with the first: the upper tail of the
/// binomial distribution at the bound must be at most α, and the normal distribution function at the radius at most the
/// bound.
///
/// # Errors
/// [`EvidenceError::Read`] if the file can't be read. Whatever it holds is no error but a [`Problem`].
pub fn verify(path: &Path) -> Result<Verification, EvidenceError> {
    check_size(path)?;
    let bytes = files::read(path).map_err(|source| EvidenceError::Read { path: path.to_owned(), source })?;
    let (text, broken) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        // What is broken is no valid line either, and is said of its line.
        Err(error) => {
            let whole = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = whole.split(|&byte| byte == b'\n').count();
            let problem = "it holds bytes that are no UTF-8 text; it was changed".to_owned();
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(Problem { line, problem }))
        }
    };
    let mut found = Verification { problems: broken.into_iter().collect(), ..Verification::empty() };
    let line_checker = match LineChecker::new(&text) {
        Ok(line_checker) => line_checker,
        Err(Fault { line, problem }) => {
            found.add(line, problem);
            return Ok(found);
        }
    };
    found
        .problems
        .extend(line_checker.faults.into_iter().map(|Fault { line, problem }| Problem { line, problem }));
    if line_checker.is_torn {
        found.add(0, "its last line has no end: it was cut off".into());
    } else if line_checker.footer.is_none() {
        let (there, expected) = (line_checker.records.len(), line_checker.header.inputs());
        found.add(0, format!("it is not finished: it holds {there} of {expected} inputs and no footer"));
    }
    found.sort();
    line_checker.encoder.chain().clone_into(&mut found.chain);
    found.records = line_checker.records;
    found.begin_lists(&line_checker.header);
    found.header = Some(line_checker.header);
    Ok(found)
}

impl From<&Evidence> for Verification {
    /// Of evidence that was read, which holds by itself or would not have been read.
    fn from(evidence: &Evidence) -> Self {
        let mut found = Self { chain: evidence.footer.chain.clone(), ..Self::empty() };
        found.records.clone_from(&evidence.records);
        found.begin_lists(&evidence.header);
        found.header = Some(evidence.header.clone());
        found
    }
}

impl Verification {
    fn empty() -> Self {
        Self {
            header: None,
            records: Vec::new(),
            chain: String::new(),
            problems: Vec::new(),
            checked: Vec::new(),
            stated: Vec::new(),
            not_checked: Vec::new(),
            model_class_names: None,
        }
    }

    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds something that does not hold: the number of the line, from 1, or 0 for the file as a whole.
    pub fn add(&mut self, line: usize, problem: String) {
        self.problems.push(Problem { line, problem });
    }

    /// Adds what does not hold of several lines.
    fn add_all(&mut self, found: Vec<(usize, String)>) {
        for (line, problem) in found {
            self.add(line, problem);
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.problems.sort_by_key(|problem| problem.line);
    }
}

/// An error with its cause.
fn in_one_line(error: &EvidenceError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
