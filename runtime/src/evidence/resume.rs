use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    EvidenceError, EvidenceWriter, Header, VotesWriter,
    encode::{Difference, differences},
    line_checker::LineChecker,
    read::{check_size, is_torn_header, read_partial},
    votes_path,
    write::lock,
};
use crate::files;

/// An existing evidence file that is to be resumed. It is read once, and locked so that no other program writes it.
pub struct ResumableRun {
    path: PathBuf,
    /// Keeps the lock while the file is read or written.
    lock: File,
    /// Its content; `None` if the run was interrupted before its header was complete.
    there: Option<LineChecker>,
    text: String,
}

impl ResumableRun {
    /// Reads and locks the file.
    ///
    /// # Errors
    /// [`EvidenceError`] if it does not exist, another program is writing it, or it is not valid evidence.
    pub fn read(path: &Path) -> Result<Self, EvidenceError> {
        let read_error = |source| EvidenceError::Read { path: path.to_owned(), source };
        check_size(path)?;
        let mut file = files::open(path).map_err(read_error)?;
        lock(path, &file)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(read_error)?;
        let there = if is_torn_header(&text) { None } else { Some(read_partial(path, &text)?) };
        Ok(Self { path: path.to_owned(), lock: file, there, text })
    }

    /// Its header; `None` if the run was interrupted before the header was complete.
    pub fn header(&self) -> Option<&Header> {
        self.there.as_ref().map(|there| &there.header)
    }

    /// Whether the run in the file is finished. The run must have the given header.
    ///
    /// # Errors
    /// [`EvidenceError::OtherRun`] if the run has other settings.
    pub fn is_finished(&self, header: &Header) -> Result<bool, EvidenceError> {
        let Some(there) = &self.there else { return Ok(false) };
        same_run(&self.path, &there.header, header)?;
        Ok(there.footer.is_some())
    }

    /// Number of inputs in the file. [`resume`](Self::resume) may keep fewer, if kept votes were lost.
    pub fn inputs(&self) -> u64 {
        self.there.as_ref().map_or(0, |there| there.records.len() as u64)
    }

    /// Resumes the run: removes an incomplete last line or the footer. Returns a writer that continues the file and the
    /// number of finished inputs.
    ///
    /// # Errors
    /// [`EvidenceError::OtherRun`] if the run has other settings; [`EvidenceError::Write`].
    pub fn resume(self, header: &Header) -> Result<(EvidenceWriter, u64), EvidenceError> {
        let Self { path, lock, there, text } = self;
        let write_error = |source| EvidenceError::Write { path: path.clone(), source };
        let mut file = OpenOptions::new().write(true).open(&path).map_err(write_error)?;
        let Some(there) = there else {
            return Ok((EvidenceWriter::begin(&path, file, Some(lock), header)?, 0));
        };
        same_run(&path, &there.header, header)?;
        let (there, votes) = if header.keeps_votes {
            let (votes, done) = VotesWriter::resume(&votes_path(&path), &there.records)?;
            // Drop inputs whose kept votes were lost, so that they are certified again.
            let lines: usize = text.split_inclusive('\n').take(1 + done).map(str::len).sum();
            (read_partial(&path, &text[..lines])?, Some(votes))
        } else {
            (there, None)
        };
        file.set_len(there.bytes as u64).map_err(write_error)?;
        file.seek(SeekFrom::End(0)).map_err(write_error)?;
        let done = there.records.len() as u64;
        Ok((EvidenceWriter::go_on(&path, file, Some(lock), there.encoder, votes), done))
    }
}

impl EvidenceWriter {
    /// Resumes an interrupted run: removes an incomplete last line. Returns the writer and the number of finished
    /// inputs, or `None` if the run is finished. [`ResumableRun`] does the same in steps.
    ///
    /// # Errors
    /// [`EvidenceError::OtherRun`] if the run has other settings, or any error of reading the file.
    pub fn resume(path: &Path, header: &Header) -> Result<Option<(Self, u64)>, EvidenceError> {
        let earlier = ResumableRun::read(path)?;
        if earlier.is_finished(header)? { Ok(None) } else { earlier.resume(header).map(Some) }
    }
}

/// Fails with all differences unless both headers are of the same run and the same shard.
fn same_run(path: &Path, there: &Header, here: &Header) -> Result<(), EvidenceError> {
    let mut found = differences(there, here)
        .map_err(|error| EvidenceError::Write { path: path.to_owned(), source: error.into() })?;
    if there.shard != here.shard {
        let part =
            |header: &Header| header.shard.map_or_else(|| "none".to_owned(), |shard| shard.to_string());
        found.insert(0, Difference { name: "shard".into(), left: part(there), right: part(here) });
    }
    if found.is_empty() {
        return Ok(());
    }
    let in_words =
        |Difference { name, left, right }| format!("{name} differs (in the file {left}, now {right})");
    Err(EvidenceError::OtherRun {
        path: path.to_owned(),
        differences: found.into_iter().map(in_words).collect(),
    })
}
