use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    DataError, Dataset, OpenOptions, Preparation, Split, hex,
    idx::{idx_header, labels_sha256},
    picture::Picture,
};
use crate::{files, memory};

/// Extensions of the names of image files.
pub(super) const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Largest image file that is read, in bytes.
const LARGEST_FILE: u64 = 256 << 20;

/// Possible names of the folder of a split; the first that exists is used.
fn split_folders(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &["train"],
        Split::Test => &["test", "val"],
    }
}

/// Whether the name of a file has the extension of an image.
pub(crate) fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ENDINGS.iter().any(|ending| extension.eq_ignore_ascii_case(ending))
}

/// Opens one image; its class is the option `label`.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    // If both the file and the label are missing, report the file.
    fs::metadata(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    if options.label.is_none() && !options.unlabelled {
        return Err(DataError::NoLabel { path: path.to_owned() });
    }
    let mut images = Collector::default();
    images.add(path, &read(path)?, options.label, options.preparation)?;
    Ok(images.finish(path.to_owned(), None))
}

impl Dataset {
    /// Reads one PNG or JPEG image of class `label` from memory.
    ///
    /// # Errors
    /// [`DataError::Malformed`].
    pub fn parse_image(file: &[u8], label: u16, preparation: Preparation) -> Result<Self, DataError> {
        let path = PathBuf::from("image");
        let mut images = Collector::default();
        images.add(&path, file, Some(label), preparation)?;
        Ok(images.finish(path, None))
    }
}

/// Reads a file of at most [`LARGEST_FILE`] bytes; refuses devices and pipes.
fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let read_error = |source| DataError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(read_error)?;
    let length = metadata.len();
    if metadata.is_file() && length > LARGEST_FILE {
        let problem = format!("its {length} bytes are more than the limit of {LARGEST_FILE}");
        return Err(DataError::Malformed { path: path.to_owned(), format: "image", problem });
    }
    files::read(path).map_err(read_error)
}

/// Opens a folder with a sub-folder of images for each class, either directly or inside `train` and `test` (or `val`).
/// `None` if there are no such sub-folders.
pub(super) fn open_folder(folder: &Path, options: &OpenOptions) -> Result<Option<Dataset>, DataError> {
    let OpenOptions { split, preparation, .. } = *options;
    let entries = list(folder)?;
    let named = |name: &str| entries.iter().find(|entry| entry.is_folder && entry.name() == Some(name));
    let is_split = |entry: &&Entry| {
        [Split::Train, Split::Test].into_iter().flat_map(split_folders).any(|name| entry.name() == Some(name))
    };
    let folders = || entries.iter().filter(|entry| entry.is_folder);
    // A folder named like a split may be a class; then it contains images.
    let by_split = folders().next().is_some()
        && folders().all(|entry| is_split(&entry))
        && !folders().map(|entry| holds_images(&entry.path)).collect::<Result<Vec<_>, _>>()?.contains(&true);
    if !by_split {
        return open_classes(folder, &entries, split, preparation);
    }
    let mut found = Vec::new();
    for part in folders() {
        let entries = list(&part.path)?;
        for class in entries.iter().filter(|entry| entry.is_folder) {
            found.push(holds_images(&class.path)?);
        }
    }
    if !found.contains(&true) {
        return Ok(None);
    }
    let Some(part) = split_folders(split).iter().find_map(|name| named(name)) else {
        return Err(no_split(folder, split));
    };
    match open_classes(&part.path, &list(&part.path)?, Split::Test, preparation)? {
        Some(data) => Ok(Some(data)),
        None => Err(no_split(folder, split)),
    }
}

fn no_split(folder: &Path, split: Split) -> DataError {
    DataError::NoSplit {
        folder: folder.to_owned(),
        split: split.name(),
        format: "image",
        missing: format!("a folder {} with a folder of images for each class", split_folders(split)[0]),
    }
}

/// Opens the images of a folder with a sub-folder for each class. Without folders for the splits it is a test split
/// only, so that nobody trains on test images by mistake.
fn open_classes(
    folder: &Path,
    entries: &[Entry],
    split: Split,
    preparation: Preparation,
) -> Result<Option<Dataset>, DataError> {
    let refuse = |path: &Path, problem: &str| {
        Err(DataError::ImageFolder { path: path.to_owned(), problem: problem.into() })
    };
    let mut any = false;
    for entry in entries.iter().filter(|entry| entry.is_folder) {
        any |= holds_images(&entry.path)?;
    }
    if let Some(file) = entries.iter().find(|entry| !entry.is_folder && is_image_name(&entry.path)) {
        return refuse(
            &file.path,
            "is beside the class folders; move it into one of them, or give its own path as the data set",
        );
    }
    if !any {
        return Ok(None);
    }
    if let Some(file) = entries.iter().find(|entry| !entry.is_folder) {
        return refuse(&file.path, "is not a class folder with images; remove it");
    }
    if split == Split::Train {
        return Err(no_split(folder, split));
    }
    let (labels, class_names) = labels_of(entries)?;
    let mut images = Collector::default();
    let mut classes: Vec<(u16, &Entry)> = labels.into_iter().zip(entries).collect();
    classes.sort_by_key(|&(label, _)| label);
    for (label, class) in classes {
        for file in list(&class.path)? {
            if file.is_folder {
                return refuse(
                    &file.path,
                    "is a folder inside a class folder; images must be directly in the class folder",
                );
            }
            if !is_image_name(&file.path) {
                return refuse(
                    &file.path,
                    "does not have the extension of an image (.png, .jpg, .jpeg); remove it",
                );
            }
            images.add(&file.path, &read(&file.path)?, Some(label), preparation)?;
        }
    }
    Ok(Some(images.finish(folder.to_owned(), class_names)))
}

/// The label of each class folder, and the class names in the order of the labels. If all names are numbers, these are
/// the labels and there are no class names. Otherwise the label is the index in `folders`, which are sorted by name.
fn labels_of(folders: &[Entry]) -> Result<(Vec<u16>, Option<Vec<String>>), DataError> {
    let refuse =
        |entry: &Entry, problem: String| Err(DataError::ImageFolder { path: entry.path.clone(), problem });
    let mut names = Vec::with_capacity(folders.len());
    for entry in folders {
        let Some(name) = entry.name() else {
            return refuse(entry, "has a name that is not Unicode; rename it".into());
        };
        names.push(name);
    }
    let is_number = |name: &&str| name.bytes().all(|byte| byte.is_ascii_digit());
    if names.iter().all(is_number) {
        let mut labels: Vec<u16> = Vec::with_capacity(names.len());
        for (entry, name) in folders.iter().zip(names) {
            match name.parse() {
                Ok(label) if labels.contains(&label) => {
                    return refuse(entry, format!("is a second folder of class {label}"));
                }
                Ok(label) => labels.push(label),
                Err(_) => {
                    return refuse(entry, format!("is not a class: classes are from 0 to {}", u16::MAX));
                }
            }
        }
        return Ok((labels, None));
    }
    let labels = (0..=u16::MAX).take(folders.len()).collect::<Vec<_>>();
    match folders.get(labels.len()) {
        Some(entry) => refuse(entry, format!("is one class too many; there can be {}", labels.len())),
        None => Ok((labels, Some(names.into_iter().map(str::to_owned).collect()))),
    }
}

/// An entry of a folder; links are followed.
struct Entry {
    path: PathBuf,
    is_folder: bool,
}

impl Entry {
    fn name(&self) -> Option<&str> {
        self.path.file_name().and_then(|name| name.to_str())
    }
}

/// The entries of a folder, sorted by path, without those whose name starts with a dot.
fn list(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| DataError::Read { path, source }
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(error(folder))? {
        let path = entry.map_err(error(folder))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden {
            let is_folder = fs::metadata(&path).map_err(error(&path))?.is_dir();
            entries.push(Entry { path, is_folder });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Whether a folder contains a file with the extension of an image.
fn holds_images(folder: &Path) -> Result<bool, DataError> {
    let read_error = |source| DataError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(read_error)? {
        if is_image_name(&entry.map_err(read_error)?.path()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Collects images of one size. As soon as one is in colour, all become RGB.
#[derive(Default)]
struct Collector {
    first: Option<PathBuf>,
    /// Channels, height, width.
    shape: [usize; 3],
    pixels: Vec<u8>,
    labels: Vec<u16>,
    /// The first image that had values of 16 bits, and the number of such images.
    rounded: Option<(PathBuf, usize)>,
}

impl Collector {
    fn add(
        &mut self,
        path: &Path,
        bytes: &[u8],
        label: Option<u16>,
        preparation: Preparation,
    ) -> Result<(), DataError> {
        let mut picture = Picture::decode(bytes, preparation).map_err(|problem| DataError::Malformed {
            path: path.to_owned(),
            format: "image",
            problem,
        })?;
        match &self.first {
            None => (self.first, self.shape) = (Some(path.to_owned()), picture.shape),
            Some(first) if self.shape[1..] != picture.shape[1..] => {
                let size = |[_, height, width]: [usize; 3]| format!("{width} x {height}");
                return Err(DataError::ImageSizes {
                    path: path.to_owned(),
                    size: size(picture.shape),
                    first: first.clone(),
                    first_size: size(self.shape),
                });
            }
            Some(_) => {}
        }
        if picture.is_rounded {
            self.rounded.get_or_insert_with(|| (path.to_owned(), 0)).1 += 1;
        }
        let area = self.shape[1] * self.shape[2];
        let no_room = |source| DataError::Read { path: path.to_owned(), source };
        if picture.shape[0] > self.shape[0] {
            let mut coloured = Vec::new();
            memory::reserve(&mut coloured, 3 * self.pixels.len()).map_err(no_room)?;
            for grey in self.pixels.chunks_exact(area) {
                coloured.extend([grey; 3].into_iter().flatten());
            }
            self.pixels = coloured;
            self.shape[0] = picture.shape[0];
        } else if picture.shape[0] < self.shape[0] {
            picture.bytes = picture.bytes.repeat(3);
        }
        let more = picture.bytes.len();
        if self.pixels.capacity() - self.pixels.len() < more {
            // Double the memory, so that it is moved rarely.
            let twice = more.max(self.pixels.len());
            memory::reserve(&mut self.pixels, twice)
                .or_else(|_| memory::reserve(&mut self.pixels, more))
                .map_err(no_room)?;
        }
        self.pixels.append(&mut picture.bytes);
        self.labels.extend(label);
        Ok(())
    }

    /// Returns the data set, with the hashes that it would have as IDX files.
    fn finish(self, path: PathBuf, class_names: Option<Vec<String>>) -> Dataset {
        let Self { shape, pixels, labels, rounded, .. } = self;
        let [channels, height, width] = shape;
        let count = pixels.len() / (channels * height * width).max(1);
        let sizes = [count, channels, height, width];
        let sizes = if channels == 1 { vec![count, height, width] } else { sizes.to_vec() };
        let mut images_hash = Sha256::new();
        images_hash.update(idx_header(0x08, &sizes));
        images_hash.update(&pixels);
        let note = |(first, rounded): (PathBuf, usize)| {
            let first = first.display();
            let which = match rounded {
                1 => format!("{first} has"),
                _ => format!("{rounded} of {count} images (the first is {first}) have"),
            };
            format!("{which} values of 16 bits, which were rounded to 8 bits")
        };
        Dataset {
            pixels,
            shape,
            labels_sha256: labels_sha256(&labels),
            labels,
            class_names,
            notes: rounded.map(note).into_iter().collect(),
            path,
            images_sha256: hex(&images_hash.finalize()),
        }
    }
}
