use std::path::{Path, PathBuf};

use super::{
    DataError, Dataset, OpenOptions, Split,
    cifar::{self, Cifar},
    images, npz,
};

/// Formats that are recognised by the names of files in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Idx,
    Cifar(Cifar),
    Npz,
}

const FORMATS: [Format; 4] =
    [Format::Idx, Format::Cifar(Cifar::Ten), Format::Cifar(Cifar::Hundred), Format::Npz];

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Idx => "IDX",
            Self::Cifar(kind) => kind.name(),
            Self::Npz => "npz",
        }
    }

    /// Names that the file of images of a split can have; for CIFAR the names of all its files.
    fn files(self, split: Split) -> Vec<String> {
        match self {
            Self::Idx => {
                let name = format!("{}-images-idx3-ubyte", split.idx_prefix());
                vec![name.clone(), format!("{name}.gz"), name.replace("-idx3", ".idx3")]
            }
            Self::Cifar(kind) => kind.files(split).iter().map(|&name| name.to_owned()).collect(),
            Self::Npz => vec![format!("{}.npz", split.name())],
        }
    }
}

/// Opens the data set in `folder`.
pub(super) fn open(folder: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let split = options.split;
    let found =
        |format: Format, split| format.files(split).into_iter().find(|name| folder.join(name).is_file());
    let any = |format| found(format, Split::Train).or_else(|| found(format, Split::Test));
    let mut present = FORMATS.into_iter().filter_map(|format| any(format).map(|name| (format, name)));
    let Some((format, name)) = present.next() else {
        options.refuse_label(folder)?;
        return images::open_folder(folder, split, options.preparation)?
            .ok_or_else(|| DataError::NoData { folder: folder.to_owned() });
    };
    options.refuse_all(folder)?;
    if let Some((other, other_name)) = present.next() {
        return Err(DataError::SeveralFormats {
            folder: folder.to_owned(),
            first: (format.name(), name),
            second: (other.name(), other_name),
        });
    }
    match (format, found(format, split)) {
        (Format::Cifar(kind), _) => cifar::open_folder(folder, kind, split),
        (Format::Idx, Some(name)) => {
            let images = folder.join(name);
            Dataset::from_idx(&images, &labels_beside(&images, "IDX")?)
        }
        (Format::Npz, Some(name)) => npz::open_npz(&folder.join(name), options.unlabelled),
        (Format::Idx | Format::Npz, None) => Err(DataError::NoSplit {
            folder: folder.to_owned(),
            split: split.name(),
            format: format.name(),
            missing: format.files(split).swap_remove(0),
        }),
    }
}

/// The path of the file of labels that belongs to the file `images` by its name; `format` names the format in errors.
pub(super) fn labels_beside(images: &Path, format: &'static str) -> Result<PathBuf, DataError> {
    let name = images.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    std::fs::metadata(images).map_err(|source| DataError::Read { path: images.to_owned(), source })?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    if labels == name {
        let problem = "its name does not contain 'images', so that its labels can't be found beside it; files of \
                       other formats are told by their endings .bin (CIFAR), .npz, .png, .jpg and .jpeg";
        return Err(DataError::Malformed { path: images.to_owned(), format, problem: problem.into() });
    }
    let plain = images.with_file_name(labels.trim_end_matches(".gz"));
    let packed = images.with_file_name(format!("{}.gz", labels.trim_end_matches(".gz")));
    Ok(if !plain.is_file() && packed.is_file() { packed } else { plain })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::{NpzArray, write_npz};

    fn text(folder: &Path, split: Split) -> String {
        Dataset::open(folder, split).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_folder_is_refused_with_all_that_it_could_hold() {
        let folder = tempfile::tempdir().unwrap();
        let text = text(folder.path(), Split::Train);
        for name in ["train-images-idx3-ubyte", "data_batch_1.bin", "train.bin", "train.npz"] {
            assert!(text.contains(name), "{name}: {text}");
        }
    }

    #[test]
    fn a_folder_with_two_data_sets_is_refused_for_either_split() {
        let folder = tempfile::tempdir().unwrap();
        let add = |name: &str| fs::write(folder.path().join(name), [0; 3073]).unwrap();
        add("test_batch.bin");
        assert_eq!(Dataset::open(folder.path(), Split::Test).unwrap().len(), 1);
        add("train-images.idx3-ubyte");
        for split in [Split::Train, Split::Test] {
            let text = text(folder.path(), split);
            assert!(
                text.contains("files of IDX (train-images.idx3-ubyte) and of CIFAR-10 (test_batch.bin)"),
                "{text}"
            );
        }
        fs::remove_file(folder.path().join("train-images.idx3-ubyte")).unwrap();
        add("train.bin");
        let text = text(folder.path(), Split::Test);
        assert!(text.contains("CIFAR-10 (test_batch.bin) and of CIFAR-100 (train.bin)"), "{text}");
    }

    #[test]
    fn a_folder_of_npz_files_has_a_file_a_split() {
        let folder = tempfile::tempdir().unwrap();
        let images = ndarray::ArrayD::<u8>::zeros(vec![2, 4, 4]);
        let labels = ndarray::array![6_i64, 0].into_dyn();
        let arrays =
            [("images", NpzArray::Bytes(images.view())), ("labels", NpzArray::Integers(labels.view()))];
        write_npz(&folder.path().join("test.npz"), &arrays).unwrap();
        let data = Dataset::open(folder.path(), Split::Test).unwrap();
        assert_eq!((data.shape(), data.labels()), ([1, 4, 4], &[6, 0][..]));
        let text = text(folder.path(), Split::Train);
        assert!(text.ends_with("its npz files lack train.npz"), "{text}");
    }
}
