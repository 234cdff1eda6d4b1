use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DataError, Preparation};

/// Part of a data set: training or test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The images that models are trained on.
    Train,
    /// The images that models are tested on.
    Test,
}

impl Split {
    /// Its name: `train` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// Options for opening a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The split to open, if there are several.
    pub split: Split,
    /// Resizing and cropping of PNG and JPEG images.
    pub preparation: Preparation,
    /// The class of the image, if the data set is a single PNG or JPEG image.
    pub label: Option<u16>,
    /// Whether a data set without labels is accepted: a PNG or JPEG image without `label`, an npz file with images only,
    /// an npy file without a file of labels beside it.
    pub unlabelled: bool,
}

impl OpenOptions {
    /// Opens `split`, with labels and without any preparation.
    pub fn new(split: Split) -> Self {
        Self { split, preparation: Preparation::default(), label: None, unlabelled: false }
    }

    pub(super) fn refuse_label(&self, path: &Path) -> Result<(), DataError> {
        let refused = DataError::Option { option: "`label`", purpose: "one image", path: path.to_owned() };
        self.label.map_or(Ok(()), |_| Err(refused))
    }

    /// Fails if an option is set that applies only to PNG and JPEG images.
    pub(super) fn refuse_all(&self, path: &Path) -> Result<(), DataError> {
        self.refuse_label(path)?;
        let Preparation { resize, crop } = self.preparation;
        match [("`resize`", resize), ("`crop`", crop)].into_iter().find(|(_, side)| side.is_some()) {
            Some((option, _)) => {
                Err(DataError::Option { option, purpose: "PNG and JPEG images", path: path.to_owned() })
            }
            None => Ok(()),
        }
    }
}
