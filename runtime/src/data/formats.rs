use std::path::Path;

use super::{
    DataError, Dataset, OpenOptions, Split,
    cifar::{self, Cifar},
    idx, images, npy, npz,
};

/// A format of data sets: how its files are recognised and opened.
pub(super) struct DataFormat {
    /// Its name in sentences.
    pub name: &'static str,
    /// Extensions of the names of its files, in lower case.
    pub extensions: &'static [&'static str],
    /// How a data set is found in a folder.
    pub in_folder: InFolder,
    /// Whether a file of it is one image, to which `label`, `resize` and `crop` apply.
    pub is_one_image: bool,
    /// Where the labels of a file would be that has none; `None` if there are always labels.
    pub labels_would_be: Option<&'static str>,
    /// Opens one file.
    pub open: fn(&Path, &OpenOptions) -> Result<Dataset, DataError>,
}

/// How a data set of some format is found in a folder.
pub(super) enum InFolder {
    /// Each split is a file under one of these names.
    OneFile(fn(Split) -> Vec<String>),
    /// Each split is files under all of these names.
    AllFiles {
        names: fn(Split) -> Vec<String>,
        /// Opens a split whose files all exist.
        open: fn(&Path, Split) -> Result<Dataset, DataError>,
    },
    /// By the content of the folder.
    Content {
        /// This content, with its article.
        what: &'static str,
        /// Opens the folder; `None` if it has other content.
        open: fn(&Path, &OpenOptions) -> Result<Option<Dataset>, DataError>,
    },
    /// Not in a folder: each file is opened by its own path.
    Nowhere,
}

/// The table of formats. The first has no extension: it is that of all files with an extension which is not in the table.
pub(super) static FORMATS: [DataFormat; 6] = [
    DataFormat {
        name: "IDX",
        extensions: &[],
        in_folder: InFolder::OneFile(idx::names),
        is_one_image: false,
        labels_would_be: None,
        open: idx::open,
    },
    DataFormat {
        name: Cifar::Ten.name(),
        extensions: &["bin"],
        in_folder: InFolder::AllFiles {
            names: |split| Cifar::Ten.files(split),
            open: |folder, split| cifar::open_folder(folder, Cifar::Ten, split),
        },
        is_one_image: false,
        labels_would_be: None,
        open: cifar::open,
    },
    DataFormat {
        name: Cifar::Hundred.name(),
        extensions: &["bin"],
        in_folder: InFolder::AllFiles {
            names: |split| Cifar::Hundred.files(split),
            open: |folder, split| cifar::open_folder(folder, Cifar::Hundred, split),
        },
        is_one_image: false,
        labels_would_be: None,
        open: cifar::open,
    },
    DataFormat {
        name: "npz",
        extensions: &["npz"],
        in_folder: InFolder::OneFile(|split| vec![format!("{}.npz", split.name())]),
        is_one_image: false,
        labels_would_be: Some("an array 'labels' beside 'images' would hold them"),
        open: npz::open,
    },
    DataFormat {
        name: "npy",
        extensions: &["npy"],
        in_folder: InFolder::Nowhere,
        is_one_image: false,
        labels_would_be: Some("a file named like it, with labels for images, would hold them"),
        open: npy::open,
    },
    DataFormat {
        name: "image",
        extensions: &images::ENDINGS,
        in_folder: InFolder::Content {
            what: "a folder of PNG or JPEG images for each class",
            open: images::open_folder,
        },
        is_one_image: true,
        labels_would_be: Some("`label` gives the label of one image"),
        open: images::open,
    },
];

impl DataFormat {
    /// The format of a file, by the extension of its name. If several formats share it, their `open` is the same.
    pub fn of(path: &Path) -> &'static Self {
        let [first, ..] = &FORMATS;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let has =
            |format: &&Self| format.extensions.iter().any(|known| extension.eq_ignore_ascii_case(known));
        FORMATS.iter().find(has).unwrap_or(first)
    }

    /// Names of the files by which a split is recognised in a folder.
    pub fn names(&self, split: Split) -> Vec<String> {
        match self.in_folder {
            InFolder::OneFile(names) | InFolder::AllFiles { names, .. } => names(split),
            InFolder::Content { .. } | InFolder::Nowhere => Vec::new(),
        }
    }

    /// Content of a folder of this format; `None` if the format has no folders.
    fn folder_content(&self) -> Option<String> {
        if let InFolder::Content { what, .. } = self.in_folder {
            return Some(what.into());
        }
        let [train, test] = [Split::Train, Split::Test].map(|split| self.names(split));
        let is_packed =
            |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "gz");
        let packed = if train.iter().any(is_packed) { ", plain or .gz" } else { "" };
        Some(format!("{} files ({}, {}{packed})", self.name, train.first()?, test.first()?))
    }
}

/// Possible content of a folder with a data set, for help texts: "IDX files (…), … or a folder of … images for each class".
///
/// ```
/// assert!(mithridate_runtime::data::folder_formats().contains("npz files (train.npz, test.npz)"));
/// ```
pub fn folder_formats() -> String {
    joined(&FORMATS.iter().filter_map(DataFormat::folder_content).collect::<Vec<_>>(), ", or ")
}

/// Files that can be data sets, for help texts: "….npz, …, or an IDX file of images with its labels beside it".
///
/// ```
/// assert!(mithridate_runtime::data::file_formats().contains(".npz"));
/// ```
pub fn file_formats() -> String {
    let [first, ..] = &FORMATS;
    let other = format!("an {} file of images with its labels beside it", first.name);
    joined(&[endings(), vec![other]].concat(), ", or ")
}

/// The extensions by which files are distinguished from those of the first format, as the end of a sentence.
pub(super) fn listed_endings() -> String {
    joined(&endings(), " and ")
}

/// The extensions in the table, with the names of the formats if several share one: ".bin (CIFAR-10 or CIFAR-100)".
fn endings() -> Vec<String> {
    let mut endings: Vec<(&str, Vec<&str>)> = Vec::new();
    for format in &FORMATS {
        for extension in format.extensions {
            match endings.iter_mut().find(|(known, _)| known == extension) {
                Some((_, names)) => names.push(format.name),
                None => endings.push((extension, vec![format.name])),
            }
        }
    }
    let text = |(extension, names): (&str, Vec<&str>)| match &names[..] {
        [_] => format!(".{extension}"),
        names => format!(".{extension} ({})", names.join(" or ")),
    };
    endings.into_iter().map(text).collect()
}

/// `items` with commas between them, and `last` before the last one.
fn joined(items: &[String], last: &str) -> String {
    match items {
        [front @ .., end] if !front.is_empty() => [&front.join(", "), last, end].concat(),
        _ => items.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_list_every_format() {
        assert_eq!(
            folder_formats(),
            "IDX files (train-images-idx3-ubyte, t10k-images-idx3-ubyte, plain or .gz), CIFAR-10 files \
             (data_batch_1.bin, test_batch.bin), CIFAR-100 files (train.bin, test.bin), npz files (train.npz, test.npz), \
             or a folder of PNG or JPEG images for each class"
        );
        assert_eq!(
            file_formats(),
            ".bin (CIFAR-10 or CIFAR-100), .npz, .npy, .png, .jpg, .jpeg, or an IDX file of images with its labels \
             beside it"
        );
        assert_eq!(listed_endings(), ".bin (CIFAR-10 or CIFAR-100), .npz, .npy, .png, .jpg and .jpeg");
    }

    #[test]
    fn a_file_has_the_format_of_its_extension_in_either_case() {
        for (name, format) in [
            ("a.npz", "npz"),
            ("a.NPY", "npy"),
            ("a.JPeg", "image"),
            ("train.bin", "CIFAR-10"),
            ("images-idx3-ubyte.gz", "IDX"),
            ("images", "IDX"),
        ] {
            assert_eq!(DataFormat::of(Path::new(name)).name, format, "{name}");
        }
    }

    #[test]
    fn no_name_of_a_file_is_that_of_two_formats() {
        let all =
            || FORMATS.iter().flat_map(|format| [Split::Train, Split::Test].map(|split| format.names(split)));
        let names: Vec<String> = all().flatten().collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
    }
}
