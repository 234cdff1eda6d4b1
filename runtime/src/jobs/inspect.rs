//! Describes a model, and tests whether and how it can be certified.

use std::{fmt::Write, path::PathBuf};

use mithridate_onnx::{
    Dim, ModelFile, ModelMetadata, ModelSummary, Normalization, find_normalization, read, summarize,
};
use serde_json::{Value, json};

use super::{
    Control, JobError,
    error::in_full,
    keywords::{Keywords, NamedJob},
    model::input_options,
};
use crate::{
    backend::{InputOptions, OnnxModel, OnnxRuntime, Provider},
    data::sha256_file,
};

/// Heights and widths in pixels to test a model whose input leaves them open.
const SIDES: [usize; 4] = [32, 224, 64, 299];

/// Describes an ONNX model, and tests whether it can be certified.
///
/// # Example
/// ```no_run
/// use mithridate_runtime::jobs::{Control, Inspect};
///
/// let inspected = Inspect::new("lenet.onnx").run(&Control::default())?;
/// match &inspected.certifiable {
///     Ok(found) => println!("{} classes; {}", found.model.classes(), found.command),
///     Err(problem) => println!("it can't be certified: {problem}"),
/// }
/// # Ok::<(), mithridate_runtime::jobs::JobError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inspect {
    /// The ONNX file.
    pub model: PathBuf,
    /// Options for the input of the model, and the output that is read.
    pub input: InputOptions,
}

/// Result of [`Inspect`].
pub struct Inspected {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Inputs, outputs, operators and metadata that the file describes.
    pub summary: ModelSummary,
    /// Execution providers of the ONNX Runtime that was found; empty if none was.
    pub providers: Vec<String>,
    /// How the model can be certified, or a sentence that says why it can't be certified.
    pub certifiable: Result<Certifiable, String>,
}

/// A model that can be certified.
pub struct Certifiable {
    /// The loaded model.
    pub model: OnnxModel,
    /// The normalisation at the start of the model, if it has one.
    pub normalization: Option<Normalization>,
    /// Height and width in pixels with which it was tested, if its input leaves them open.
    pub tried: Option<[usize; 2]>,
    /// The command that certifies it.
    pub command: String,
}

impl Inspect {
    /// A job that takes all input options from the model's metadata.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self { model: model.into(), input: InputOptions::default() }
    }

    /// Runs the job. That a model can't be certified is part of the result, not an error.
    ///
    /// # Errors
    /// [`JobError`] if the file can't be read as an ONNX model.
    pub fn run(&self, control: &Control) -> Result<Inspected, JobError> {
        let path = &self.model;
        let proto = read(path)?;
        let (summary, metadata) = (summarize(&proto)?, ModelMetadata::of(&proto)?);
        let sha256 = sha256_file(path)?;
        let normalization = summary.inputs.first().and_then(|input| find_normalization(&proto, &input.name));
        drop(proto);
        let providers: Vec<String> = match OnnxRuntime::load() {
            Ok(_) => Provider::built_in().iter().map(ToString::to_string).collect(),
            Err(_) => Vec::new(),
        };
        let certifiable = self
            .load(control, &summary)
            .map(|model| self.certifiable(model, normalization, &metadata, &summary))
            .map_err(|error| in_full(&error));
        Ok(Inspected { sha256, summary, providers, certifiable })
    }

    /// The result as one JSON document.
    pub fn to_json(&self, inspected: &Inspected) -> Value {
        let found = inspected.certifiable.as_ref();
        json!({
            "sha256": inspected.sha256,
            "model": inspected.summary,
            "providers": inspected.providers,
            "classes": found.ok().map(|found| found.model.classes()),
            "certification": found.ok().map(Certifiable::to_json),
            "problem": found.err(),
            "command": found.ok().map(|found| &found.command),
        })
    }

    /// Loads the model: with each size in turn if its input leaves height and width open.
    fn load(&self, control: &Control, summary: &ModelSummary) -> Result<OnnxModel, JobError> {
        OnnxRuntime::load()?;
        let sides = if is_open(summary) { &SIDES[..] } else { &SIDES[..1] };
        let options: Vec<InputOptions> =
            sides.iter().map(|&side| InputOptions { side: Some(side), ..self.input.clone() }).collect();
        Ok((control.load)(ModelFile::read(&self.model)?, &options)?.1)
    }

    fn certifiable(
        &self,
        model: OnnxModel,
        normalization: Option<Normalization>,
        metadata: &ModelMetadata,
        summary: &ModelSummary,
    ) -> Certifiable {
        let sigma = metadata.training_sigma.map_or_else(|| "SIGMA".into(), |sigma| sigma.to_string());
        let path = quoted(&self.model.display().to_string());
        let mut command = format!("rscert certify --model {path} --data DATA --sigma {sigma}");
        let options = &self.input;
        let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        if let Some(layout) = options.layout {
            let _ = write!(command, " --layout {layout}");
        }
        let guessed = normalization.as_ref().filter(|found| found.of_bytes).map(|_| [0.0, 255.0]);
        let guessed = guessed.filter(|_| metadata.input_range.is_none());
        if let Some(range) = options.range.or(guessed) {
            let _ = write!(command, " --range={}", list(&range));
        }
        for (flag, values) in [("--mean", &options.mean), ("--std", &options.std)] {
            if let Some(values) = values {
                let _ = write!(command, " {flag}={}", list(values));
            }
        }
        if let Some(output) = &options.output {
            let _ = write!(command, " --output {}", quoted(output));
        }
        let [_, height, width] = model.image_shape();
        Certifiable { normalization, tried: is_open(summary).then_some([height, width]), command, model }
    }
}

impl Certifiable {
    fn to_json(&self) -> Value {
        json!({
            "input": self.model.input(),
            "output": self.model.output(),
            "output_holds": self.model.kind,
            "batch": self.model.batching,
            "layout": self.model.preprocessing.layout,
            "precision": self.model.precision(),
            "normalization": self.normalization,
            "tried_with": self.tried,
            "external_sha256": self.model.external,
            "preprocessing": self.model.preprocessing,
        })
    }
}

impl NamedJob for Inspect {
    const NAME: &'static str = "inspect";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        Ok(Self { model: keywords.need("model")?, input: input_options(keywords)? })
    }

    fn run_to_json(&self, control: &Control) -> Result<Value, JobError> {
        Ok(self.to_json(&self.run(control)?))
    }
}

/// Whether a dimension besides the batch is symbolic.
fn is_open(summary: &ModelSummary) -> bool {
    let shape = summary.inputs.first().and_then(|input| input.shape.as_deref()).unwrap_or_default();
    shape.iter().skip(1).any(|dim| matches!(dim, Dim::Symbolic(_)))
}

/// A word, quoted for a shell if necessary.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
