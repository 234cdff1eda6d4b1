use std::path::Path;

use super::{
    DataError, Dataset, OpenOptions, Split,
    formats::{DataFormat, FORMATS, InFolder, folder_formats},
};

/// Opens the data set in `folder`.
pub(super) fn open(folder: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let is_there = |name: &String| folder.join(name).is_file();
    let any = |format: &DataFormat| {
        [Split::Train, Split::Test].into_iter().flat_map(|split| format.names(split)).find(is_there)
    };
    let mut present = FORMATS.iter().filter_map(|format| any(format).map(|name| (format, name)));
    let Some((format, name)) = present.next() else {
        return open_content(folder, options);
    };
    options.refuse_all(folder)?;
    if let Some((other, other_name)) = present.next() {
        return Err(DataError::SeveralFormats {
            folder: folder.to_owned(),
            first: (format.name, name),
            second: (other.name, other_name),
        });
    }
    let names = format.names(options.split);
    let missing = if let InFolder::AllFiles { open, .. } = format.in_folder {
        match names.into_iter().find(|name| !is_there(name)) {
            None => return open(folder, options.split),
            missing => missing,
        }
    } else {
        match names.iter().find(|name| is_there(name)) {
            Some(name) => return (format.open)(&folder.join(name), options),
            None => names.into_iter().next(),
        }
    };
    Err(DataError::NoSplit {
        folder: folder.to_owned(),
        split: options.split.name(),
        format: format.name,
        missing: missing.unwrap_or_default(),
    })
}

/// Opens a folder of a format that is recognised by the content of the folder.
fn open_content(folder: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    options.refuse_label(folder)?;
    for format in &FORMATS {
        if let InFolder::Content { open, .. } = format.in_folder
            && let Some(data) = open(folder, options)?
        {
            return Ok(data);
        }
    }
    Err(DataError::NoData { folder: folder.to_owned(), expected: folder_formats() })
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
