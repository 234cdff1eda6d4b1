use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::data::hex;

use super::{
    EvidenceError, Footer, Header, Record,
    format::Line,
    read::{read_partial, read_text},
};

/// Writes an evidence file line by line, each line handed to the operating system whole before the next
/// input is reported.
pub struct EvidenceWriter {
    path: PathBuf,
    file: File,
    hash: Sha256,
    totals: Footer,
}

impl EvidenceWriter {
    /// Starts a new file.
    ///
    /// # Errors
    /// [`EvidenceError::Exists`] if there is one of that name, [`EvidenceError::Write`].
    pub fn create(path: &Path, header: &Header) -> Result<Self, EvidenceError> {
        let file =
            OpenOptions::new().write(true).create_new(true).open(path).map_err(|source| {
                match source.kind() {
                    io::ErrorKind::AlreadyExists => EvidenceError::Exists { path: path.to_owned() },
                    _ => EvidenceError::Write { path: path.to_owned(), source },
                }
            })?;
        Self::begin(path, lock(path, file)?, header)
    }

    fn begin(path: &Path, file: File, header: &Header) -> Result<Self, EvidenceError> {
        let mut writer = Self::new(path, file);
        writer.line(&Line::Header(Box::new(header.clone())))?;
        Ok(writer)
    }

    /// Continues an interrupted file: drops a torn last line and returns how many inputs are done. `None` if the
    /// file is finished.
    ///
    /// # Errors
    /// [`EvidenceError::OtherRun`] if the file was made with other settings, or any error of reading it.
    pub fn resume(path: &Path, header: &Header) -> Result<Option<(Self, u64)>, EvidenceError> {
        let write_error = |source| EvidenceError::Write { path: path.to_owned(), source };
        let mut file = lock(path, OpenOptions::new().write(true).open(path).map_err(write_error)?)?;
        let text = read_text(path)?;
        if is_torn_header(&text) {
            file.set_len(0).map_err(write_error)?;
            return Ok(Some((Self::begin(path, file, header)?, 0)));
        }
        let partial = read_partial(path, &text)?;
        same_run(path, &partial.header, header)?;
        if partial.footer.is_some() {
            return Ok(None);
        }
        file.set_len(partial.bytes as u64).map_err(write_error)?;
        file.seek(SeekFrom::End(0)).map_err(write_error)?;
        let mut writer = Self::new(path, file);
        writer.hash.update(&text.as_bytes()[..partial.bytes]);
        for record in &partial.records {
            writer.totals.add(record, header);
        }
        Ok(Some((writer, partial.records.len() as u64)))
    }

    fn new(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), file, hash: Sha256::new(), totals: Footer::default() }
    }

    /// Adds the certificate of the next input.
    ///
    /// # Errors
    /// [`EvidenceError::Write`].
    pub fn record(&mut self, record: Record, header: &Header) -> Result<(), EvidenceError> {
        self.totals.add(&record, header);
        self.line(&Line::Input(record))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`EvidenceError::Write`].
    pub fn finish(mut self) -> Result<Footer, EvidenceError> {
        self.totals.sha256 = hex(&self.hash.clone().finalize());
        let footer = self.totals.clone();
        self.line(&Line::Footer(footer.clone()))?;
        self.file.sync_all().map_err(|source| EvidenceError::Write { path: self.path.clone(), source })?;
        Ok(footer)
    }

    fn line(&mut self, line: &Line) -> Result<(), EvidenceError> {
        let mut text = serde_json::to_vec(line).map_err(|error| self.write_error(error.into()))?;
        text.push(b'\n');
        self.hash.update(&text);
        // One call a line: an interruption tears at most the last one.
        self.file.write_all(&text).map_err(|source| self.write_error(source))
    }

    fn write_error(&self, source: io::Error) -> EvidenceError {
        EvidenceError::Write { path: self.path.clone(), source }
    }
}

/// Keeps a second program from writing the same file.
fn lock(path: &Path, file: File) -> Result<File, EvidenceError> {
    file.try_lock().map_err(|error| {
        let source = match error {
            fs::TryLockError::WouldBlock => io::Error::other("another program is writing it"),
            fs::TryLockError::Error(error) => error,
        };
        EvidenceError::Write { path: path.to_owned(), source }
    })?;
    Ok(file)
}

/// Whether a run was interrupted before its header was whole. Nothing else is taken for that, so that no other file
/// is ever written over.
pub(super) fn is_torn_header(text: &str) -> bool {
    const START: &str = "{\"kind\":\"header\"";
    !text.contains('\n') && (text.starts_with(START) || START.starts_with(text))
}

/// Fails unless both headers are of the same run: everything must agree but the time, the machine, names of files
/// (their hashes count) and how the work is split.
fn same_run(path: &Path, there: &Header, here: &Header) -> Result<(), EvidenceError> {
    let comparable = |header: &Header| {
        let mut header = header.clone();
        header.machine = super::Machine { system: String::new(), processor: String::new(), threads: 0 };
        header.started = 0;
        header.model.file.clear();
        header.data.file.clear();
        header.execution.plan = crate::certify::Plan { sessions: 0, threads: 0, batch: 0 };
        serde_json::to_value(header).unwrap_or_default()
    };
    let (there, here) = (comparable(there), comparable(here));
    match first_difference(&there, &here, "") {
        None => Ok(()),
        Some((what, there, here)) => {
            Err(EvidenceError::OtherRun { path: path.to_owned(), what, there, here })
        }
    }
}

fn first_difference(
    there: &serde_json::Value,
    here: &serde_json::Value,
    name: &str,
) -> Option<(String, String, String)> {
    if let (Some(left), Some(right)) = (there.as_object(), here.as_object()) {
        return left.iter().find_map(|(key, value)| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            first_difference(value, right.get(key).unwrap_or(&serde_json::Value::Null), &name)
        });
    }
    (there != here).then(|| (name.to_owned(), there.to_string(), here.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certify::{Plan, Settings},
        evidence::{
            DataSource, Execution, Machine, ModelSource, ModelUse, NoiseSource, SCHEMA, Selection,
            read_evidence,
        },
        units::Sigma,
    };

    fn header() -> Header {
        Header {
            schema: SCHEMA.into(),
            tool: "test".into(),
            model: ModelSource {
                file: "m.onnx".into(),
                sha256: "aa".into(),
                classes: 2,
                external: Vec::new(),
                r#use: ModelUse::default(),
            },
            data: DataSource {
                file: "images".into(),
                images_sha256: "bb".into(),
                labels_sha256: "cc".into(),
                shape: [1, 1, 1],
                range: [0.0, 1.0],
            },
            selection: Selection { classes: vec![], skip: 1, max: None, count: 3 },
            settings: Settings { n: 10, ..Settings::new(Sigma::new(0.25).unwrap(), 1) },
            stopping_rule: "fixed".into(),
            noise: NoiseSource {
                distribution: "gaussian".into(),
                mode: "independent".into(),
                generator: "g".into(),
            },
            execution: Execution {
                engine: "mock".into(),
                provider: "cpu".into(),
                precision: "float32".into(),
                plan: Plan { sessions: 1, threads: 1, batch: 64 },
            },
            machine: Machine::this(),
            started: 1,
        }
    }

    fn record(index: u64) -> Record {
        Record {
            index,
            label: 0,
            class: Some(0),
            selection: vec![100, 0].into(),
            estimation: vec![10, 0].into(),
            samples: 10,
            p_lower: 0.501_187_233_627_272_1,
            radius: 0.1 / 3.0,
            abstained: false,
            seconds: 0.5,
        }
    }

    fn write(path: &Path, count: u64) -> EvidenceWriter {
        let mut writer = EvidenceWriter::create(path, &header()).unwrap();
        for index in 0..count {
            writer.record(record(index), &header()).unwrap();
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
                writer.record(record(index), &header()).unwrap();
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
        assert!(error.to_string().ends_with("its sigma differs (there 0.25, here 0.5)"), "{error}");
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
        assert!(matches!(read_evidence(&path), Err(EvidenceError::Changed { .. })));
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
