use std::{
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::{DataError, Dataset, OpenOptions, Split, hex, labels_beside::labels_beside, sha256};
use crate::{files, memory};

/// An IDX file of unsigned bytes, the format of MNIST and similar data sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// Lengths of the dimensions; the first is the number of items.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub bytes: Vec<u8>,
    /// SHA-256 of the file, unpacked if it was compressed, as 64 hexadecimal digits.
    pub sha256: String,
}

/// Reads an IDX file of unsigned bytes, plain or gzip. Compression is detected by the first two bytes, not by the name.
///
/// # Errors
/// [`DataError::Read`], or [`DataError::Malformed`] if it is not a complete IDX file of unsigned bytes.
pub fn read_idx(path: &Path) -> Result<Idx, DataError> {
    let file = files::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    parse_idx(path, BufReader::new(file))
}

/// Reads an IDX file of unsigned bytes, plain or gzip, from a reader; `path` names it in errors.
///
/// ```
/// use mithridate_runtime::data::parse_idx;
///
/// let content = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30];
/// let idx = parse_idx("three numbers".as_ref(), &content[..])?;
/// assert_eq!((idx.shape, idx.bytes), (vec![1, 3], vec![10, 20, 30]));
/// # Ok::<(), mithridate_runtime::data::DataError>(())
/// ```
///
/// # Errors
/// As [`read_idx`].
pub fn parse_idx(path: &Path, file: impl Read) -> Result<Idx, DataError> {
    parse_idx_of(path, file, |_| Ok(()))
}

/// Like [`parse_idx`], and calls `check` with the shape before the elements are read: a few compressed bytes can declare
/// and contain a very large array.
fn parse_idx_of(
    path: &Path,
    mut file: impl Read,
    check: impl FnOnce(&[usize]) -> Result<(), String>,
) -> Result<Idx, DataError> {
    let read_error = |source| DataError::Read { path: path.to_owned(), source };
    let malformed = |problem: String| DataError::Malformed { path: path.to_owned(), format: "IDX", problem };
    let mut start = Vec::with_capacity(2);
    file.by_ref().take(2).read_to_end(&mut start).map_err(read_error)?;
    let whole = std::io::Cursor::new(start.clone()).chain(file);
    let mut reader: Box<dyn Read + '_> =
        if start == [0x1f, 0x8b] { Box::new(GzDecoder::new(whole)) } else { Box::new(whole) };

    let mut header = vec![0; 4];
    let truncated = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => malformed("it ends within its header".into()),
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => malformed(error.to_string()),
        _ => DataError::Read { path: path.to_owned(), source: error },
    };
    reader.read_exact(&mut header).map_err(truncated)?;
    if header[..2] != [0, 0] {
        return Err(malformed(format!(
            "it starts with {:02x}{:02x} and not with 0000",
            header[0], header[1]
        )));
    }
    if header[2] != 0x08 {
        return Err(malformed(format!(
            "its elements are of type 0x{:02x} and not unsigned bytes (0x08)",
            header[2]
        )));
    }
    let rank = usize::from(header[3]);
    if !(1..=4).contains(&rank) {
        return Err(malformed(format!("it has {rank} dimensions; 1 to 4 are supported")));
    }
    header.resize(4 + 4 * rank, 0);
    reader.read_exact(&mut header[4..]).map_err(truncated)?;
    let shape: Vec<usize> = header[4..]
        .chunks_exact(4)
        .map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize)
        .collect();
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &size| count.checked_mul(size))
        .ok_or_else(|| malformed(format!("its shape {shape:?} is too large")))?;
    check(&shape).map_err(malformed)?;
    let damaged = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof
        | std::io::ErrorKind::InvalidInput
        | std::io::ErrorKind::InvalidData => {
            malformed(format!("its compressed content is damaged or truncated ({error})"))
        }
        _ => read_error(error),
    };
    let bytes = memory::read_at_most(&mut reader, count).map_err(damaged)?;
    let is_longer = bytes.len() == count && reader.read(&mut [0]).map_err(damaged)? > 0;
    if bytes.len() < count || is_longer {
        let found = if is_longer { "more".into() } else { format!("only {}", bytes.len()) };
        return Err(malformed(format!(
            "its header declares {count} bytes of shape {shape:?}, and {found} follow"
        )));
    }
    let mut hash = Sha256::new();
    hash.update(&header);
    hash.update(&bytes);
    Ok(Idx { shape, bytes, sha256: hex(&hash.finalize()) })
}

/// Names that the file of images of a split can have in a folder.
pub(super) fn names(split: Split) -> Vec<String> {
    let name = match split {
        Split::Train => "train-images-idx3-ubyte",
        Split::Test => "t10k-images-idx3-ubyte",
    };
    vec![name.into(), format!("{name}.gz"), name.replace("-idx3", ".idx3")]
}

/// Opens an IDX file of images, with the IDX file of labels beside it.
pub(super) fn open(path: &Path, _: &OpenOptions) -> Result<Dataset, DataError> {
    Dataset::from_idx(path, &labels_beside(path, "IDX")?)
}

impl Dataset {
    /// Reads an IDX file of images (N×H×W or N×C×H×W) and an IDX file of labels (N).
    ///
    /// # Errors
    /// [`DataError`] if a file can't be read or is malformed, or if the numbers of images and labels differ.
    pub fn from_idx(images_path: &Path, labels_path: &Path) -> Result<Self, DataError> {
        let open = |path: &Path| {
            files::open(path)
                .map(BufReader::new)
                .map_err(|source| DataError::Read { path: path.to_owned(), source })
        };
        Self::of_idx((images_path, open(images_path)?), || Ok((labels_path.to_owned(), open(labels_path)?)))
    }

    fn of_idx<R: Read>(
        (images_path, images): (&Path, impl Read),
        labels: impl FnOnce() -> Result<(PathBuf, R), DataError>,
    ) -> Result<Self, DataError> {
        // The shape is checked before anything large is read.
        let images = parse_idx_of(images_path, images, |shape| match shape {
            [_, _, _] | [_, _, _, _] if shape.contains(&0) => {
                Err(format!("its shape {shape:?} contains no image"))
            }
            [_, _, _] | [_, _, _, _] => Ok(()),
            _ => Err(format!("images have 3 or 4 dimensions (N, H, W or N, C, H, W), not {shape:?}")),
        })?;
        let count = images.shape[0];
        let shape = if let [_, channels, height, width] = images.shape[..] {
            [channels, height, width]
        } else {
            [1, images.shape[1], images.shape[2]]
        };
        let (labels_path, labels) = labels()?;
        let idx = parse_idx_of(&labels_path, labels, |shape| match shape {
            [_] => Ok(()),
            _ => Err(format!("labels have 1 dimension, not {shape:?}")),
        })?;
        if idx.bytes.len() != count {
            return Err(DataError::CountMismatch {
                images_path: images_path.to_owned(),
                images: count,
                labels_path,
                labels: idx.bytes.len(),
            });
        }
        let mut labels = Vec::new();
        memory::reserve(&mut labels, count)
            .map_err(|source| DataError::Read { path: labels_path.clone(), source })?;
        labels.extend(idx.bytes.into_iter().map(u16::from));
        Ok(Self {
            pixels: images.bytes,
            shape,
            labels,
            class_names: None,
            notes: Vec::new(),
            path: images_path.to_owned(),
            images_sha256: images.sha256,
            labels_sha256: idx.sha256,
        })
    }

    /// Reads images and labels in the IDX format, plain or gzip, from readers.
    ///
    /// # Errors
    /// [`DataError`] as for [`from_idx`](Self::from_idx).
    pub fn parse_idx(images: impl Read, labels: impl Read) -> Result<Self, DataError> {
        Self::of_idx((Path::new("images"), images), || Ok((PathBuf::from("labels"), labels)))
    }
}

/// Writes `bytes` as an IDX file of the given `shape` and returns the SHA-256 of its content. The file is written
/// atomically: it appears complete or not at all.
///
/// # Errors
/// [`DataError::Write`].
///
/// # Panics
/// If the number of bytes does not match `shape`, or a length does not fit 32 bits.
pub fn write_idx(path: &Path, shape: &[usize], bytes: &[u8]) -> Result<String, DataError> {
    assert_eq!(shape.iter().product::<usize>(), bytes.len(), "shape {shape:?} and {} bytes", bytes.len());
    assert!(shape.iter().all(|&size| u32::try_from(size).is_ok()), "{shape:?} does not fit an IDX file");
    let mut content = idx_header(0x08, shape);
    content.extend(bytes);
    files::write_atomically(path, |file| file.write_all(&content))
        .map_err(|source| DataError::Write { path: path.to_owned(), source })?;
    Ok(sha256(&content))
}

/// The header of an IDX file whose elements have the type code `element`.
pub(super) fn idx_header(element: u8, shape: &[usize]) -> Vec<u8> {
    let sizes = shape.iter().flat_map(|&size| (size as u32).to_be_bytes());
    [0, 0, element, shape.len() as u8].into_iter().chain(sizes).collect()
}

/// SHA-256 of the labels as an IDX file of unsigned bytes, or of 32-bit integers if a label is above 255. Empty if there
/// are no labels.
pub(super) fn labels_sha256(labels: &[u16]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let mut hash = Sha256::new();
    let narrow: Option<Vec<u8>> = labels.iter().map(|&label| u8::try_from(label).ok()).collect();
    if let Some(narrow) = narrow {
        hash.update(idx_header(0x08, &[labels.len()]));
        hash.update(narrow);
    } else {
        hash.update(idx_header(0x0c, &[labels.len()]));
        for &label in labels {
            hash.update(u32::from(label).to_be_bytes());
        }
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn problem(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, content).unwrap();
        let text = read_idx(&path).unwrap_err().to_string();
        text.rsplit_once("IDX file: ").unwrap().1.to_owned()
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(problem(&[]), "it ends within its header");
        assert_eq!(problem(b"PK\x03\x04zip"), "it starts with 504b and not with 0000");
        assert_eq!(
            problem(&[0, 0, 13, 1, 0, 0, 0, 0]),
            "its elements are of type 0x0d and not unsigned bytes (0x08)"
        );
        assert_eq!(problem(&[0, 0, 8, 9]), "it has 9 dimensions; 1 to 4 are supported");
        assert_eq!(problem(&[0, 0, 8, 1, 0, 0]), "it ends within its header");
        let two_of_three = [0, 0, 8, 1, 0, 0, 0, 3, 1, 2];
        assert_eq!(problem(&two_of_three), "its header declares 3 bytes of shape [3], and only 2 follow");
        let two_of_one = [0, 0, 8, 1, 0, 0, 0, 1, 1, 2];
        assert_eq!(problem(&two_of_one), "its header declares 1 bytes of shape [1], and more follow");
        let huge = [&[0, 0, 8, 4][..], &[0xff; 16], &[0]].concat();
        assert!(problem(&huge).ends_with("is too large"));
        let sizes = [4_294_967_295_u32, 6_700_417, 641, 1];
        let largest: Vec<u8> =
            [0, 0, 8, 4].into_iter().chain(sizes.into_iter().flat_map(u32::to_be_bytes)).collect();
        assert!(problem(&largest).contains("only 0 follow"));
    }

    #[test]
    fn gzip_is_read_alike_and_its_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, packed) = (folder.path().join("a"), folder.path().join("b"));
        let bytes: Vec<u8> = (0..200).collect();
        let hash = write_idx(&plain, &[2, 10, 10], &bytes).unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&std::fs::read(&plain).unwrap()).unwrap();
        let compressed = encoder.finish().unwrap();
        std::fs::write(&packed, &compressed).unwrap();
        let idx = read_idx(&packed).unwrap();
        assert_eq!(idx, read_idx(&plain).unwrap());
        assert_eq!(idx.sha256, hash);
        assert!(problem(&compressed[..compressed.len() / 2]).contains("damaged or truncated"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..64)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            std::fs::write(&path, &content).unwrap();
            if let Ok(idx) = read_idx(&path) {
                prop_assert_eq!(idx.shape.iter().product::<usize>(), idx.bytes.len());
            }
        }
    }
}
