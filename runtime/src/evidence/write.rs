use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{EvidenceError, Footer, Header, Record, VotesWriter, encode::Encoder, votes_path};
use crate::certify::Vote;

/// Time after which lines are flushed to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(10);

/// Writes an evidence file line by line. Each line is passed to the operating system in one call, before the next input
/// is reported. So a killed process or a full disk damages at most the last line, which [resuming](super::ResumableRun)
/// removes. Lines are flushed to the disk every ten seconds and with the footer: after a loss of power the lines of the
/// last ten seconds may be missing, and resuming certifies those inputs again.
pub struct EvidenceWriter {
    path: PathBuf,
    file: File,
    /// Keeps the lock, if `file` does not.
    _lock: Option<File>,
    encoder: Encoder,
    /// Writer of kept votes, if they are kept.
    votes: Option<VotesWriter>,
    synced: Instant,
}

impl EvidenceWriter {
    /// Checks before a run that the file does not exist, so that [`create`](Self::create) will not fail because of it.
    ///
    /// # Errors
    /// [`EvidenceError::Exists`].
    pub fn check_new(path: &Path) -> Result<(), EvidenceError> {
        if path.exists() { Err(EvidenceError::Exists { path: path.to_owned() }) } else { Ok(()) }
    }

    /// Creates a file and writes the header.
    ///
    /// # Errors
    /// [`EvidenceError::Exists`] if the file exists, [`EvidenceError::Taken`] if the file for kept votes exists,
    /// [`EvidenceError::Write`].
    pub fn create(path: &Path, header: &Header) -> Result<Self, EvidenceError> {
        let file =
            OpenOptions::new().write(true).create_new(true).open(path).map_err(|source| {
                match source.kind() {
                    io::ErrorKind::AlreadyExists => EvidenceError::Exists { path: path.to_owned() },
                    _ => EvidenceError::Write { path: path.to_owned(), source },
                }
            })?;
        lock(path, &file)?;
        if header.keeps_votes
            && let Err(error) = VotesWriter::create(&votes_path(path))
        {
            // Nothing was written; remove the empty file, so that the next attempt does not find it.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Self::begin(path, file, None, header)
    }

    /// Starts a run in an open file and discards the previous content.
    pub(super) fn begin(
        path: &Path,
        file: File,
        lock: Option<File>,
        header: &Header,
    ) -> Result<Self, EvidenceError> {
        let (encoder, line) = Encoder::begin(header)
            .map_err(|error| EvidenceError::Write { path: path.to_owned(), source: error.into() })?;
        let votes =
            if header.keeps_votes { Some(VotesWriter::resume(&votes_path(path), &[])?.0) } else { None };
        let mut writer = Self::go_on(path, file, lock, encoder, votes);
        writer.file.set_len(0).map_err(|source| writer.write_error(source))?;
        writer.write(&line)?;
        Ok(writer)
    }

    /// Continues at the end of an open file whose lines `encoder` has already processed.
    pub(super) fn go_on(
        path: &Path,
        file: File,
        lock: Option<File>,
        encoder: Encoder,
        votes: Option<VotesWriter>,
    ) -> Self {
        Self { path: path.to_owned(), file, _lock: lock, encoder, votes, synced: Instant::now() }
    }

    /// Appends the record of the next input, and before it the votes of its estimation samples if the header says that
    /// votes are kept. The votes are written first, so that no record is without its votes.
    ///
    /// # Errors
    /// [`EvidenceError::Write`].
    pub fn record_with_votes(&mut self, mut record: Record, votes: &[Vote]) -> Result<(), EvidenceError> {
        if let Some(file) = &mut self.votes {
            record.votes_sha256 = Some(file.add(record.index, votes)?);
        }
        self.record(&record)
    }

    /// Appends the record of the next input.
    ///
    /// # Errors
    /// [`EvidenceError::Write`].
    pub fn record(&mut self, record: &Record) -> Result<(), EvidenceError> {
        let line = self.encoder.record(record).map_err(|error| self.write_error(error.into()))?;
        self.write(&line)?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.votes.as_ref().map_or(Ok(()), VotesWriter::sync)?;
            self.file.sync_data().map_err(|source| self.write_error(source))?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Writes the footer and flushes the file to the disk.
    ///
    /// # Errors
    /// [`EvidenceError::Write`].
    pub fn finish(mut self) -> Result<Footer, EvidenceError> {
        let (footer, line) = self.encoder.finish().map_err(|error| self.write_error(error.into()))?;
        self.votes.as_ref().map_or(Ok(()), VotesWriter::sync)?;
        self.write(&line)?;
        self.file.sync_all().map_err(|source| self.write_error(source))?;
        Ok(footer)
    }

    fn write(&mut self, line: &[u8]) -> Result<(), EvidenceError> {
        self.file.write_all(line).map_err(|source| self.write_error(source))
    }

    fn write_error(&self, source: io::Error) -> EvidenceError {
        EvidenceError::Write { path: self.path.clone(), source }
    }
}

/// Locks a file, so that no second program writes it.
pub(super) fn lock(path: &Path, file: &File) -> Result<(), EvidenceError> {
    file.try_lock().map_err(|error| {
        let source = match error {
            TryLockError::WouldBlock => io::Error::other("another program is writing it"),
            TryLockError::Error(error) => error,
        };
        EvidenceError::Write { path: path.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        certify::{Certificate, Decision, Procedure, Votes},
        evidence::{example_header as header, read_evidence},
        units::Sigma,
    };

    fn record(index: u64) -> Record {
        let (selection, estimation): (Votes, Votes) = (vec![100, 0].into(), vec![10, 0].into());
        let procedure = Procedure::new(header().settings).unwrap();
        let Decision { class, p_lower, radius } = procedure.decide(&selection, &estimation, 10).unwrap();
        let (label, samples, seconds) = (Some(0), 10, 0.5);
        let certificate =
            Certificate { index, label, class, selection, estimation, samples, p_lower, radius, seconds };
        Record::new(certificate, &header())
    }

    fn write(path: &Path, count: u64) -> EvidenceWriter {
        let mut writer = EvidenceWriter::create(path, &header()).unwrap();
        for index in 0..count {
            writer.record(&record(index)).unwrap();
        }
        writer
    }

    #[test]
    fn what_is_written_is_read_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let footer = write(&path, 3).finish().unwrap();
        let evidence = read_evidence(&path).unwrap();
        assert_eq!((evidence.header, evidence.footer), (header(), footer));
        assert_eq!(evidence.records, (0..3).map(record).collect::<Vec<_>>());
    }

    #[test]
    fn torn_at_any_byte_and_resumed_it_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("whole.jsonl");
        write(&path, 3).finish().unwrap();
        let whole = fs::read(&path).unwrap();
        let header_end = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        let torn = folder.path().join("torn.jsonl");
        for end in (0..30).chain(header_end - 1..whole.len()) {
            fs::write(&torn, &whole[..end]).unwrap();
            let (mut writer, done) = EvidenceWriter::resume(&torn, &header()).unwrap().unwrap();
            for index in done..3 {
                writer.record(&record(index)).unwrap();
            }
            writer.finish().unwrap();
            assert_eq!(fs::read(&torn).unwrap(), whole, "torn at {end}");
        }
        assert!(EvidenceWriter::resume(&torn, &header()).unwrap().is_none());
    }

    #[test]
    fn another_run_is_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        drop(write(&path, 1));
        let mut other = header();
        other.settings.sigma = Sigma::new(0.5).unwrap();
        let Err(error) = EvidenceWriter::resume(&path, &other) else { panic!("resumed") };
        assert!(error.to_string().ends_with("its sigma differs (in the file 0.25, now 0.5)"), "{error}");
        (other.settings.seed, other.model.sha256, other.shard) = (2, "bb".into(), "1/2".parse().ok());
        let Err(error) = EvidenceWriter::resume(&path, &other) else { panic!("resumed") };
        assert!(
            error.to_string().ends_with(
                "its shard differs (in the file none, now 1/2), model.sha256 differs (in the file \"aa\", now \"bb\"), seed differs \
                 (in the file 1, now 2), sigma differs (in the file 0.25, now 0.5)"
            ),
            "{error}"
        );
        let mut moved = header();
        (moved.model.file, moved.started) = ("elsewhere.onnx".into(), 9);
        moved.execution.plan.batch = 512;
        assert!(EvidenceWriter::resume(&path, &moved).is_ok());
    }

    #[test]
    fn an_old_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        drop(write(&path, 1));
        assert!(matches!(EvidenceWriter::create(&path, &header()), Err(EvidenceError::Exists { .. })));
    }

    #[test]
    fn a_changed_digit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        write(&path, 3).finish().unwrap();
        let text = fs::read_to_string(&path).unwrap().replacen("\"index\":1", "\"index\":7", 1);
        fs::write(&path, text).unwrap();
        assert!(matches!(read_evidence(&path), Err(EvidenceError::Line { line: 3, .. })));
    }

    #[test]
    fn what_is_no_finished_evidence_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        fs::write(&path, "idx\tlabel\n").unwrap();
        assert!(matches!(read_evidence(&path), Err(EvidenceError::Line { line: 1, .. })));
        fs::remove_file(&path).unwrap();
        drop(write(&path, 2));
        assert!(matches!(read_evidence(&path), Err(EvidenceError::Unfinished { found: 2, expected: 3, .. })));
    }
}
