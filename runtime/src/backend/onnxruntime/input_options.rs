use crate::backend::Layout;

/// What a user says of how a model wants its input and which of its outputs counts; what is not said is taken from the
/// model's metadata, or found out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputOptions {
    /// Shape of the images: channels, height, width.
    pub image: Option<[usize; 3]>,
    /// Order of the dimensions.
    pub layout: Option<Layout>,
    /// What 0 and 1 of the data set become.
    pub range: Option<[f64; 2]>,
    /// Mean of each channel, or one for all.
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of each channel, or one for all.
    pub std: Option<Vec<f64>>,
    /// The output with a value for each class.
    pub output: Option<String>,
    /// Height and width where neither model nor data say; a guess to try a model with.
    pub side: Option<usize>,
    /// Standard deviation of the noise that the model will get, in units of the data set: the inputs that it is tried
    /// with reach as far. 1 if it is not known.
    pub sigma: Option<f64>,
    /// Whether a model that takes one input at a time is run as its file has it, not rewritten to take any number.
    pub keep_batch: bool,
}

impl InputOptions {
    /// These options but for layout, range, mean, standard deviation and output where `other` gives them.
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
