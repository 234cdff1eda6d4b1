//! Verification of an evidence file, alone and against the files that it is about.

mod data;
mod earlier;
mod lists;
mod model;
mod replay;
mod votes;

pub use earlier::unfit;
pub use lists::Claim;
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

/// A problem of an evidence file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Number of the line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// Description of the problem.
    pub problem: String,
}

/// The result of [`verify`]. Further checks compare it with other files: the [model](Self::check_model), the
/// [data](Self::check_data), the [kept votes](Self::check_votes), the [earlier run](Self::check_earlier).
///
/// Three lists say what was checked, what is only stated, and what could not be checked for lack of a file. Callers add
/// the results of their own checks with [`add_checked`](Self::add_checked), [`add_stated`](Self::add_stated) and
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
    /// The header, if the file has a valid one.
    pub header: Option<Header>,
    /// The records, whose numbers were recomputed from their votes.
    pub records: Vec<Record>,
    /// Last chain value, which identifies the result of the run.
    pub chain: String,
    /// All problems, in the order of lines.
    pub problems: Vec<Problem>,
    /// Claims that were checked, also those in which a problem was found.
    pub checked: Vec<Claim>,
    /// Claims that the file states and nobody can check.
    pub stated: Vec<Claim>,
    /// Claims that could be checked with a file that was not given.
    pub not_checked: Vec<Claim>,
    /// Class names in the model's metadata, empty if it has none; `None` until the model was checked.
    #[serde(skip)]
    model_class_names: Option<Vec<String>>,
}

/// Verifies an evidence file by itself: form, hash chain, order, totals, and every class, bound and radius, which are
/// recomputed from the votes. Bounds and radii are also checked a second time with other code: the upper tail of the
/// binomial distribution at the bound must be at most α, and the probability that the radius needs must be at most the
/// bound.
///
/// # Errors
/// [`EvidenceError::Read`] if the file can't be read. Faults in its content are not errors but [`Problem`]s.
pub fn verify(path: &Path) -> Result<Verification, EvidenceError> {
    check_size(path)?;
    let bytes = files::read(path).map_err(|source| EvidenceError::Read { path: path.to_owned(), source })?;
    let (text, broken) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        // Report the first line with invalid bytes and check the rest.
        Err(error) => {
            let whole = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = whole.split(|&byte| byte == b'\n').count();
            let problem = "it contains bytes that are not UTF-8 text; it was changed".to_owned();
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
        found.add(0, "its last line is incomplete".into());
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
    /// The verification of evidence that was read without an error and so has no problems by itself.
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

    /// Whether no problem was found.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds a problem of line `line`, counted from 1, or 0 for the file as a whole.
    pub fn add(&mut self, line: usize, problem: String) {
        self.problems.push(Problem { line, problem });
    }

    /// Adds problems of several lines.
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

/// An error with its cause as one line.
fn in_one_line(error: &EvidenceError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
