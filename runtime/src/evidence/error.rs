use std::path::PathBuf;

/// Errors of reading and writing evidence files.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The file can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file exists already.
    #[error("{} exists; add `resume` to continue that run, or choose another name with `out`", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The output file of a merge, or the file of kept votes, exists already.
    #[error("{} exists; remove it, or choose another name with `out`", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A line is not valid.
    #[error("line {line} of {} is not valid evidence: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The problem, as a sentence.
        problem: String,
    },
    /// The run is not finished.
    #[error("{} is not finished: it holds {found} of {expected} inputs; run the command that began it with `resume`", path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Number of inputs in the file.
        found: u64,
        /// Number of inputs in the run, or in its shard.
        expected: u64,
    },
    /// The run to be resumed was started with other settings.
    #[error("{} can't be resumed: its {}", path.display(), differences.join(", "))]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// Every setting that differs, with its value in the file and its value now.
        differences: Vec<String>,
    },
    /// The file of kept votes does not belong to the evidence, or is damaged.
    #[error("{} does not contain the votes of this run: {problem}", path.display())]
    Votes {
        /// The file.
        path: PathBuf,
        /// The problem, as a sentence.
        problem: String,
    },
    /// The file is neither evidence nor a valid table.
    #[error("{} is neither evidence nor a table of results: {problem}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The problem, as a sentence.
        problem: String,
    },
    /// The files are not the shards of one run.
    #[error("these are not the parts of one run: {}", problems.join("; "))]
    OtherParts {
        /// All reasons why they can't be merged.
        problems: Vec<String>,
    },
}
