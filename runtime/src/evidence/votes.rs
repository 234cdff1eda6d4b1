use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::{EvidenceError, Record};
use crate::{
    certify::{NOT_A_NUMBER, Vote, Votes},
    data::sha256,
    files, memory,
};

/// First bytes of a file of kept votes.
const MAGIC: &[u8; 8] = b"mithvot1";
/// Number of bytes before the compressed votes of an input: its index, the number of votes and the number of compressed
/// bytes, each as a little-endian integer of 8 bytes.
const ENTRY: usize = 24;

/// The path of the file of kept votes of an evidence file: its path followed by `.votes`.
pub fn votes_path(evidence: &Path) -> PathBuf {
    let mut name = OsString::from(evidence);
    name.push(".votes");
    name.into()
}

/// The hash of the votes of an input, as its record names it.
pub(super) fn sha256_of_votes(votes: &[Vote]) -> String {
    sha256(&to_bytes(votes))
}

/// Two bytes for each vote, little-endian.
fn to_bytes(votes: &[Vote]) -> Vec<u8> {
    votes.iter().flat_map(|vote| vote.to_le_bytes()).collect()
}

/// Writes a file of kept votes: the votes of all estimation samples of each input, compressed.
pub struct VotesWriter {
    path: PathBuf,
    file: File,
}

impl VotesWriter {
    /// Starts a new file.
    ///
    /// # Errors
    /// [`EvidenceError::Taken`] if the file exists, [`EvidenceError::Write`].
    pub fn create(path: &Path) -> Result<Self, EvidenceError> {
        Self::check_new(path)?;
        Self::begin(path, OpenOptions::new().write(true).create_new(true))
    }

    /// Checks before a run that the file does not exist, so that [`create`](Self::create) will not fail because of it.
    ///
    /// # Errors
    /// [`EvidenceError::Taken`].
    pub fn check_new(path: &Path) -> Result<(), EvidenceError> {
        if path.exists() { Err(EvidenceError::Taken { path: path.to_owned() }) } else { Ok(()) }
    }

    fn begin(path: &Path, options: &OpenOptions) -> Result<Self, EvidenceError> {
        let error = |source| EvidenceError::Write { path: path.to_owned(), source };
        let mut file = options.open(path).map_err(error)?;
        file.write_all(MAGIC).map_err(error)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Resumes the file of an interrupted run after the votes of `records`. After a loss of power the file may have the
    /// votes of the first records only. Returns the writer and the number of records whose votes are complete.
    ///
    /// # Errors
    /// [`EvidenceError::Read`], [`EvidenceError::Write`], [`EvidenceError::Votes`] if it is not a file of kept votes.
    pub fn resume(path: &Path, records: &[Record]) -> Result<(Self, usize), EvidenceError> {
        if records.is_empty() || !path.exists() {
            check_magic(path)?;
            let writer = Self::begin(path, OpenOptions::new().write(true).create(true).truncate(true))?;
            return Ok((writer, 0));
        }
        let entries = entries(path)?;
        let mut kept = KeptVotes::open(path)?;
        let mut is_whole =
            |record: &Record, entry: &Entry| entry.index == record.index && kept.of(record).is_ok();
        let done =
            records.iter().zip(&entries).take_while(|&(record, entry)| is_whole(record, entry)).count();
        let end = entries[..done].last().map_or(MAGIC.len() as u64, |last| last.at + last.bytes);
        let error = |source| EvidenceError::Write { path: path.to_owned(), source };
        let mut file = OpenOptions::new().write(true).open(path).map_err(error)?;
        file.set_len(end).map_err(error)?;
        file.seek(SeekFrom::End(0)).map_err(error)?;
        Ok((Self { path: path.to_owned(), file }, done))
    }

    /// Flushes everything written to the disk.
    ///
    /// # Errors
    /// [`EvidenceError::Write`].
    pub fn sync(&self) -> Result<(), EvidenceError> {
        self.file.sync_all().map_err(|source| EvidenceError::Write { path: self.path.clone(), source })
    }

    /// Appends the votes of the input `index`. Returns their SHA-256 for its record.
    ///
    /// # Errors
    /// [`EvidenceError::Write`].
    pub fn add(&mut self, index: u64, votes: &[Vote]) -> Result<String, EvidenceError> {
        let bytes = to_bytes(votes);
        let write = |file: &mut File| -> io::Result<()> {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&bytes)?;
            let packed = encoder.finish()?;
            let mut entry = Vec::with_capacity(ENTRY + packed.len());
            for number in [index, votes.len() as u64, packed.len() as u64] {
                entry.extend(number.to_le_bytes());
            }
            entry.extend(packed);
            file.write_all(&entry)
        };
        write(&mut self.file).map_err(|source| EvidenceError::Write { path: self.path.clone(), source })?;
        Ok(sha256(&bytes))
    }
}

/// Checks that a file may be overwritten: it does not exist, or it is a (possibly incomplete) file of kept votes.
fn check_magic(path: &Path) -> Result<(), EvidenceError> {
    if !path.exists() {
        return Ok(());
    }
    let mut start = Vec::new();
    files::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
        .map_err(|source| EvidenceError::Read { path: path.to_owned(), source })?;
    if MAGIC.starts_with(&start) { Ok(()) } else { Err(no_votes(path)) }
}

fn no_votes(path: &Path) -> EvidenceError {
    EvidenceError::Votes { path: path.to_owned(), problem: "it is not a file of kept votes".into() }
}

/// Position of the votes of one input in the file.
struct Entry {
    index: u64,
    votes: u64,
    at: u64,
    bytes: u64,
}

/// The entries of a file, without an incomplete last one.
fn entries(path: &Path) -> Result<Vec<Entry>, EvidenceError> {
    let error = |source| EvidenceError::Read { path: path.to_owned(), source };
    let mut file = files::open(path).map_err(error)?;
    let size = file.metadata().map_err(error)?.len();
    let mut magic = [0; MAGIC.len()];
    if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return Err(no_votes(path));
    }
    let mut entries = Vec::new();
    let no_room =
        || error(io::Error::new(io::ErrorKind::OutOfMemory, "it has too many entries for the memory"));
    let mut at = MAGIC.len() as u64;
    loop {
        let mut head = [0; ENTRY];
        if size.saturating_sub(at) < ENTRY as u64 {
            return Ok(entries);
        }
        file.seek(SeekFrom::Start(at)).map_err(error)?;
        file.read_exact(&mut head).map_err(error)?;
        let number = |place: usize| {
            head[8 * place..8 * place + 8]
                .iter()
                .rev()
                .fold(0_u64, |number, &byte| number << 8 | u64::from(byte))
        };
        let (index, votes, bytes) = (number(0), number(1), number(2));
        at += ENTRY as u64;
        if bytes > size - at {
            return Ok(entries);
        }
        entries.try_reserve(1).map_err(|_| no_room())?;
        entries.push(Entry { index, votes, at, bytes });
        at += bytes;
    }
}

/// A file of kept votes, opened for reading.
pub struct KeptVotes {
    path: PathBuf,
    file: File,
    /// Size of the file in bytes.
    size: u64,
    entries: HashMap<u64, Entry>,
}

impl KeptVotes {
    /// Opens the file and reads its list of entries.
    ///
    /// # Errors
    /// [`EvidenceError::Read`], [`EvidenceError::Votes`] if it is not a file of kept votes.
    pub fn open(path: &Path) -> Result<Self, EvidenceError> {
        let found = entries(path)?;
        let mut entries = HashMap::new();
        entries.try_reserve(found.len()).map_err(|_| EvidenceError::Votes {
            path: path.to_owned(),
            problem: format!("it has {} entries, too many for the memory", found.len()),
        })?;
        entries.extend(found.into_iter().map(|entry| (entry.index, entry)));
        let error = |source| EvidenceError::Read { path: path.to_owned(), source };
        let file = files::open(path).map_err(error)?;
        let size = file.metadata().map_err(error)?.len();
        Ok(Self { path: path.to_owned(), file, size, entries })
    }

    /// Checks that the file contains nothing except the votes of `records`.
    ///
    /// # Errors
    /// [`EvidenceError::Votes`].
    pub fn is_of(&self, records: &[Record]) -> Result<(), EvidenceError> {
        let of_records = records.iter().filter_map(|record| self.entries.get(&record.index));
        let expected = MAGIC.len() as u64 + of_records.map(|entry| ENTRY as u64 + entry.bytes).sum::<u64>();
        if expected == self.size {
            return Ok(());
        }
        let problem = format!("it has {} bytes and the votes of the run take {expected}", self.size);
        Err(EvidenceError::Votes { path: self.path.clone(), problem })
    }

    /// Reads the votes of all estimation samples of a record, and checks them against the hash and the counts in the
    /// record.
    ///
    /// # Errors
    /// [`EvidenceError::Votes`] if the votes are missing or do not match.
    pub fn of(&mut self, record: &Record) -> Result<Vec<Vote>, EvidenceError> {
        let votes = self.get(record.index, record.samples, record.votes_sha256.as_deref())?;
        let classes = record.estimation.by_class().len();
        let is_vote = |&vote: &Vote| usize::from(vote) < classes || vote >= NOT_A_NUMBER;
        let mut counts = Votes::none(classes);
        counts.count(&votes);
        if counts == record.estimation && votes.iter().all(is_vote) {
            return Ok(votes);
        }
        let problem =
            format!("the votes of input {} do not add up to the counts in the evidence", record.index);
        Err(EvidenceError::Votes { path: self.path.clone(), problem })
    }

    /// Reads the votes of the input `index` and checks their number `count` and their SHA-256 `expected`.
    ///
    /// # Errors
    /// [`EvidenceError::Votes`] if the votes are missing or do not match.
    fn get(&mut self, index: u64, count: u64, expected: Option<&str>) -> Result<Vec<Vote>, EvidenceError> {
        let path = self.path.clone();
        let wrong = |problem: String| EvidenceError::Votes { path: path.clone(), problem };
        let entry =
            self.entries.get(&index).ok_or_else(|| wrong(format!("it has no votes of input {index}")))?;
        if entry.votes != count {
            return Err(wrong(format!(
                "it has {} votes of input {index}, and the evidence has {count}",
                entry.votes
            )));
        }
        self.file.seek(SeekFrom::Start(entry.at)).map_err(|error| wrong(error.to_string()))?;
        // Unpack no more than the expected votes take, whatever the file contains.
        let most = usize::try_from(count.saturating_mul(2).saturating_add(1)).unwrap_or(usize::MAX);
        let bytes = memory::read_at_most(DeflateDecoder::new((&mut self.file).take(entry.bytes)), most)
            .map_err(|error| wrong(format!("the votes of input {index} can't be unpacked: {error}")))?;
        if expected != Some(sha256(&bytes).as_str()) {
            return Err(wrong(format!(
                "the SHA-256 of the votes of input {index} is not the one in the evidence"
            )));
        }
        let mut votes = Vec::new();
        memory::reserve(&mut votes, bytes.len() / 2).map_err(|error| wrong(error.to_string()))?;
        votes.extend(bytes.chunks_exact(2).map(|pair| Vote::from_le_bytes([pair[0], pair[1]])));
        Ok(votes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::TIE;

    #[test]
    fn votes_come_back_and_are_few_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = votes_path(&folder.path().join("run.jsonl"));
        assert!(path.ends_with("run.jsonl.votes"));
        let mut votes = vec![3; 100_000];
        (votes[7], votes[99_999]) = (TIE, 300);
        let mut writer = VotesWriter::create(&path).unwrap();
        let hash = writer.add(12, &votes).unwrap();
        let none = writer.add(15, &[]).unwrap();
        drop(writer);
        assert!(path.metadata().unwrap().len() < 1000);
        let mut kept = KeptVotes::open(&path).unwrap();
        assert_eq!(kept.get(12, 100_000, Some(&hash)).unwrap(), votes);
        assert!(kept.get(15, 0, Some(&none)).unwrap().is_empty());
        for (index, count, hash) in [
            (12, 99_999, Some(hash.as_str())),
            (13, 1, Some(&hash)),
            (12, 100_000, Some(&none)),
            (15, 0, None),
        ] {
            assert!(matches!(kept.get(index, count, hash), Err(EvidenceError::Votes { .. })));
        }
    }

    #[test]
    fn lengths_that_a_file_claims_take_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes");
        for (votes, bytes) in [(u64::MAX, 2), (1 << 62, 2), (1 << 40, 2), (7, u64::MAX), (7, 3)] {
            let mut content = MAGIC.to_vec();
            for number in [5, votes, bytes] {
                content.extend(number.to_le_bytes());
            }
            // An empty block that is the last one.
            content.extend([3, 0]);
            std::fs::write(&path, content).unwrap();
            let mut kept = KeptVotes::open(&path).unwrap();
            let error = kept.get(5, votes, Some("aa")).unwrap_err().to_string();
            assert!(error.contains("of input 5"), "{error}");
        }
    }

    #[test]
    fn a_torn_file_is_continued_where_it_agrees_with_the_evidence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes");
        let mut writer = VotesWriter::create(&path).unwrap();
        assert!(VotesWriter::create(&path).is_err(), "another run's votes");
        let records: Vec<Record> = (0..4_u16)
            .map(|index| {
                let hash = writer.add(u64::from(index), &[index; 50]).unwrap();
                let mut estimation = [0; 4];
                estimation[usize::from(index)] = 50;
                serde_json::from_value(serde_json::json!({
                    "index": index, "class": 0, "selection": [], "estimation": estimation, "samples": 50, "p_lower": 0.0,
                    "radius": 0.0, "abstained": true, "votes_sha256": hash, "seconds": 0.0
                }))
                .unwrap()
            })
            .collect();
        drop(writer);
        let whole = std::fs::read(&path).unwrap();
        for end in MAGIC.len()..whole.len() {
            // Truncated; and, as after a loss of power, of full length with zeros at the end.
            for zeros in [0, whole.len() - end] {
                std::fs::write(&path, [&whole[..end], &vec![0; zeros]].concat()).unwrap();
                let (mut writer, there) = VotesWriter::resume(&path, &records).unwrap();
                for record in &records[there..] {
                    writer.add(record.index, &[record.index as u16; 50]).unwrap();
                }
                writer.sync().unwrap();
                drop(writer);
                assert_eq!(std::fs::read(&path).unwrap(), whole, "torn at {end}");
            }
        }
    }
}
