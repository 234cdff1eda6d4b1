use crate::backend::Layout;

/// Options for the input and output of a model. Options that are not given are taken from the model's metadata or
/// determined from the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputOptions {
    /// Shape of the images: channels, height, width.
    pub image: Option<[usize; 3]>,
    /// Order of the dimensions.
    pub layout: Option<Layout>,
    /// Values that the model expects for the pixel values 0 and 1 of the data set.
    pub range: Option<[f64; 2]>,
    /// Mean of each channel, or one for all.
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of each channel, or one for all.
    pub std: Option<Vec<f64>>,
    /// The output with a value for each class.
    pub output: Option<String>,
    /// Height and width in pixels to test a model with, if neither the model nor the data determine them.
    pub side: Option<usize>,
    /// Standard deviation of the noise in data-set units. Test inputs cover the range of values that this noise
    /// produces. 1 if it is not known.
    pub sigma: Option<f64>,
    /// Whether a model with batch size 1 is run unchanged, instead of rewritten to take any batch size.
    pub keep_batch: bool,
}

impl InputOptions {
    /// These options, with layout, range, mean, standard deviation and output replaced by those that `other` gives.
    #[must_use]
    pub fn changed_by(self, other: &Self) -> Self {
        Self {
            layout: other.layout.or(self.layout),
            range: other.range.or(self.range),
            mean: other.mean.clone().or(self.mean),
            std: other.std.clone().or(self.std),
            output: other.output.clone().or(self.output),
            ..self
        }
    }
}
