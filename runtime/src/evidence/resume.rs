use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    EvidenceError, EvidenceWriter, Header, VotesWriter,
    encode::{Difference, differences},
    line_checker::LineChecker,
    read::{check_size, is_torn_header, read_partial},
    votes_path,
};
use crate::files;

/// An evidence file of an earlier run, read once and kept from other programs, to be continued or found finished.
pub struct Earlier {
    path: PathBuf,
    /// Held as long as the file is looked at or written.
    lock: File,
    /// What it holds; none if it was interrupted before its header was whole.
    there: Option<LineChecker>,
    text: String,
}

impl Earlier {
    /// Reads the file.
    ///
    /// # Errors
    /// [`EvidenceError`]: it is not there, another program is writing it, or it is no evidence.
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

    /// Its header; none if it was interrupted before that was whole.
    pub fn header(&self) -> Option<&Header> {
        self.there.as_ref().map(|there| &there.header)
    }

    /// Whether it holds a finished run, and the one with this header.
    ///
    /// # Errors
    /// [`EvidenceError::OtherRun`] if it was made with other settings.
    pub fn is_finished(&self, header: &Header) -> Result<bool, EvidenceError> {
        let Some(there) = &self.there else { return Ok(false) };
        same_run(&self.path, &there.header, header)?;
        Ok(there.footer.is_some())
    }

    /// Inputs that it holds; after [`resume`](Self::resume) fewer are done if votes that were kept were lost.
    pub fn inputs(&self) -> u64 {
        self.there.as_ref().map_or(0, |there| there.records.len() as u64)
    }

    /// Continues the file: drops a torn last line, or the footer, and returns how many inputs are done.
    ///
    /// # Errors
    /// [`EvidenceError::OtherRun`] if it was made with other settings, [`EvidenceError::Write`].
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
            // Inputs whose votes were lost are certified again.
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

/// Keeps a second program from writing the same file.
pub(super) fn lock(path: &Path, file: &File) -> Result<(), EvidenceError> {
    file.try_lock().map_err(|error| {
        let source = match error {
            TryLockError::WouldBlock => io::Error::other("another program is writing it"),
            TryLockError::Error(error) => error,
        };
        EvidenceError::Write { path: path.to_owned(), source }
    })
}

/// Fails with all that differs unless both headers are of the same run and the same part of it.
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
    let in_words = |Difference { name, left, right }| format!("{name} differs (there {left}, here {right})");
    Err(EvidenceError::OtherRun {
        path: path.to_owned(),
        differences: found.into_iter().map(in_words).collect(),
    })
}
