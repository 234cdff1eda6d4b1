use std::path::PathBuf;

/// What can be wrong with an evidence file.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is there already.
    #[error("{} exists; add `resume` to continue that run, or choose another name with `out`", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The place for joined parts or for votes is taken.
    #[error("{} exists; remove it, or choose another name with `out`", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A line is not what it should be.
    #[error("line {line} of {} is not valid evidence: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The run is not finished.
    #[error("{} is not finished: it holds {found} of {expected} inputs; run the command that began it with `resume`", path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Inputs there.
        found: u64,
        /// Inputs selected.
        expected: u64,
    },
    /// A run to resume was made with other settings.
    #[error("{} can't be resumed: its {}", path.display(), differences.join(", "))]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// Every setting that differs, with its value in the file and the one asked for now.
        differences: Vec<String>,
    },
    /// A file of votes is not what it should be.
    #[error("{} is not the votes of this run: {problem}", path.display())]
    Votes {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file is no table of results.
    #[error("{} is neither evidence nor a table of results: {problem}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Parts that are not those of one run.
    #[error("these are not the parts of one run: {}", problems.join("; "))]
    OtherParts {
        /// Everything that keeps them from being joined.
        problems: Vec<String>,
    },
}
