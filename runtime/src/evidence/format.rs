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

/// Name and version of the format.
pub const SCHEMA: &str = "mithridate-evidence/4";

/// One line of an evidence file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line {
    Header(Box<Header>),
    Input(Box<Chained>),
    Footer(Footer),
}

/// A record with the value of the hash chain up to it.
#[derive(Serialize, Deserialize)]
pub(super) struct Chained {
    #[serde(flatten)]
    pub record: Record,
    pub chain: String,
}

/// First line: everything the certificates depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: String,
    /// Program and version.
    pub tool: String,
    /// The model.
    pub model: ModelSource,
    /// The data set.
    pub data: DataSource,
    /// The inputs chosen from it.
    #[serde(rename = "selection")]
    pub subset: InputSubset,
    /// Which part of the selection this file is for; the whole if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Noise level and distribution, confidence for each input, numbers of samples, stopping rule, seed.
    #[serde(flatten)]
    pub settings: Settings,
    /// The claim about all inputs at once, if that is what α was chosen for.
    #[serde(default)]
    pub simultaneous: Option<Simultaneous>,
    /// Text that the seed was derived from, with the model, the data and the settings, so that nobody could choose it; none
    /// for a seed that was drawn or given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// How noise was made.
    pub noise: NoiseSource,
    /// Whether the vote of every estimation sample is kept, in a file beside this one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keeps_votes: bool,
    /// The run of an earlier model that the certificates rest on, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recertification: Option<Recertification>,
    /// What ran the model.
    pub execution: Execution,
    /// Where it ran.
    pub machine: Machine,
    /// When it started, in seconds since 1970.
    pub started: u64,
}

impl Header {
    /// Number of inputs that this file holds when it is finished.
    pub fn inputs(&self) -> u64 {
        let count = self.subset.count;
        self.shard.map_or(count, |shard| shard.len(count))
    }

    /// Whether the certificate of an input with so many selection votes for its class is to rest on the run of an earlier
    /// model, where there is one. It never is under a challenge: the noise of that run was known before the changed model
    /// was.
    pub fn is_incremental(&self, selection_hits: u64) -> bool {
        let from = self.recertification.as_ref().filter(|_| self.challenge.is_none());
        from.is_some_and(|from| from.is_incremental(selection_hits, &self.settings))
    }

    /// What a radius in the norm of the noise proves in other norms.
    pub fn radii(&self, radius: f64) -> Radii {
        // A shape too large for a number is refused where evidence is read; more values only make radii smaller.
        Radii::new(radius, self.settings.distribution.norm(), self.data.values().unwrap_or(usize::MAX))
    }
}

/// A model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSource {
    /// Its name when it was certified.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Number of classes.
    pub classes: usize,
    /// Files of weights beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<ExternalSource>,
    /// How the model was used, where that is not plain from its file.
    #[serde(default, skip_serializing_if = "ModelUse::is_plain")]
    pub r#use: ModelUse,
}

/// How a model was used that needs something done to its input, or has more outputs than one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelUse {
    /// What was done to noisy images before the model got them.
    #[serde(default, skip_serializing_if = "Preprocessing::is_none")]
    pub preprocessing: Preprocessing,
    /// Standard deviation of the noise in units of the model's input, for each channel; empty if it is σ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sigma_in_model: Vec<f64>,
    /// The output read, if there are several or it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Labels of the classes in the order of the scores, where the model has others than 0, 1, 2, …. Classes and labels of
    /// records are places in this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_labels: Vec<String>,
    /// The batch size in the file, where the model was rewritten to take any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_rewritten_from: Option<usize>,
}

impl ModelUse {
    /// σ in units of the model's input for each channel, as [`sigma_in_model`](Self#structfield.sigma_in_model) has it:
    /// empty if the preprocessing leaves it as it is.
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

/// A data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSource {
    /// Name of the file of images.
    pub file: String,
    /// SHA-256 of the images.
    pub images_sha256: String,
    /// SHA-256 of the labels; empty if nobody knows them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub labels_sha256: String,
    /// Shape of an image: channels, height, width.
    pub shape: [usize; 3],
    /// Least and greatest value of an input; the units of σ and of radii.
    pub range: [f64; 2],
    /// How images were resized and cropped before they were hashed and certified.
    #[serde(default, skip_serializing_if = "Preparation::is_none")]
    pub preparation: Preparation,
    /// Names of the classes, in the order of their labels, where the data set has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
}

impl DataSource {
    /// Values of an image: channels times height times width; none if that is too large for a number.
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
    /// The subset in words, such as "5 inputs: those of class 0, 2, of these one in 3, of these the first 5".
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

    /// The same in the fewest words: no classes where these are all that inputs have, none that no input has, no limit that
    /// limits nothing.
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

    /// Indices of the inputs chosen from a data set, in order. No input without a label is of a class.
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

/// How noise of the distribution in the settings was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseSource {
    /// Whether every input got noise of its own.
    pub mode: NoiseMode,
    /// Generator and how it is keyed.
    pub generator: String,
}

/// What ran the model. The plan changes the time a run takes and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// Engine and version.
    pub engine: String,
    /// Execution provider.
    pub provider: String,
    /// Arithmetic, such as `float32`.
    pub precision: String,
    /// Batch size and split of threads.
    pub plan: Plan,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub system: String,
    /// Name of the processor.
    pub processor: String,
    /// Threads it runs at once.
    pub threads: usize,
}

impl Machine {
    /// The machine this runs on.
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

/// One line an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Index of the input in the data set.
    pub index: u64,
    /// True class, if anybody knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<usize>,
    /// Class chosen by the selection samples; none if not one of them voted.
    pub class: Option<usize>,
    /// Votes of the selection samples, by class.
    pub selection: Votes,
    /// Votes of the estimation samples, by class.
    pub estimation: Votes,
    /// Samples used for the estimate.
    pub samples: u64,
    /// Lower bound on the probability of the class.
    pub p_lower: f64,
    /// Certified radius in the norm of the noise, rounded down; 0 for an abstention.
    pub radius: f64,
    /// The same certificate in three norms; none for an abstention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radii: Option<Radii>,
    /// Whether nothing could be certified.
    pub abstained: bool,
    /// SHA-256 of the vote of every estimation sample, if they are kept: two bytes each, the lower first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes_sha256: Option<String>,
    /// What the bound rests on, if on that of an earlier model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Time its samples took, in seconds.
    pub seconds: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde asks for.
fn is_false(value: &bool) -> bool {
    !value
}

impl Record {
    /// The record of a certificate, of a run with this header.
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

    /// Whether the certified class is known to be the true one; an abstention is not.
    pub fn is_right(&self) -> bool {
        !self.abstained && self.label.is_some() && self.class == self.label
    }

    /// The radius in the norm of the noise if the certified class is the true one, else 0.
    pub fn right_radius(&self) -> f64 {
        if self.is_right() { self.radius } else { 0.0 }
    }
}

/// Last line: totals, the end of the chain, and a hash of every line before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Footer {
    /// Inputs.
    pub inputs: u64,
    /// Inputs with a certificate.
    pub certified: u64,
    /// Inputs without.
    pub abstained: u64,
    /// Samples behind the certificates, n0 and those of the estimate.
    pub samples: u64,
    /// Time of all samples, in seconds.
    pub seconds: f64,
    /// Last value of the chain: names the result of the run, whenever, wherever and in however many parts it was made.
    pub chain: String,
    /// SHA-256 of all lines before this one, line ends included.
    pub sha256: String,
}

impl Footer {
    /// Counts a record in.
    pub(super) fn add(&mut self, record: &Record, n0: u64) {
        self.inputs += 1;
        self.certified += u64::from(!record.abstained);
        self.abstained += u64::from(record.abstained);
        // What somebody else wrote may hold any number.
        self.samples = self.samples.saturating_add(n0).saturating_add(record.samples);
        // Times are kept to the microsecond.
        self.seconds = ((self.seconds + record.seconds) * 1e6).round() / 1e6;
    }
}
