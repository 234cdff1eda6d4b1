use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    Control, JobError,
    keywords::{Keywords, NamedJob},
};
use crate::{
    evidence::{Footer, merge},
    files::check_place,
};

/// Joins all parts of a run that was divided by `shard` into its evidence.
///
/// # Example
/// ```no_run
/// use mithridate_runtime::jobs::Merge;
///
/// let footer = Merge::new(["1.jsonl", "2.jsonl"], "run.jsonl").run()?;
/// println!("{} inputs, result {}", footer.inputs, footer.chain);
/// # Ok::<(), mithridate_runtime::jobs::JobError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Merge {
    /// Evidence files of all parts of one run, in any order.
    pub parts: Vec<PathBuf>,
    /// The evidence file to write.
    pub out: PathBuf,
}

impl Merge {
    /// A job that joins `parts` in `out`.
    pub fn new(parts: impl IntoIterator<Item = impl Into<PathBuf>>, out: impl Into<PathBuf>) -> Self {
        Self { parts: parts.into_iter().map(Into::into).collect(), out: out.into() }
    }

    /// Runs the job. Returns the footer of the evidence.
    ///
    /// # Errors
    /// [`JobError`] if the parts are not all parts of one run, one is not valid, or `out` can't be written.
    pub fn run(&self) -> Result<Footer, JobError> {
        check_place(&self.out).map_err(|error| JobError::cannot_write(&self.out, error))?;
        Ok(merge(&self.parts, &self.out)?)
    }
}

impl NamedJob for Merge {
    const NAME: &'static str = "merge";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        Ok(Self { parts: keywords.need("parts")?, out: keywords.need("out")? })
    }

    fn run_to_json(&self, _: &Control) -> Result<Value, JobError> {
        let footer = self.run()?;
        Ok(json!({
            "evidence": self.out.to_string_lossy(),
            "parts": self.parts.len(),
            "inputs": footer.inputs,
            "chain": footer.chain,
        }))
    }
}
