use std::{fmt::Write, path::PathBuf};

use anyhow::Result;
use clap::Args;
use mithridate_onnx::{
    Dim, ModelFile, ModelMetadata, ModelSummary, Normalization, find_normalization, read, summarize,
};
use serde_json::json;

use super::{
    inspect_report::{Findings, as_json, describe, in_words},
    model::InputArguments,
    probe::ProbeArguments,
};
use crate::{
    backend::{InputOptions, OnnxModel, OnnxRuntime, Provider},
    data::sha256_file,
    terminal::{self, printable},
};

/// Heights and widths in pixels to test a model whose input leaves them open.
const SIDES: [usize; 4] = [32, 224, 64, 299];

#[derive(Args)]
#[command(after_help = "Example:\n  rscert inspect lenet.onnx")]
pub(super) struct Arguments {
    /// The ONNX file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    input: InputArguments,
    #[command(flatten)]
    probe: ProbeArguments,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let path = &arguments.model;
    let proto = read(path)?;
    let (summary, metadata) = (summarize(&proto)?, ModelMetadata::of(&proto)?);
    let sha256 = sha256_file(path)?;
    let normalization = summary.inputs.first().and_then(|input| find_normalization(&proto, &input.name));
    drop(proto);
    // Whether it can be certified is a result of the inspection, not a failure of it.
    let runtime = OnnxRuntime::load();
    let providers: Vec<String> = match &runtime {
        Ok(_) => Provider::built_in().iter().map(ToString::to_string).collect(),
        Err(_) => Vec::new(),
    };
    let load = || Ok(arguments.probe.load(ModelFile::read(path)?, &options(arguments, &summary))?);
    let found = runtime
        .map_err(anyhow::Error::from)
        .and_then(|_| load())
        .map(|(_, model)| findings(arguments, model, normalization, &metadata, &summary))
        .map_err(|error| format!("{error:#}"));
    if arguments.json {
        let problem = found.as_ref().err().cloned();
        let document = json!({
            "sha256": sha256,
            "model": summary,
            "providers": providers,
            "classes": found.as_ref().ok().map(|found| found.model.classes()),
            "certification": found.as_ref().ok().map(as_json),
            "problem": problem,
            "command": found.as_ref().ok().map(|found| &found.command),
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let mut text = describe(&summary, &sha256);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11} {}", printable(value));
    };
    if !providers.is_empty() {
        line("providers:", &providers.join(", "));
    }
    match &found {
        Ok(found) => {
            for (name, value) in in_words(found) {
                line(name, &value);
            }
            line("certify:", &found.command);
        }
        Err(problem) => line("certify:", &format!("not possible: {problem}")),
    }
    Ok(terminal::print(&text)?)
}

/// The options with which a model is tested in turn: one for each size if its input leaves height and width open.
fn options(arguments: &Arguments, summary: &ModelSummary) -> Vec<InputOptions> {
    let sides = if is_open(summary) { &SIDES[..] } else { &SIDES[..1] };
    let options = arguments.input.options();
    sides.iter().map(|&side| InputOptions { side: Some(side), ..options.clone() }).collect()
}

/// Whether a dimension besides the batch is symbolic.
fn is_open(summary: &ModelSummary) -> bool {
    let shape = summary.inputs.first().and_then(|input| input.shape.as_deref()).unwrap_or_default();
    shape.iter().skip(1).any(|dim| matches!(dim, Dim::Symbolic(_)))
}

fn findings(
    arguments: &Arguments,
    model: OnnxModel,
    normalization: Option<Normalization>,
    metadata: &ModelMetadata,
    summary: &ModelSummary,
) -> Findings {
    let sigma = metadata.training_sigma.map_or_else(|| "SIGMA".into(), |sigma| sigma.to_string());
    let path = quoted(&arguments.model.display().to_string());
    let mut command = format!("rscert certify --model {path} --data DATA --sigma {sigma}");
    let options = arguments.input.options();
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
    Findings { normalization, tried: is_open(summary).then_some([height, width]), command, model }
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
