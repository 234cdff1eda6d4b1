use std::{
    fmt::Display,
    io::{self, BufReader, BufWriter, Read, Seek},
    path::Path,
};

use ndarray::{ArrayD, ArrayViewD, Axis};
use ndarray_npy::{NpzWriter, ReadNpyExt, ReadableElement, npy::header::Header};
use zip::{CompressionMethod, DateTime, ZipArchive, write::SimpleFileOptions};

use super::{DataError, Dataset, sha256};
use crate::files;

/// Longest header that is read, as in NumPy.
const LONGEST_HEADER: usize = 10_000;

/// Elements that labels can have, as NumPy writes them.
const INTEGERS: [&str; 14] =
    ["|u1", "|i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4", "<u8", ">u8", "<i8", ">i8"];

/// An array for [`write_npz`].
#[derive(Clone, Debug)]
pub enum NpzArray<'a> {
    /// Bytes, `uint8`.
    Bytes(ArrayViewD<'a, u8>),
    /// Integers, `int64`.
    Integers(ArrayViewD<'a, i64>),
}

/// Writes arrays under their names to an npz file, which NumPy reads with `load`. The file appears whole or not at
/// all; the same arrays give the same bytes.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("two.npz");
/// use mithridate_runtime::data::{Dataset, NpzArray, Split, write_npz};
/// use ndarray::{Array3, array};
///
/// let images = Array3::<u8>::zeros((2, 28, 28)).into_dyn();
/// let labels = array![3_i64, 8].into_dyn();
/// let arrays = [("images", NpzArray::Bytes(images.view())), ("labels", NpzArray::Integers(labels.view()))];
/// write_npz(&path, &arrays)?;
/// assert_eq!(Dataset::open(&path, Split::Test)?.labels(), [3, 8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`DataError::Write`], also if two arrays have the same name.
pub fn write_npz(path: &Path, arrays: &[(&str, NpzArray<'_>)]) -> Result<(), DataError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    files::write_atomically(path, |file| {
        let mut npz = NpzWriter::new(BufWriter::new(file));
        for (name, array) in arrays {
            let bytes = match array {
                NpzArray::Bytes(array) => array.len(),
                NpzArray::Integers(array) => size_of::<i64>() * array.len(),
            };
            let options = options.large_file(u32::try_from(bytes + LONGEST_HEADER).is_err());
            match array {
                NpzArray::Bytes(array) => npz.add_array_with_options(*name, array, options),
                NpzArray::Integers(array) => npz.add_array_with_options(*name, array, options),
            }
            .map_err(io::Error::other)?;
        }
        npz.finish().map_err(io::Error::other)?;
        Ok(())
    })
    .map_err(|source| DataError::Write { path: path.to_owned(), source })
}

/// Opens an npz file with the arrays `images` and `labels`; `images` alone will do where `unlabelled` is true.
pub(super) fn open_npz(path: &Path, unlabelled: bool) -> Result<Dataset, DataError> {
    let file = files::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    parse_npz(path, BufReader::new(file), unlabelled)
}

/// The same from anything that can be read; `path` names it in errors.
pub(super) fn parse_npz(
    path: &Path,
    reader: impl Read + Seek,
    unlabelled: bool,
) -> Result<Dataset, DataError> {
    let malformed = |problem| DataError::Malformed { path: path.to_owned(), format: "npz", problem };
    let mut archive = ZipArchive::new(reader)
        .map_err(|error| malformed(format!("it is no zip archive or is cut short ({error})")))?;
    // Arrays of other names may be labels that are called otherwise.
    let is_alone = archive.len() == 1;
    let mut member = |name: &str, elements: &[&str]| {
        let names: Vec<&str> = archive.file_names().collect();
        let Some(full) =
            [format!("{name}.npy"), name.into()].into_iter().find(|full| names.contains(&&**full))
        else {
            let found = list(&names);
            return Err(malformed(format!(
                "it holds no array '{name}', {found}; a data set is the arrays 'images' and 'labels'"
            )));
        };
        let what = format!("its array '{name}'");
        let mut reader =
            archive.by_name(&full).map_err(|error| malformed(format!("{what} can't be read: {error}")))?;
        Npy::read(&mut reader, elements).map_err(|problem| malformed(format!("{what} {problem}")))
    };
    let images = member("images", &["|u1"])?;
    let labels = if unlabelled && is_alone { None } else { Some(member("labels", &INTEGERS)?) };
    let (images_sha256, labels_sha256) = hashes(&images, labels.as_ref());
    let (pixels, count, shape) =
        images.images().map_err(|problem| malformed(format!("its array 'images' {problem}")))?;
    let labels = match labels {
        Some(labels) => {
            let labels =
                labels.labels().map_err(|problem| malformed(format!("its array 'labels' {problem}")))?;
            if labels.len() != count {
                return Err(malformed(format!("it holds {count} images and {} labels", labels.len())));
            }
            labels
        }
        None => Vec::new(),
    };
    Ok(Dataset {
        pixels,
        shape,
        labels,
        class_names: None,
        path: path.to_owned(),
        images_sha256,
        labels_sha256,
    })
}

/// SHA-256 of images and of labels; empty for none.
fn hashes(images: &Npy, labels: Option<&Npy>) -> (String, String) {
    (sha256(&images.content), labels.map(|labels| sha256(&labels.content)).unwrap_or_default())
}

/// Names of what an npz file holds instead of what was looked for.
fn list(members: &[&str]) -> String {
    const SHOWN: usize = 8;
    let name = |member: &&str| format!("'{}'", member.strip_suffix(".npy").unwrap_or(member).escape_debug());
    let names: Vec<String> = members.iter().take(SHOWN).map(name).collect();
    match members.len() {
        0 => "none at all".into(),
        count if count > SHOWN => format!("only {} and {} more", names.join(", "), count - SHOWN),
        _ => format!("only {}", names.join(", ")),
    }
}

/// Opens an npy file of images and, where they are known, one of labels.
pub(super) fn open_npy(images_path: &Path, labels_path: Option<&Path>) -> Result<Dataset, DataError> {
    let open = |path: &Path| {
        let file = files::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        Ok::<_, DataError>(BufReader::new(file))
    };
    let labels = labels_path.map(|path| Ok::<_, DataError>((path, open(path)?))).transpose()?;
    parse_npy((images_path, open(images_path)?), labels)
}

/// The same from anything that can be read; paths name it in errors.
pub(super) fn parse_npy(
    (images_path, mut images): (&Path, impl Read),
    labels: Option<(&Path, impl Read)>,
) -> Result<Dataset, DataError> {
    let malformed = |path: &Path, problem: String| DataError::Malformed {
        path: path.to_owned(),
        format: "npy",
        problem: format!("it {problem}"),
    };
    let images = Npy::read(&mut images, &["|u1"]).map_err(|problem| malformed(images_path, problem))?;
    let labels = match labels {
        Some((path, mut reader)) => {
            let labels = Npy::read(&mut reader, &INTEGERS).map_err(|problem| malformed(path, problem))?;
            Some((path, labels))
        }
        None => None,
    };
    let (images_sha256, labels_sha256) = hashes(&images, labels.as_ref().map(|(_, labels)| labels));
    let (pixels, count, shape) = images.images().map_err(|problem| malformed(images_path, problem))?;
    let labels = match labels {
        Some((labels_path, labels)) => {
            let labels = labels.labels().map_err(|problem| malformed(labels_path, problem))?;
            if labels.len() != count {
                return Err(DataError::CountMismatch {
                    images_path: images_path.to_owned(),
                    images: count,
                    labels_path: labels_path.to_owned(),
                    labels: labels.len(),
                });
            }
            labels
        }
        None => Vec::new(),
    };
    let path = images_path.to_owned();
    Ok(Dataset { pixels, shape, labels, class_names: None, path, images_sha256, labels_sha256 })
}

/// An npy file in memory, as long as its header promises.
struct Npy {
    element: String,
    shape: Vec<usize>,
    /// Header and elements.
    content: Vec<u8>,
}

impl Npy {
    /// Reads a file whose elements are one of these. Errors continue a sentence that starts with what is read.
    fn read(reader: &mut dyn Read, elements: &[&str]) -> Result<Self, String> {
        let mut content = vec![0; 10];
        reader.read_exact(&mut content).map_err(|error| damaged(&error))?;
        if !content.starts_with(b"\x93NUMPY") {
            return Err("is no npy file: it does not start with '\\x93NUMPY'".into());
        }
        // Version 1 has a length of two bytes, later ones of four.
        if content[6] > 1 {
            content.resize(12, 0);
            reader.read_exact(&mut content[10..]).map_err(|error| damaged(&error))?;
        }
        let length = content[8..].iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
        if length > LONGEST_HEADER {
            return Err(format!("has a header of {length} bytes and can have at most {LONGEST_HEADER}"));
        }
        let start = content.len();
        content.resize(start + length, 0);
        reader.read_exact(&mut content[start..]).map_err(|error| damaged(&error))?;
        // The header of a plain array has one brace and one parenthesis. The parser takes twice the time for each more
        // that is open.
        let nested = content[start..].iter().filter(|byte| b"([{".contains(byte)).count() > 6;
        let header = (!nested).then(|| Header::from_reader(&mut &content[..]).ok()).flatten();
        let Some(Header { type_descriptor, shape, .. }) = header else {
            return Err("has a header that is not understood".into());
        };
        let found = type_descriptor.to_string();
        let element = elements
            .iter()
            .find(|element| type_descriptor.as_string().is_some_and(|found| found == *element));
        let Some(&element) = element else {
            let wanted = if elements.len() == 1 {
                "uint8 from 0 to 255; scale and round them first"
            } else {
                "integers; store class numbers from 0"
            };
            return Err(format!("has elements of type {found} and not {wanted}"));
        };
        let size = usize::from(element.as_bytes()[2] - b'0');
        let promised = shape
            .iter()
            .try_fold(size, |bytes, &length| bytes.checked_mul(length))
            .ok_or_else(|| format!("has a shape {shape:?} that is too large"))?;
        // One byte more than promised, so that memory follows the file and not its header.
        let start = content.len();
        reader
            .take((promised as u64).saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| damaged(&error))?;
        let found = content.len() - start;
        if found != promised {
            let found = if found < promised { format!("only {found}") } else { "more".into() };
            return Err(format!(
                "promises {promised} bytes of shape {shape:?} in its header and {found} follow"
            ));
        }
        Ok(Self { element: element.into(), shape, content })
    }

    fn array<T: ReadableElement>(&self) -> Result<ArrayD<T>, String> {
        ArrayD::read_npy(&self.content[..])
            .map_err(|_| format!("has a shape {:?} that is not understood", self.shape))
    }

    /// Bytes N×C×H×W, N, and \[C, H, W\].
    fn images(&self) -> Result<(Vec<u8>, usize, [usize; 3]), String> {
        let shape = &self.shape[..];
        if shape.contains(&0) {
            return Err(format!("has the shape {shape:?} and so holds no image"));
        }
        let channels = |length| length == 1 || length == 3;
        let mut array = self.array::<u8>()?;
        match *shape {
            [_, _, _] => array.insert_axis_inplace(Axis(1)),
            [_, first, _, last] => match (channels(first), channels(last)) {
                (true, false) => {}
                (false, true) => array = array.permuted_axes(vec![0, 3, 1, 2]),
                (true, true) => {
                    return Err(format!(
                        "has the shape {shape:?}, which can be N×C×H×W or N×H×W×C; store images of one channel as \
                         N×H×W, or give them more pixels"
                    ));
                }
                (false, false) => {
                    return Err(format!(
                        "has the shape {shape:?}, in which neither end (N×C×H×W or N×H×W×C) is 1 or 3 channels"
                    ));
                }
            },
            _ => return Err(format!("has the shape {shape:?}; images are N×H×W, N×C×H×W or N×H×W×C")),
        }
        let shape = [array.shape()[1], array.shape()[2], array.shape()[3]];
        let count = array.shape()[0];
        let pixels = if array.is_standard_layout() {
            array.into_raw_vec_and_offset().0
        } else {
            array.iter().copied().collect()
        };
        Ok((pixels, count, shape))
    }

    fn labels(&self) -> Result<Vec<u16>, String> {
        if self.shape.len() != 1 {
            return Err(format!("has the shape {:?}; labels have one dimension", self.shape));
        }
        match &self.element[1..] {
            "u1" => narrow::<u8>(&self.array()?),
            "u2" => narrow::<u16>(&self.array()?),
            "u4" => narrow::<u32>(&self.array()?),
            "u8" => narrow::<u64>(&self.array()?),
            "i1" => narrow::<i8>(&self.array()?),
            "i2" => narrow::<i16>(&self.array()?),
            "i4" => narrow::<i32>(&self.array()?),
            _ => narrow::<i64>(&self.array()?),
        }
    }
}

fn narrow<T: Copy + Display + TryInto<u16>>(labels: &ArrayD<T>) -> Result<Vec<u16>, String> {
    let outside =
        |index, label| format!("holds the label {label} of image {index}, which is not from 0 to 65535");
    labels
        .iter()
        .enumerate()
        .map(|(index, &label)| label.try_into().map_err(|_| outside(index, label)))
        .collect()
}

fn damaged(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "is cut short".into(),
        _ => format!("is damaged or can't be read ({error})"),
    }
}
