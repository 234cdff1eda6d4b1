use std::{fmt::Write, path::PathBuf};

use anyhow::Result;
use clap::Args;
use mithridate_onnx::{
    Dim, ModelFile, ModelMetadata, ModelSummary, Normalization, find_normalization, read, summarize,
};
use serde_json::json;

use super::{model::InputArguments, probe::ProbeArguments};
use crate::{
    backend::{Batching, InputOptions, Layout, OnnxModel, OnnxRuntime, Provider},
    data::sha256_file,
    terminal::{self, printable},
};

/// Heights and widths to try a model with that leaves them open.
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

/// What was found out about a model by reading it and trying it.
struct Findings {
    model: OnnxModel,
    normalization: Option<Normalization>,
    /// Height and width that it was tried with, if it leaves them open.
    tried: Option<[usize; 2]>,
    command: String,
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

/// The ways to try a model: one that leaves height and width open with each size in turn.
fn options(arguments: &Arguments, summary: &ModelSummary) -> Vec<InputOptions> {
    let sides = if is_open(summary) { &SIDES[..] } else { &SIDES[..1] };
    let options = arguments.input.options();
    sides.iter().map(|&side| InputOptions { side: Some(side), ..options.clone() }).collect()
}

/// Whether a dimension besides the batch is left open.
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

fn as_json(found: &Findings) -> serde_json::Value {
    json!({
        "input": found.model.input(),
        "output": found.model.output(),
        "output_holds": found.model.kind,
        "batch": found.model.batching,
        "layout": found.model.preprocessing.layout,
        "precision": found.model.precision(),
        "normalization": found.normalization,
        "tried_with": found.tried,
        "external_sha256": found.model.external,
        "preprocessing": found.model.preprocessing,
    })
}

fn in_words(found: &Findings) -> Vec<(&'static str, String)> {
    let model = &found.model;
    let [channels, ..] = model.image_shape();
    let batch = match model.batching {
        Batching::Symbolic => "any number of inputs".into(),
        Batching::Rewritten { from } => {
            format!("{from} in the file; rewritten to any number, which was seen to give the same")
        }
        Batching::Fixed { size } => format!("exactly {size}; a last batch is filled up"),
        Batching::Single => "one at a time, for an answer depends on the other inputs of its batch".into(),
    };
    let order = match model.preprocessing.layout {
        Layout::Nchw => "channels first",
        Layout::Nhwc => "channels last",
    };
    let normalization = match &found.normalization {
        None => {
            "none at the start of the model; if it was trained on other values than 0 to 1, give --range, or \
                 --mean and --std"
                .into()
        }
        Some(Normalization { operators, of_bytes }) => format!(
            "inside the model ({}), {}",
            operators.join(", "),
            if *of_bytes {
                "of inputs from 0 to 255 as it looks"
            } else {
                "of inputs from 0 to 1 as it looks"
            }
        ),
    };
    let mut words = vec![
        ("classes:", model.classes().to_string()),
        ("reads:", format!("output {}, which holds {}", model.output(), model.kind.name())),
        ("batch:", batch),
        ("layout:", format!("{} ({order}), {channels} channels", model.preprocessing.layout)),
        ("precision:", format!("weights in {}", model.precision())),
        ("normalises:", normalization),
    ];
    if let Some([height, width]) = found.tried {
        let size = format!("left open; tried with {height} x {width}, certified at the size of the data");
        words.push(("size:", size));
    }
    words
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn describe(summary: &ModelSummary, sha256: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11} {}", printable(value));
    };
    let list = |pairs: Vec<String>| pairs.join(", ");
    line("graph:", &summary.graph);
    line("producer:", &summary.producer);
    let opsets = summary.opsets.iter().map(|(domain, version)| format!("{domain} opset {version}"));
    line("format:", &format!("IR {}, {}", summary.ir_version, list(opsets.collect())));
    line("sha256:", sha256);
    for input in &summary.inputs {
        line("input:", &input.to_string());
    }
    for output in &summary.outputs {
        line("output:", &output.to_string());
    }
    line("parameters:", &summary.parameters.to_string());
    let operators = summary.operators.iter().map(|(name, count)| format!("{count} {name}"));
    line("operators:", &list(operators.collect()));
    for file in &summary.external_data {
        line("weights in:", file);
    }
    for (key, value) in &summary.metadata {
        line("metadata:", &format!("{key} = {value}"));
    }
    text
}
