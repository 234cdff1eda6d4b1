use std::path::PathBuf;

/// Images as stored on disk: one byte for each value, C×H×W for each image. Either all images have labels or none has.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub(super) pixels: Vec<u8>,
    pub(super) shape: [usize; 3],
    pub(super) labels: Vec<u16>,
    pub(super) class_names: Option<Vec<String>>,
    pub(super) notes: Vec<String>,
    /// The file of images, or the folder if there are several files.
    pub path: PathBuf,
    /// SHA-256 of the images, as 64 hexadecimal digits. It is the hash of the unpacked IDX or npy file, of the unpacked
    /// member `images.npy` of an npz file, or of all CIFAR files one after the other. For PNG and JPEG images it is the
    /// hash that an IDX file of the decoded, resized and cropped images would have.
    pub images_sha256: String,
    /// SHA-256 of the labels in the same way. CIFAR files contain both, so it equals
    /// [`images_sha256`](Self::images_sha256). Empty if there are no labels.
    pub labels_sha256: String,
}

impl Dataset {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.iter().product::<usize>()
    }

    /// Whether there is no image. Data sets that were opened always have one.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Shape of an image: channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Labels of all images; empty if the data set has none.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Label of the image `index`; `None` if there are no labels or there is no such image.
    pub fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).copied().map(usize::from)
    }

    /// Class names in the order of the labels, if the data set has them: from `batches.meta.txt` or
    /// `fine_label_names.txt` of CIFAR (if they have one name for each class), or from the names of the class folders.
    pub fn class_names(&self) -> Option<Vec<String>> {
        self.class_names.clone()
    }

    /// Bytes of the image `index`, C×H×W.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let size = self.shape.iter().product::<usize>();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The image `index` with values from 0 to 1, C×H×W.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> Vec<f32> {
        self.pixels(index).iter().map(|&byte| f32::from(byte) / 255.0).collect()
    }

    /// A sentence for the user about each change that was made to the images when the data set was read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
