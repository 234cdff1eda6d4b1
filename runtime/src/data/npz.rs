use std::{
    collections::BTreeMap,
    io::{self, BufReader, BufWriter, Cursor, Read, Seek},
    path::Path,
};

use ndarray::ArrayViewD;
use ndarray_npy::NpzWriter;
use zip::{CompressionMethod, DateTime, ZipArchive, write::SimpleFileOptions};

use super::{
    DataError, Dataset, OpenOptions,
    npy::{LONGEST_HEADER, Npy},
};
use crate::files;

/// Largest number of arrays that an error names.
const SHOWN: usize = 8;

/// An array for [`write_npz`].
#[derive(Clone, Debug)]
pub enum NpzArray<'a> {
    /// Bytes, `uint8`.
    Bytes(ArrayViewD<'a, u8>),
    /// Integers, `int64`.
    Integers(ArrayViewD<'a, i64>),
}

/// Writes named arrays to an npz file, which NumPy reads with `load`. The file is written atomically: it appears
/// complete or not at all. Equal arrays give equal bytes.
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
/// [`DataError::Write`] if the file can't be written or two arrays have the same name.
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

/// Opens an npz file with the arrays `images` and `labels`. If data without labels are accepted, `images` alone is too.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let file = files::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    parse(path, BufReader::new(file), options.unlabelled)
}

/// Reads an npz file from a reader; `path` names it in errors.
fn parse(path: &Path, reader: impl Read + Seek, unlabelled: bool) -> Result<Dataset, DataError> {
    let malformed = |problem| DataError::Malformed { path: path.to_owned(), format: "npz", problem };
    let mut archive = ZipArchive::new(reader)
        .map_err(|error| malformed(format!("it is not a zip archive or is truncated ({error})")))?;
    // An array with another name may be labels under a wrong name, so `images` must be the only array.
    let is_alone = archive.len() == 1;
    let has_labels = !(unlabelled && is_alone);
    // Headers are checked before anything large is unpacked: arrays can be a thousand times larger than the file.
    let head = |archive: &mut _, name: &str, read: fn(&mut dyn Read) -> Result<Npy, String>| {
        member(archive, path, name, |file, bytes| {
            let npy = read(file)?;
            npy.check_length(bytes).map(|()| npy)
        })
    };
    let images = head(&mut archive, "images", Npy::images)?;
    let labels = if has_labels { Some(head(&mut archive, "labels", Npy::labels)?) } else { None };
    if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != images.len()) {
        return Err(malformed(format!("it holds {} images and {} labels", images.len(), labels.len())));
    }
    let others = other_sets(&mut archive);
    if !others.is_empty() {
        let others: Vec<String> = others.iter().take(SHOWN).map(|of| format!(", and {of}")).collect();
        return Err(malformed(format!(
            "it holds several sets of images: 'images' with 'labels'{}; keep one of them, under the names 'images' and \
             'labels'",
            others.concat()
        )));
    }
    let labels = match labels {
        Some(_) => Some(member(&mut archive, path, "labels", |mut file, _| {
            Npy::labels(&mut file)?.read_labels(&mut file)
        })?),
        None => None,
    };
    let images =
        member(&mut archive, path, "images", |mut file, _| Npy::images(&mut file)?.read_images(&mut file))?;
    Ok(images.with_labels(path, labels))
}

impl Dataset {
    /// Reads an npz file with images and labels from memory.
    ///
    /// # Errors
    /// [`DataError::Malformed`].
    pub fn parse_npz(file: &[u8]) -> Result<Self, DataError> {
        parse(Path::new("arrays"), Cursor::new(file), false)
    }
}

/// Reads the array `name` of an archive. `read` gets a reader of its npy file and the number of bytes of that file.
fn member<T, R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    path: &Path,
    name: &str,
    read: impl FnOnce(&mut dyn Read, u64) -> Result<T, String>,
) -> Result<T, DataError> {
    let malformed = |problem| DataError::Malformed { path: path.to_owned(), format: "npz", problem };
    let names: Vec<&str> = archive.file_names().collect();
    let full = [format!("{name}.npy"), name.into()];
    let full = match full.each_ref().map(|full| names.contains(&&**full)) {
        [true, true] => {
            return Err(malformed(format!(
                "it holds two arrays '{name}', as the members '{}' and '{}'; keep one of them",
                full[0], full[1]
            )));
        }
        [false, false] => {
            let found = list(&names);
            return Err(malformed(format!(
                "it holds no array '{name}', {found}; a data set needs the arrays 'images' and 'labels'"
            )));
        }
        [is_first, _] => &full[usize::from(!is_first)],
    };
    let what = format!("its array '{name}'");
    let mut file =
        archive.by_name(full).map_err(|error| malformed(format!("{what} can't be read: {error}")))?;
    let bytes = file.size();
    read(&mut file, bytes).map_err(|problem| malformed(format!("{what} {problem}")))
}

/// Names of the arrays in an npz file, for an error about a missing one.
fn list(members: &[&str]) -> String {
    let names: Vec<String> = members.iter().take(SHOWN).map(|member| quoted(member)).collect();
    match members.len() {
        0 => "none at all".into(),
        count if count > SHOWN => format!("only {} and {} more", names.join(", "), count - SHOWN),
        _ => format!("only {}", names.join(", ")),
    }
}

/// The name of the array in a member of an archive, in quotes.
fn quoted(member: &str) -> String {
    format!("'{}'", member.strip_suffix(".npy").unwrap_or(member).escape_debug())
}

/// Images with labels that an archive holds besides the arrays `images` and `labels`: pairs of arrays such as `x_test` and
/// `y_test` that are called alike and could be read as these.
fn other_sets(archive: &mut ZipArchive<impl Read + Seek>) -> Vec<String> {
    let members: BTreeMap<String, String> = archive
        .file_names()
        .map(|member| (member.strip_suffix(".npy").unwrap_or(member).to_lowercase(), member.to_owned()))
        .collect();
    let mut reads = |member: &str, read: fn(&mut dyn Read) -> Result<Npy, String>| {
        archive.by_name(member).is_ok_and(|mut file| read(&mut file).is_ok())
    };
    let mut sets = Vec::new();
    for (name, images) in members.iter().filter(|(name, _)| *name != "images") {
        if let Some(labels) = labels_called_like(name).and_then(|labels| members.get(&labels))
            && reads(images, Npy::images)
            && reads(labels, Npy::labels)
        {
            sets.push(format!("{} with {}", quoted(images), quoted(labels)));
        }
    }
    sets
}

/// The usual name of the array of labels beside one of images: `test_labels` beside `test_images`, `y_test` beside `x_test`.
/// `None` if `images` is no usual name of images. Names are in lower case.
fn labels_called_like(images: &str) -> Option<String> {
    let words = images.split_inclusive(|letter: char| !letter.is_alphanumeric());
    let labels: String = words
        .map(|word| {
            let end = word.trim_start_matches(char::is_alphanumeric);
            let label = match &word[..word.len() - end.len()] {
                "images" => "labels",
                "image" => "label",
                "x" => "y",
                other => other,
            };
            [label, end].concat()
        })
        .collect();
    (labels != images).then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_called_like_their_images() {
        for (images, labels) in [
            ("x_test", Some("y_test")),
            ("x", Some("y")),
            ("test_images", Some("test_labels")),
            ("val/image", Some("val/label")),
            ("clean", None),
            ("x2", None),
        ] {
            assert_eq!(labels_called_like(images).as_deref(), labels, "{images}");
        }
    }
}
