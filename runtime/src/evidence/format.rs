use serde::{Deserialize, Serialize};

use super::{Change, Recertification, Shard, Simultaneous};
use crate::{
    backend::{ExternalSource, Preprocessing},
    certify::{Certificate, Plan, Settings, Votes},
    data::{Dataset, Preparation},
    noise::NoiseMode,
    statistics::Radii,
    units::Sigma,
};

/// Name and version of the file format.
pub const SCHEMA: &str = "mithridate-evidence/4";

/// One line of an evidence file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line {
    Header(Box<Header>),
    Input(Box<Chained>),
    Footer(Footer),
}

/// A record with its chain value.
#[derive(Serialize, Deserialize)]
pub(super) struct Chained {
    #[serde(flatten)]
    pub record: Record,
    pub chain: String,
}

/// First line of an evidence file: everything that the certificates depend on, and how the run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Name and version of the file format, [`SCHEMA`].
    pub schema: String,
    /// Name and version of the program.
    pub tool: String,
    /// The model.
    pub model: ModelSource,
    /// The data set.
    pub data: DataSource,
    /// The subset of its inputs that is certified; named `selection` in the file.
    #[serde(rename = "selection")]
    pub subset: InputSubset,
    /// The shard of the subset that this file contains; `None` for the whole subset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// σ, distribution of the noise, α for each input, numbers of samples, stopping rule, seed.
    #[serde(flatten)]
    pub settings: Settings,
    /// The simultaneous claim about all inputs, if the run makes one.
    #[serde(default)]
    pub simultaneous: Option<Simultaneous>,
    /// The challenge from which the seed was derived, together with model, data and settings; `None` for a seed that
    /// was drawn or given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// Noise mode and generator.
    pub noise: NoiseSource,
    /// Whether the vote of every estimation sample is kept in a file beside this one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keeps_votes: bool,
    /// For a recertification, the terms on which it uses the run of the earlier model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recertification: Option<Recertification>,
    /// Engine, provider, precision and plan.
    pub execution: Execution,
    /// The machine of the run.
    pub machine: Machine,
    /// Start of the run, as a Unix time in seconds.
    pub started: u64,
}

impl Header {
    /// Number of inputs in this file when it is finished.
    pub fn inputs(&self) -> u64 {
        let count = self.subset.count;
        self.shard.map_or(count, |shard| shard.len(count))
    }

    /// Whether an input with `selection_hits` selection votes for its class gets its certificate from the bound of the
    /// earlier run. Always false without a recertification, and under a challenge, because the noise of the earlier run
    /// was known before the changed model was made.
    pub fn is_incremental(&self, selection_hits: u64) -> bool {
        let from = self.recertification.as_ref().filter(|_| self.challenge.is_none());
        from.is_some_and(|from| from.is_incremental(selection_hits, &self.settings))
    }

    /// Converts a certified radius in the norm of the noise to all norms.
    pub fn radii(&self, radius: f64) -> Radii {
        // Evidence with such a large shape is refused when read; more values only make radii smaller.
        Radii::new(radius, self.settings.distribution.norm(), self.data.values().unwrap_or(usize::MAX))
    }
}

/// The certified model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSource {
    /// Name of the file when it was certified.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Number of classes.
    pub classes: usize,
    /// Its files of weights (external data).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<ExternalSource>,
    /// Preprocessing, output and batch, if they do not follow from the file alone.
    #[serde(default, skip_serializing_if = "ModelUse::is_plain")]
    pub r#use: ModelUse,
}

/// Preprocessing, output, class labels and batch with which a model was used. All empty for a plain model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelUse {
    /// Preprocessing of noisy images.
    #[serde(default, skip_serializing_if = "Preprocessing::is_none")]
    pub preprocessing: Preprocessing,
    /// Standard deviation of the noise in units of the model's input, for each channel; empty if it equals σ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sigma_in_model: Vec<f64>,
    /// Name of the output read, if there are several or it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The model's labels of its classes in the order of its scores, if they are not 0, 1, 2, …. Classes and labels in
    /// records are indices into this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_labels: Vec<String>,
    /// The batch size in the file, if the model was rewritten to take any batch size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_rewritten_from: Option<usize>,
}

impl ModelUse {
    /// Computes [`sigma_in_model`](Self#structfield.sigma_in_model): σ in units of the model's input for each channel,
    /// empty if the preprocessing does not scale.
    pub fn sigma_in_model(preprocessing: &Preprocessing, channels: usize, sigma: Sigma) -> Vec<f64> {
        let scale = preprocessing.scale(channels);
        if scale.iter().all(|&factor| factor == 1.0) {
            return Vec::new();
        }
        scale.iter().map(|factor| factor * sigma.get()).collect()
    }

    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// The certified data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSource {
    /// Name of the file of images or of the folder.
    pub file: String,
    /// SHA-256 of the images, see [`Dataset::images_sha256`].
    pub images_sha256: String,
    /// SHA-256 of the labels; empty if there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub labels_sha256: String,
    /// Shape of an image: channels, height, width.
    pub shape: [usize; 3],
    /// Smallest and largest value of an image without noise, which fixes the unit of σ and of radii.
    pub range: [f64; 2],
    /// Resizing and cropping of the images before they were hashed and certified.
    #[serde(default, skip_serializing_if = "Preparation::is_none")]
    pub preparation: Preparation,
    /// Class names in the order of the labels, if the data set has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
}

impl DataSource {
    /// Number of values of an image: channels · height · width; `None` if that overflows.
    pub fn values(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |values, &size| values.checked_mul(size))
    }
}

/// The inputs of a data set that a run certifies: a filter by class, then a stride, then a limit. Evidence names it
/// `selection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSubset {
    /// Only inputs with these labels; all if empty.
    pub classes: Vec<usize>,
    /// Stride: of these, every `skip`-th input.
    pub skip: usize,
    /// Largest number of inputs; `None` for no limit.
    pub max: Option<usize>,
    /// Number of inputs that remain.
    pub count: u64,
}

impl InputSubset {
    /// Describes the subset, for example "5 inputs: those of class 0, 2, of these one in 3, of these the first 5".
    pub fn in_words(&self) -> String {
        let mut text = format!("{} inputs", self.count);
        let mut parts = Vec::new();
        if !self.classes.is_empty() {
            let classes: Vec<String> = self.classes.iter().map(usize::to_string).collect();
            parts.push(format!("those of class {}", classes.join(", ")));
        }
        if self.skip > 1 {
            parts.push(format!("one in {}", self.skip));
        }
        if let Some(max) = self.max {
            parts.push(format!("the first {max}"));
        }
        if !parts.is_empty() {
            text += &format!(": {}", parts.join(", of these "));
        }
        text
    }

    /// The shortest equivalent form: without classes that no input has, without a class filter that accepts every
    /// input, and without a limit that has no effect.
    #[must_use]
    pub fn in_normal_form(mut self, data: &Dataset) -> Self {
        let there: std::collections::BTreeSet<usize> =
            (0..data.len()).filter_map(|index| data.label(index)).collect();
        self.classes.retain(|class| there.contains(class));
        if self.classes.len() == there.len() {
            self.classes.clear();
        }
        if self.count == 1 {
            (self.skip, self.max) = (1, Some(1));
        }
        let unlimited = Self { max: None, ..self.clone() };
        if self.max.is_some_and(|max| unlimited.indices(data).len() <= max) {
            self.max = None;
        }
        self
    }

    /// Indices of the subset's inputs in `data`, ascending. A class filter rejects inputs without a label.
    pub fn indices(&self, data: &Dataset) -> Vec<u64> {
        let is_of = |index| data.label(index).is_some_and(|label| self.classes.contains(&label));
        (0..data.len())
            .filter(|&index| self.classes.is_empty() || is_of(index))
            .step_by(self.skip.max(1))
            .take(self.max.unwrap_or(usize::MAX))
            .map(|index| index as u64)
            .collect()
    }
}

/// Mode and generator of the noise. Its distribution is in the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseSource {
    /// Whether inputs share their noise.
    pub mode: NoiseMode,
    /// Description of the generator, see [`Distribution::generator`](crate::noise::Distribution::generator).
    pub generator: String,
}

/// The engine that ran the model, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// Name and version of the engine.
    pub engine: String,
    /// Execution provider, such as `cpu`.
    pub provider: String,
    /// Precision of the arithmetic, such as `float32`.
    pub precision: String,
    /// Batch size and division of threads. It affects only the speed of the run.
    pub plan: Plan,
}

/// The machine of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub system: String,
    /// Name of the processor.
    pub processor: String,
    /// Number of hardware threads.
    pub threads: usize,
}

impl Machine {
    /// The machine on which this program runs.
    pub fn this() -> Self {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor.unwrap_or("unknown").into(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// The result of one input: votes and certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Index of the input in the data set.
    pub index: u64,
    /// Label (true class), if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<usize>,
    /// The class with the most votes of selection samples; `None` if no class has a vote.
    pub class: Option<usize>,
    /// Counts of the votes of the selection samples.
    pub selection: Votes,
    /// Counts of the votes of the estimation samples.
    pub estimation: Votes,
    /// Number of estimation samples.
    pub samples: u64,
    /// Lower bound p̲ on the probability of `class` under noise.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, in units of the data set, rounded down; 0 for an abstention.
    pub radius: f64,
    /// Certified radius in all norms; `None` for an abstention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radii: Option<Radii>,
    /// Whether the input has no certificate.
    pub abstained: bool,
    /// SHA-256 of the votes of all estimation samples in order, if they are kept: two bytes each, little-endian.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes_sha256: Option<String>,
    /// For a recertification from the earlier bound: that bound, and the numbers of lost and changed votes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Time spent on the samples of this input, in seconds.
    pub seconds: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde asks for.
fn is_false(value: &bool) -> bool {
    !value
}

impl Record {
    /// The record of `certificate` in a run with `header`.
    pub fn new(certificate: Certificate, header: &Header) -> Self {
        let Certificate { index, label, class, selection, estimation, samples, p_lower, radius, seconds } =
            certificate;
        Self {
            index,
            label,
            class,
            selection,
            estimation,
            samples,
            p_lower,
            radius: radius.unwrap_or(0.0),
            radii: radius.map(|radius| header.radii(radius)),
            abstained: radius.is_none(),
            votes_sha256: None,
            change: None,
            seconds: (seconds * 1e6).round() / 1e6,
        }
    }

    /// Whether the certified class equals the label; false for an abstention and without a label.
    pub fn is_right(&self) -> bool {
        !self.abstained && self.label.is_some() && self.class == self.label
    }

    /// The radius in the norm of the noise if the certified class equals the label, else 0.
    pub fn right_radius(&self) -> f64 {
        if self.is_right() { self.radius } else { 0.0 }
    }
}

/// Last line of an evidence file: totals, the last chain value, and the hash of all lines before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Footer {
    /// Number of inputs.
    pub inputs: u64,
    /// Number of inputs with a certificate.
    pub certified: u64,
    /// Number of abstentions.
    pub abstained: u64,
    /// Number of selection and estimation samples of all inputs.
    pub samples: u64,
    /// Time spent on all samples, in seconds.
    pub seconds: f64,
    /// Last chain value. It identifies the result of the run, independent of time, machine and division into shards.
    pub chain: String,
    /// SHA-256 of all lines before this one, with their line ends.
    pub sha256: String,
}

impl Footer {
    /// Adds a record to the totals.
    pub(super) fn add(&mut self, record: &Record, n0: u64) {
        self.inputs += 1;
        self.certified += u64::from(!record.abstained);
        self.abstained += u64::from(record.abstained);
        // Numbers read from a file may be arbitrary, so the sum must not overflow.
        self.samples = self.samples.saturating_add(n0).saturating_add(record.samples);
        // Times are rounded to microseconds.
        self.seconds = ((self.seconds + record.seconds) * 1e6).round() / 1e6;
    }
}
