use std::{
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{DataError, Dataset, OpenOptions, Split, hex};
use crate::files;

/// Shape of every image: channels, height, width.
const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// The data sets of Krizhevsky, *Learning multiple layers of features from tiny images* (2009), in their binary version:
/// records of one or two labels of one byte and an image, channel by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cifar {
    /// Ten classes; a record starts with the label.
    Ten,
    /// A hundred classes in twenty groups; a record starts with the group ("coarse label") and the class ("fine label").
    Hundred,
}

impl Cifar {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ten => "CIFAR-10",
            Self::Hundred => "CIFAR-100",
        }
    }

    /// Files of a split, in order.
    pub(super) fn files(self, split: Split) -> Vec<String> {
        match (self, split) {
            (Self::Ten, Split::Train) => (1..=5).map(|batch| format!("data_batch_{batch}.bin")).collect(),
            (Self::Ten, Split::Test) => vec!["test_batch.bin".into()],
            (Self::Hundred, Split::Train) => vec!["train.bin".into()],
            (Self::Hundred, Split::Test) => vec!["test.bin".into()],
        }
    }

    fn names_file(self) -> &'static str {
        match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        }
    }

    /// Name and number of possible values of each label of a record; the last label is the class.
    fn label_ranges(self) -> &'static [(&'static str, u8)] {
        match self {
            Self::Ten => &[("label", 10)],
            Self::Hundred => &[("coarse label", 20), ("fine label", 100)],
        }
    }

    fn classes(self) -> usize {
        self.label_ranges().last().map_or(0, |&(_, classes)| usize::from(classes))
    }

    /// Number of bytes of a record.
    fn record(self) -> usize {
        self.label_ranges().len() + PIXELS
    }

    /// Which of the two data sets a file of `bytes` bytes belongs to: by its name if that is an original one, else by
    /// its size.
    fn of_file(path: &Path, bytes: usize) -> Result<Self, String> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let original = |kind: Self| {
            [Split::Train, Split::Test]
                .into_iter()
                .any(|split| kind.files(split).iter().any(|file| file == name))
        };
        let [ten, hundred] = [Self::Ten, Self::Hundred].map(|kind| bytes.is_multiple_of(kind.record()));
        match (original(Self::Ten), original(Self::Hundred)) {
            (true, _) => Ok(Self::Ten),
            (_, true) => Ok(Self::Hundred),
            _ if bytes == 0 => Err("it is empty".into()),
            _ if ten && hundred => Err(format!(
                "its {bytes} bytes can be records of CIFAR-10 or of CIFAR-100; name it test_batch.bin for CIFAR-10 or \
                 test.bin for CIFAR-100"
            )),
            _ if ten => Ok(Self::Ten),
            _ if hundred => Ok(Self::Hundred),
            _ => Err(format!(
                "its {bytes} bytes are not a whole number of records, which have {} bytes in CIFAR-10 and {} in \
                 CIFAR-100; it is truncated or has another format",
                Self::Ten.record(),
                Self::Hundred.record()
            )),
        }
    }
}

/// Opens a split of the data set `kind`, whose files are in `folder`.
pub(super) fn open_folder(folder: &Path, kind: Cifar, split: Split) -> Result<Dataset, DataError> {
    let files: Vec<PathBuf> = kind.files(split).iter().map(|name| folder.join(name)).collect();
    let path = if let [file] = &files[..] { file.clone() } else { folder.to_owned() };
    let mut reader = Reader::new(kind);
    for file in &files {
        reader.append(file, &read(file)?)?;
    }
    let names = class_names(&folder.join(kind.names_file()), kind.classes())?;
    Ok(reader.finish(path, names))
}

/// Opens one file of records.
pub(super) fn open(path: &Path, _: &OpenOptions) -> Result<Dataset, DataError> {
    let (kind, reader) = read_records(path, &read(path)?)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let names = class_names(&folder.join(kind.names_file()), kind.classes())?;
    Ok(reader.finish(path.to_owned(), names))
}

/// Reads records from memory, without class names; `path` names them in errors.
fn parse(path: &Path, bytes: &[u8]) -> Result<Dataset, DataError> {
    Ok(read_records(path, bytes)?.1.finish(path.to_owned(), None))
}

fn read_records(path: &Path, bytes: &[u8]) -> Result<(Cifar, Reader), DataError> {
    let kind = Cifar::of_file(path, bytes.len()).map_err(|problem| DataError::Malformed {
        path: path.to_owned(),
        format: "CIFAR",
        problem,
    })?;
    let mut reader = Reader::new(kind);
    reader.append(path, bytes)?;
    Ok((kind, reader))
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    files::read(path).map_err(|source| DataError::Read { path: path.to_owned(), source })
}

impl Dataset {
    /// Reads records of CIFAR-10 or CIFAR-100 from memory. Which of the two follows from the number of bytes.
    ///
    /// # Errors
    /// [`DataError::Malformed`].
    pub fn parse_cifar(records: &[u8]) -> Result<Self, DataError> {
        parse(Path::new("records"), records)
    }
}

/// Collects the records of several files.
struct Reader {
    kind: Cifar,
    pixels: Vec<u8>,
    labels: Vec<u16>,
    hash: Sha256,
}

impl Reader {
    fn new(kind: Cifar) -> Self {
        Self { kind, pixels: Vec::new(), labels: Vec::new(), hash: Sha256::new() }
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DataError> {
        let kind = self.kind;
        let malformed =
            |problem| DataError::Malformed { path: path.to_owned(), format: kind.name(), problem };
        if bytes.is_empty() {
            return Err(malformed("it is empty".into()));
        }
        if !bytes.len().is_multiple_of(kind.record()) {
            return Err(malformed(format!(
                "its {} bytes are not a whole number of records of {} bytes; it is truncated or has another format",
                bytes.len(),
                kind.record()
            )));
        }
        let records = bytes.len() / kind.record();
        self.pixels
            .try_reserve_exact(records * PIXELS)
            .and_then(|()| self.labels.try_reserve_exact(records))
            .map_err(|error| DataError::Read { path: path.to_owned(), source: error.into() })?;
        self.hash.update(bytes);
        for (image, record) in bytes.chunks_exact(kind.record()).enumerate() {
            let (labels, pixels) = record.split_at(record.len() - PIXELS);
            for (&label, &(name, values)) in labels.iter().zip(kind.label_ranges()) {
                if label >= values {
                    let problem =
                        format!("the {name} of image {image} is {label} and not from 0 to {}", values - 1);
                    return Err(malformed(problem));
                }
            }
            self.labels.extend(labels.last().copied().map(u16::from));
            self.pixels.extend(pixels);
        }
        Ok(())
    }

    fn finish(self, path: PathBuf, class_names: Option<Vec<String>>) -> Dataset {
        let sha256 = hex(&self.hash.finalize());
        Dataset {
            pixels: self.pixels,
            shape: SHAPE,
            labels: self.labels,
            class_names,
            notes: Vec::new(),
            path,
            images_sha256: sha256.clone(),
            labels_sha256: sha256,
        }
    }
}

/// Class names from a file with one name per line; `None` if the file does not exist or does not have `classes` names.
fn class_names(path: &Path, classes: usize) -> Result<Option<Vec<String>>, DataError> {
    let text = match files::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DataError::Read { path: path.to_owned(), source }),
    };
    let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<String> = names.take(classes + 1).map(str::to_owned).collect();
    Ok((names.len() == classes).then_some(names))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Records with these labels; the image of record i has the value i in red, i + 1 in green, i + 2 in blue.
    fn records(labels: &[&[u8]]) -> Vec<u8> {
        let record = |(image, labels): (usize, &&[u8])| {
            let planes = (0..3).flat_map(move |channel| [(image + channel) as u8; 1024]);
            labels.iter().copied().chain(planes).collect::<Vec<u8>>()
        };
        labels.iter().enumerate().flat_map(record).collect()
    }

    fn open(name: &str, content: &[u8]) -> Result<Dataset, DataError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        Dataset::open(&folder.path().join(name), Split::Test)
    }

    fn problem(name: &str, content: &[u8]) -> String {
        open(name, content).unwrap_err().to_string().split_once(" is not a valid ").unwrap().1.to_owned()
    }

    #[test]
    fn batches_are_read_in_order_and_hashed_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = Vec::new();
        for (batch, name) in Cifar::Ten.files(Split::Train).iter().enumerate() {
            let content = records(&[&[batch as u8], &[9 - batch as u8]]);
            fs::write(folder.path().join(name), &content).unwrap();
            whole.extend(content);
        }
        let data = Dataset::open(folder.path(), Split::Train).unwrap();
        assert_eq!((data.len(), data.shape()), (10, [3, 32, 32]));
        assert_eq!(data.labels(), [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]);
        assert_eq!(data.pixels(7), [[1; 1024], [2; 1024], [3; 1024]].concat());
        assert_eq!(data.path, folder.path());
        assert_eq!(data.images_sha256, crate::data::sha256(&whole));
        assert_eq!(data.labels_sha256, data.images_sha256);
        assert_eq!(data.class_names(), None);

        let text = |split| Dataset::open(folder.path(), split).unwrap_err().to_string();
        assert!(
            text(Split::Test).ends_with("its CIFAR-10 files lack test_batch.bin"),
            "{}",
            text(Split::Test)
        );
        fs::remove_file(folder.path().join("data_batch_3.bin")).unwrap();
        assert!(text(Split::Train).ends_with("lack data_batch_3.bin"), "{}", text(Split::Train));
    }

    #[test]
    fn the_class_of_cifar_100_is_the_fine_label() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("test.bin"), records(&[&[19, 99], &[0, 42]])).unwrap();
        let names: Vec<String> = (0..100).map(|class| format!("class {class}")).collect();
        fs::write(folder.path().join("fine_label_names.txt"), names.join("\r\n") + "\n\n").unwrap();
        let data = Dataset::open(folder.path(), Split::Test).unwrap();
        assert_eq!(data.labels(), [99, 42]);
        assert_eq!(data.pixels(1)[..1025], [[1; 1024].as_slice(), &[2]].concat());
        assert_eq!(data.class_names(), Some(names));
        fs::write(folder.path().join("fine_label_names.txt"), "too\nfew\n").unwrap();
        assert_eq!(Dataset::open(folder.path(), Split::Test).unwrap().class_names(), None);
    }

    #[test]
    fn a_file_of_another_name_is_told_by_its_size() {
        assert_eq!(open("some.bin", &records(&[&[3], &[4]])).unwrap().labels(), [3, 4]);
        assert_eq!(open("some.bin", &records(&[&[3, 5]])).unwrap().labels(), [5]);
        let both = vec![0; 3073 * 3074];
        assert!(problem("some.bin", &both).contains("can be records of CIFAR-10 or of CIFAR-100"));
        assert_eq!(open("test_batch.bin", &both).unwrap().len(), 3074);
        assert_eq!(open("test.bin", &both).unwrap().len(), 3073);
    }

    #[test]
    fn damage_is_named() {
        let whole = records(&[&[3], &[4]]);
        assert_eq!(
            problem("test_batch.bin", &whole[..5000]),
            "CIFAR-10 file: its 5000 bytes are not a whole number of records of 3073 bytes; it is truncated or \
             has another format"
        );
        assert!(problem("some.bin", &whole[..5000]).contains("3073 bytes in CIFAR-10 and 3074 in CIFAR-100"));
        assert_eq!(problem("test_batch.bin", &[]), "CIFAR-10 file: it is empty");
        assert_eq!(problem("some.bin", &[]), "CIFAR file: it is empty");
        assert_eq!(
            problem("test_batch.bin", &records(&[&[3], &[10]])),
            "CIFAR-10 file: the label of image 1 is 10 and not from 0 to 9"
        );
        assert_eq!(
            problem("train.bin", &records(&[&[20, 3]])),
            "CIFAR-100 file: the coarse label of image 0 is 20 and not from 0 to 19"
        );
        assert_eq!(
            problem("train.bin", &records(&[&[1, 100]])),
            "CIFAR-100 file: the fine label of image 0 is 100 and not from 0 to 99"
        );
    }
}
