use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use mithridate_runtime::{
    data::{Dataset, NpzArray, read_idx, write_idx, write_npz},
    files::write_atomically,
};
use ndarray::{ArrayView, IxDyn};

use super::{
    Manifest, Origin,
    manifest::{SCHEMA, SourceData},
};
use crate::{
    Error,
    data::{TrainingSet, levels},
};

const IMAGES: &str = "images-idx3-ubyte";
const LABELS: &str = "labels-idx1-ubyte";
const ARRAYS: &str = "poison.npz";
const MANIFEST: &str = "manifest.json";

/// A poison set.
#[derive(Clone, Debug, PartialEq)]
pub struct PoisonSet {
    /// Its manifest.
    pub manifest: Manifest,
    shape: [usize; 3],
    bytes: Vec<u8>,
}

impl PoisonSet {
    /// A set of poisoned images, whose bytes N×C×H×W are in the order of `origin.indices`.
    ///
    /// # Errors
    /// [`Error::Poison`] if a byte is further from the clean one than ε allows.
    pub fn new(origin: Origin, training: &TrainingSet, bytes: Vec<u8>) -> Result<Self, Error> {
        let manifest = Manifest {
            schema: SCHEMA.into(),
            tool: concat!("pacd ", env!("CARGO_PKG_VERSION")).into(),
            data: source_of(&training.data),
            split: training.split,
            largest_change: 0,
            images_sha256: String::new(),
            origin,
        };
        let mut set = Self { manifest, shape: training.data.shape(), bytes };
        set.manifest.largest_change = set.largest_change(&training.data);
        set.check_epsilon(Path::new("(new)"))?;
        Ok(set)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.manifest.origin.indices.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.manifest.origin.indices.is_empty()
    }

    /// Bytes of image `number` of the set, C×H×W.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn pixels(&self, number: usize) -> &[u8] {
        let size = self.shape.iter().product::<usize>();
        &self.bytes[number * size..(number + 1) * size]
    }

    /// The poisoned bytes of training image `index`; `None` if that image is not poisoned.
    pub fn replacement(&self, index: usize) -> Option<&[u8]> {
        self.manifest.origin.indices.binary_search(&index).ok().map(|number| self.pixels(number))
    }

    /// Writes the set into a folder, as IDX files and as `poison.npz` (`images`, `clean`, `labels`, `indices`). The
    /// manifest is written last, so a folder with a manifest is complete.
    ///
    /// # Errors
    /// [`Error::Write`], also if the folder holds a poison set already.
    pub fn write(&mut self, folder: &Path, training: &TrainingSet) -> Result<(), Error> {
        let manifest = folder.join(MANIFEST);
        if manifest.exists() {
            return Err(Error::write(folder)("it holds a poison set already; choose another folder"));
        }
        fs::create_dir_all(folder).map_err(Error::write(folder))?;
        let [c, h, w] = self.shape;
        let shape = if c == 1 { vec![self.len(), h, w] } else { vec![self.len(), c, h, w] };
        self.manifest.images_sha256 = write_idx(&folder.join(IMAGES), &shape, &self.bytes)?;
        let indices = &self.manifest.origin.indices;
        let label = |&index: &usize| u8::try_from(training.data.labels()[index]);
        let labels: Vec<u8> =
            indices.iter().map(label).collect::<Result<_, _>>().map_err(Error::write(folder))?;
        write_idx(&folder.join(LABELS), &[self.len()], &labels)?;
        self.write_npz(&folder.join(ARRAYS), training, &labels)?;
        let text = serde_json::to_string_pretty(&self.manifest).map_err(Error::write(&manifest))?;
        write_atomically(&manifest, |file| file.write_all(text.as_bytes())).map_err(Error::write(&manifest))
    }

    /// Writes the set as NumPy arrays, with the clean images beside the poisoned ones.
    fn write_npz(&self, path: &Path, training: &TrainingSet, labels: &[u8]) -> Result<(), Error> {
        let [c, h, w] = self.shape;
        let indices = &self.manifest.origin.indices;
        let clean: Vec<u8> = indices.iter().flat_map(|&index| training.data.pixels(index)).copied().collect();
        let numbers: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        let images =
            |bytes| ArrayView::from_shape(IxDyn(&[self.len(), c, h, w]), bytes).map_err(Error::write(path));
        let arrays = [
            ("images", NpzArray::Bytes(images(&self.bytes)?)),
            ("clean", NpzArray::Bytes(images(&clean)?)),
            ("labels", NpzArray::Bytes(ArrayView::from(labels).into_dyn())),
            ("indices", NpzArray::Integers(ArrayView::from(&numbers).into_dyn())),
        ];
        Ok(write_npz(path, &arrays)?)
    }

    /// Whether a folder holds a poison set.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(MANIFEST).is_file()
    }

    /// Reads the manifest of a set.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read_manifest(folder: &Path) -> Result<Manifest, Error> {
        let path = folder.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
        let broken = |error: serde_json::Error| {
            Error::read(&path)(format!("it is not a complete manifest of a poison set ({error})"))
        };
        // The manifest of another schema may lack fields of this one.
        let value: serde_json::Value = serde_json::from_str(&text).map_err(broken)?;
        if let Some(schema) = value.get("schema").and_then(serde_json::Value::as_str)
            && schema != SCHEMA
        {
            let problem = format!("its schema is '{schema}'; this program reads '{SCHEMA}'");
            return Err(Error::read(&path)(problem));
        }
        serde_json::from_value(value).map_err(broken)
    }

    /// Reads a set and checks it against the training set it is for: hashes, indices, labels and ε.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Data`], [`Error::Poison`].
    pub fn read(folder: &Path, training: &TrainingSet) -> Result<Self, Error> {
        let manifest = Self::read_manifest(folder)?;
        let bad = |problem: String| Error::Poison { path: folder.to_owned(), problem };
        let images = read_idx(&folder.join(IMAGES))?;
        if images.sha256 != manifest.images_sha256 {
            return Err(bad("its images were changed after it was made; make it again".into()));
        }
        if source_of(&training.data) != manifest.data {
            return Err(bad(format!("it was made for other data than {}", training.data.path.display())));
        }
        if training.split != manifest.split {
            return Err(bad(
                "it was made for another split of the data (seed, validation or images differ)".into()
            ));
        }
        let Origin { indices, target_classes, .. } = &manifest.origin;
        let expected = training.of_classes(&training.training, target_classes);
        let known = indices.is_sorted() && indices.iter().all(|index| expected.binary_search(index).is_ok());
        let shape = training.data.shape();
        if !known || images.bytes.len() != indices.len() * shape.iter().product::<usize>() {
            return Err(bad("its indices are not those of training images of the target classes".into()));
        }
        let labels = read_idx(&folder.join(LABELS))?;
        let unchanged = |(label, &index): (&u8, &usize)| u16::from(*label) == training.data.labels()[index];
        if labels.shape != [indices.len()] || !labels.bytes.iter().zip(indices).all(unchanged) {
            return Err(bad("its labels are not those of the images it replaces".into()));
        }
        let set = Self { manifest, shape, bytes: images.bytes };
        if set.largest_change(&training.data) != set.manifest.largest_change {
            return Err(bad(
                "its images differ from the clean ones by more or less than its manifest says".into()
            ));
        }
        set.check_epsilon(folder)?;
        Ok(set)
    }

    fn largest_change(&self, data: &Dataset) -> u8 {
        self.manifest
            .origin
            .indices
            .iter()
            .enumerate()
            .flat_map(|(number, &index)| self.pixels(number).iter().zip(data.pixels(index)))
            .map(|(poisoned, clean)| poisoned.abs_diff(*clean))
            .max()
            .unwrap_or(0)
    }

    fn check_epsilon(&self, folder: &Path) -> Result<(), Error> {
        let (most, found) = (levels(self.manifest.origin.epsilon), self.manifest.largest_change);
        if found <= most {
            return Ok(());
        }
        let problem = format!(
            "a pixel differs by {found}/255 and epsilon {} allows {most}/255",
            self.manifest.origin.epsilon
        );
        Err(Error::Poison { path: PathBuf::from(folder), problem })
    }
}

fn source_of(data: &Dataset) -> SourceData {
    SourceData { images_sha256: data.images_sha256.clone(), labels_sha256: data.labels_sha256.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::SplitSettings, poison::Generator};

    fn training(folder: &Path) -> TrainingSet {
        let bytes: Vec<u8> = (0..30 * 4).map(|i| (i * 7 % 256) as u8).collect();
        let labels: Vec<u8> = (0..30).map(|i| i % 3).collect();
        write_idx(&folder.join("train-images-idx3-ubyte"), &[30, 2, 2], &bytes).unwrap();
        write_idx(&folder.join("train-labels-idx1-ubyte"), &[30], &labels).unwrap();
        let split = SplitSettings { seed: 1, validation: 6, images: Some(20) };
        TrainingSet::open(folder, split).unwrap()
    }

    fn set(training: &TrainingSet, change: i16) -> Result<PoisonSet, Error> {
        let indices = training.of_classes(&training.training, &[2]);
        let bytes = indices
            .iter()
            .flat_map(|&index| training.data.pixels(index))
            .map(|&byte| (i16::from(byte) + change).clamp(0, 255) as u8)
            .collect();
        let origin = Origin {
            target_classes: vec![2],
            poisoned_share: 1.0,
            epsilon: 0.1,
            generator: Generator::Random,
            selected: None,
            seed: 1,
            device: "cpu".into(),
            threads: 1,
            indices,
        };
        PoisonSet::new(origin, training, bytes)
    }

    #[test]
    fn a_set_comes_back_as_it_was_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let training = training(folder.path());
        let mut set = set(&training, -25).unwrap();
        let place = folder.path().join("poison");
        set.write(&place, &training).unwrap();
        assert_eq!(PoisonSet::read(&place, &training).unwrap(), set);
        assert!(set.write(&place, &training).unwrap_err().to_string().contains("holds a poison set already"));
        // Anybody can read it as a data set.
        let plain = Dataset::open(&place.join(IMAGES), mithridate_runtime::data::Split::Train).unwrap();
        assert_eq!((plain.len(), plain.labels()[0]), (set.len(), 2));
    }

    #[test]
    fn too_large_a_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = set(&training(folder.path()), 26).unwrap_err().to_string();
        assert!(error.ends_with("a pixel differs by 26/255 and epsilon 0.1 allows 25/255"), "{error}");
    }

    #[test]
    fn a_changed_image_or_other_data_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let training = training(folder.path());
        let place = folder.path().join("poison");
        set(&training, 5).unwrap().write(&place, &training).unwrap();
        let other = TrainingSet::open(folder.path(), SplitSettings { seed: 2, ..training.split }).unwrap();
        assert!(PoisonSet::read(&place, &other).unwrap_err().to_string().contains("another split"));
        let file = place.join(IMAGES);
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
        assert!(PoisonSet::read(&place, &training).unwrap_err().to_string().contains("were changed after"));
    }
}
