use std::{
    io::{self, BufReader, BufWriter, Read, Seek},
    path::Path,
};

use ndarray::ArrayViewD;
use ndarray_npy::NpzWriter;
use zip::{CompressionMethod, DateTime, ZipArchive, write::SimpleFileOptions};

use super::{
    DataError, Dataset,
    npy::{LONGEST_HEADER, Npy},
};
use crate::files;

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

/// Opens an npz file with the arrays `images` and `labels`. If `unlabelled` is true, `images` alone is accepted.
pub(super) fn open_npz(path: &Path, unlabelled: bool) -> Result<Dataset, DataError> {
    let file = files::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    parse_npz(path, BufReader::new(file), unlabelled)
}

/// Reads an npz file from a reader; `path` names it in errors.
pub(super) fn parse_npz(
    path: &Path,
    reader: impl Read + Seek,
    unlabelled: bool,
) -> Result<Dataset, DataError> {
    let malformed = |problem| DataError::Malformed { path: path.to_owned(), format: "npz", problem };
    let mut archive = ZipArchive::new(reader)
        .map_err(|error| malformed(format!("it is no zip archive or is cut short ({error})")))?;
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

/// Reads the array `name` of an archive. `read` gets a reader of its npy file and the number of bytes of that file.
fn member<T, R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    path: &Path,
    name: &str,
    read: impl FnOnce(&mut dyn Read, u64) -> Result<T, String>,
) -> Result<T, DataError> {
    let malformed = |problem| DataError::Malformed { path: path.to_owned(), format: "npz", problem };
    let names: Vec<&str> = archive.file_names().collect();
    let Some(full) = [format!("{name}.npy"), name.into()].into_iter().find(|full| names.contains(&&**full))
    else {
        let found = list(&names);
        return Err(malformed(format!(
            "it holds no array '{name}', {found}; a data set is the arrays 'images' and 'labels'"
        )));
    };
    let what = format!("its array '{name}'");
    let mut file =
        archive.by_name(&full).map_err(|error| malformed(format!("{what} can't be read: {error}")))?;
    let bytes = file.size();
    read(&mut file, bytes).map_err(|problem| malformed(format!("{what} {problem}")))
}

/// Names of the arrays in an npz file, for an error about a missing one.
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
