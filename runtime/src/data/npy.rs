use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use ndarray::{ArrayViewD, ShapeBuilder};
use ndarray_npy::npy::header::{Header, Layout};
use sha2::{Digest, Sha256};

use super::{DataError, Dataset, OpenOptions, hex, labels_beside::labels_beside};
use crate::{files, memory};

/// Largest header that is read, in bytes; the same limit as in NumPy.
pub(super) const LONGEST_HEADER: usize = 10_000;

/// Element types that labels can have, in the notation of NumPy.
const INTEGERS: [&str; 14] =
    ["|u1", "|i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4", "<u8", ">u8", "<i8", ">i8"];

/// Opens an npy file of images, with the npy file of labels beside it.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let labels = match labels_beside(path, "npy") {
        Ok(labels) => Some(labels).filter(|labels| labels.is_file() || !options.unlabelled),
        Err(DataError::Malformed { .. }) if options.unlabelled => None,
        Err(error) => return Err(error),
    };
    let open = |path: &Path| -> Result<BufReader<File>, DataError> {
        let file = files::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        Ok(BufReader::new(file))
    };
    let labels = labels.as_deref().map(|path| Ok::<_, DataError>((path, open(path)?))).transpose()?;
    parse((path, open(path)?), labels)
}

/// Reads npy files of images and labels from readers; the paths name them in errors.
fn parse(
    (images_path, mut images): (&Path, impl Read),
    labels: Option<(&Path, impl Read)>,
) -> Result<Dataset, DataError> {
    let malformed = |path: &Path, problem: String| DataError::Malformed {
        path: path.to_owned(),
        format: "npy",
        problem: format!("it {problem}"),
    };
    // Headers are checked before anything large is read.
    let head = Npy::images(&mut images).map_err(|problem| malformed(images_path, problem))?;
    let labels = match labels {
        Some((path, mut reader)) => {
            let labels = Npy::labels(&mut reader).map_err(|problem| malformed(path, problem))?;
            if labels.len() != head.len() {
                return Err(DataError::CountMismatch {
                    images_path: images_path.to_owned(),
                    images: head.len(),
                    labels_path: path.to_owned(),
                    labels: labels.len(),
                });
            }
            Some(labels.read_labels(&mut reader).map_err(|problem| malformed(path, problem))?)
        }
        None => None,
    };
    let images = head.read_images(&mut images).map_err(|problem| malformed(images_path, problem))?;
    Ok(images.with_labels(images_path, labels))
}

impl Dataset {
    /// Reads an npy file of images and an npy file of labels from readers.
    ///
    /// # Errors
    /// [`DataError`] if a file is malformed, or if the numbers of images and labels differ.
    pub fn parse_npy(images: impl Read, labels: impl Read) -> Result<Self, DataError> {
        parse((Path::new("images"), images), Some((Path::new("labels"), labels)))
    }
}

/// The header of an npy file.
pub(super) struct Npy {
    /// Element type in the notation of NumPy, such as `<i8`.
    element: String,
    layout: Layout,
    shape: Vec<usize>,
    /// All bytes before the elements.
    header: Vec<u8>,
    /// Number of bytes of all elements, according to the header.
    promised: usize,
}

/// Images of an npy file.
pub(super) struct Images {
    pixels: Vec<u8>,
    shape: [usize; 3],
    sha256: String,
}

/// Labels of an npy file.
pub(super) struct Labels {
    labels: Vec<u16>,
    sha256: String,
}

impl Images {
    /// Combines the images with their labels to a data set.
    pub fn with_labels(self, path: &Path, labels: Option<Labels>) -> Dataset {
        let Self { pixels, shape, sha256 } = self;
        let (labels, labels_sha256) = labels.map_or_else(Default::default, |of| (of.labels, of.sha256));
        let path = path.to_owned();
        Dataset {
            pixels,
            shape,
            labels,
            class_names: None,
            notes: Vec::new(),
            path,
            images_sha256: sha256,
            labels_sha256,
        }
    }
}

impl Npy {
    /// Reads the header of images. Errors are the end of a sentence that starts with the name of the array.
    pub fn images(reader: &mut dyn Read) -> Result<Self, String> {
        let head = Self::read(reader, &["|u1"])?;
        head.image_shape()?;
        Ok(head)
    }

    /// Reads the header of labels.
    pub fn labels(reader: &mut dyn Read) -> Result<Self, String> {
        let head = Self::read(reader, &INTEGERS)?;
        if head.shape.len() == 1 {
            Ok(head)
        } else {
            Err(format!("has the shape {:?}; labels have one dimension", head.shape))
        }
    }

    /// Number of images or labels.
    pub fn len(&self) -> usize {
        self.shape.first().copied().unwrap_or_default()
    }

    /// Checks that a file of `bytes` bytes, header included, has the length that its header declares.
    pub fn check_length(&self, bytes: u64) -> Result<(), String> {
        let found = usize::try_from(bytes.saturating_sub(self.header.len() as u64)).unwrap_or(usize::MAX);
        if found == self.promised { Ok(()) } else { Err(self.wrong_length(found)) }
    }

    /// Reads the header of a file whose element type must be one of `elements`.
    fn read(reader: &mut dyn Read, elements: &[&str]) -> Result<Self, String> {
        let mut content = vec![0; 10];
        reader.read_exact(&mut content).map_err(|error| damaged(&error))?;
        if !content.starts_with(b"\x93NUMPY") {
            return Err("is not an npy file: it does not start with '\\x93NUMPY'".into());
        }
        // The length of the header has two bytes in version 1 of the format and four in later versions.
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
        // The header of a plain array has one brace and one parenthesis. The time of the parser doubles with each
        // further level of nesting.
        let nested = content[start..].iter().filter(|byte| b"([{".contains(byte)).count() > 6;
        let header = (!nested).then(|| Header::from_reader(&mut &content[..]).ok()).flatten();
        let Some(Header { type_descriptor, shape, layout }) = header else {
            return Err("has a header that can't be parsed".into());
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
        let promised = shape
            .iter()
            .try_fold(size_of_element(element), |bytes, &length| bytes.checked_mul(length))
            .ok_or_else(|| format!("has a shape {shape:?} that is too large"))?;
        Ok(Self { element: element.into(), layout, shape, header: content, promised })
    }

    /// Channels, height and width of an image, and whether the array has its channels last.
    fn image_shape(&self) -> Result<([usize; 3], bool), String> {
        let shape = &self.shape[..];
        if shape.contains(&0) {
            return Err(format!("has the shape {shape:?} and contains no image"));
        }
        let channels = |length| length == 1 || length == 3;
        match *shape {
            [_, height, width] => Ok(([1, height, width], false)),
            [_, first, second, last] => match (channels(first), channels(last)) {
                (true, false) => Ok(([first, second, last], false)),
                (false, true) => Ok(([last, first, second], true)),
                (true, true) => Err(format!(
                    "has the shape {shape:?}, which can be N×C×H×W or N×H×W×C; store images of one channel as N×H×W, or \
                     give them more pixels"
                )),
                (false, false) => Err(format!(
                    "has the shape {shape:?}, in which neither end (N×C×H×W or N×H×W×C) is 1 or 3 channels"
                )),
            },
            _ => Err(format!("has the shape {shape:?}; images are N×H×W, N×C×H×W or N×H×W×C")),
        }
    }

    fn wrong_length(&self, found: usize) -> String {
        let (promised, shape) = (self.promised, &self.shape);
        let found = if found < promised { format!("only {found}") } else { "more".into() };
        format!("declares {promised} bytes of shape {shape:?} in its header, and {found} follow")
    }

    /// Reads the elements, which follow the header. Returns them with the SHA-256 of header and elements.
    fn elements(&self, reader: &mut dyn Read) -> Result<(Vec<u8>, String), String> {
        let elements = memory::read_at_most(&mut *reader, self.promised).map_err(|error| damaged(&error))?;
        if elements.len() < self.promised {
            return Err(self.wrong_length(elements.len()));
        }
        // Reading to the end also makes the zip reader compare the checksum of the member.
        match reader.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(self.wrong_length(usize::MAX)),
            Err(error) => return Err(damaged(&error)),
        }
        let mut hash = Sha256::new();
        hash.update(&self.header);
        hash.update(&elements);
        Ok((elements, hex(&hash.finalize())))
    }

    /// Reads images and returns them as N×C×H×W.
    pub fn read_images(&self, reader: &mut dyn Read) -> Result<Images, String> {
        let (shape, channels_last) = self.image_shape()?;
        let (mut pixels, sha256) = self.elements(reader)?;
        let [channels, height, width] = shape;
        let area = height * width;
        if self.layout.is_fortran() {
            pixels = self.in_order(&pixels, channels_last)?;
        } else if channels_last && channels > 1 {
            let mut image = Vec::new();
            memory::reserve(&mut image, channels * area).map_err(|error| damaged(&error))?;
            for pixels in pixels.chunks_exact_mut(channels * area) {
                image.clear();
                image.extend_from_slice(pixels);
                for (place, value) in pixels.iter_mut().enumerate() {
                    *value = image[place % area * channels + place / area];
                }
            }
        }
        Ok(Images { pixels, shape, sha256 })
    }

    /// Converts pixels in column-major (Fortran) order to row-major N×C×H×W.
    fn in_order(&self, pixels: &[u8], channels_last: bool) -> Result<Vec<u8>, String> {
        let mut view = ArrayViewD::from_shape(self.shape.clone().f(), pixels)
            .map_err(|_| format!("has an invalid shape {:?}", self.shape))?;
        if channels_last {
            view = view.permuted_axes(vec![0, 3, 1, 2]);
        }
        let mut ordered = Vec::new();
        memory::reserve(&mut ordered, pixels.len()).map_err(|error| damaged(&error))?;
        ordered.extend(view.iter());
        Ok(ordered)
    }

    /// Reads labels.
    pub fn read_labels(&self, reader: &mut dyn Read) -> Result<Labels, String> {
        let (elements, sha256) = self.elements(reader)?;
        let mut labels = Vec::new();
        memory::reserve(&mut labels, self.len()).map_err(|error| damaged(&error))?;
        for (index, bytes) in elements.chunks_exact(size_of_element(&self.element)).enumerate() {
            let label = integer(&self.element, bytes);
            labels.push(u16::try_from(label).map_err(|_| {
                format!("holds the label {label} of image {index}, which is not from 0 to 65535")
            })?);
        }
        Ok(Labels { labels, sha256 })
    }
}

/// Number of bytes of an element of a type such as `<i8`.
fn size_of_element(element: &str) -> usize {
    usize::from(element.as_bytes()[2] - b'0')
}

/// The value of an element of a type such as `<i8`.
fn integer(element: &str, bytes: &[u8]) -> i128 {
    let number = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
    let number = if element.starts_with('>') {
        bytes.iter().fold(0, number)
    } else {
        bytes.iter().rev().fold(0, number)
    };
    if element[1..].starts_with('i') {
        let unused = 64 - 8 * bytes.len() as u32;
        i128::from((number << unused).cast_signed() >> unused)
    } else {
        i128::from(number)
    }
}

fn damaged(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "is truncated".into(),
        io::ErrorKind::OutOfMemory => format!("is too large for the memory: {error}"),
        _ => format!("is damaged or can't be read ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_with_their_sign_and_order() {
        for (element, bytes, value) in [
            ("|u1", &[200][..], 200),
            ("|i1", &[200], -56),
            ("<u2", &[1, 2], 513),
            (">u2", &[1, 2], 258),
            ("<i2", &[0, 128], -32768),
            (">i4", &[255, 255, 255, 254], -2),
            ("<i8", &[255; 8], -1),
            ("<u8", &[255; 8], i128::from(u64::MAX)),
            (">i8", &[127, 255, 255, 255, 255, 255, 255, 255], i128::from(i64::MAX)),
        ] {
            assert_eq!(integer(element, bytes), value, "{element}");
            assert!(INTEGERS.contains(&element) && size_of_element(element) == bytes.len());
        }
    }
}
