use std::{fmt::Write, path::PathBuf};

use clap::Args;
use mithridate_onnx::{ModelMetadata, ModelSummary, read, summarize};
use serde_json::json;

use crate::{
    backend::{Classifier, OnnxClassifier, OnnxRuntime, Provider},
    data::sha256_file,
    terminal,
};

#[derive(Args)]
#[command(after_help = "Example:\n  rscert inspect lenet.onnx")]
pub(super) struct Arguments {
    /// The ONNX file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = &arguments.model;
    let model = read(path)?;
    let (summary, metadata) = (summarize(&model)?, ModelMetadata::of(&model)?);
    let sha256 = sha256_file(path)?;
    // Whether it can be certified is a result of the inspection, not a failure of it.
    let certifiable = OnnxRuntime::load()
        .and_then(|runtime| OnnxClassifier::load(&runtime, path, Provider::Cpu, 1))
        .map(|classifier| classifier.classes())
        .map_err(|error| error.to_string());
    let sigma = metadata.training_sigma.map_or_else(|| "SIGMA".into(), |sigma| sigma.to_string());
    let command = format!("rscert certify --model {} --data DATA --sigma {sigma}", path.display());
    if arguments.json {
        let document = json!({
            "sha256": sha256,
            "model": summary,
            "classes": certifiable.as_ref().ok(),
            "problem": certifiable.as_ref().err(),
            "command": certifiable.is_ok().then_some(command),
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let mut text = describe(&summary, &sha256);
    match certifiable {
        Ok(classes) => {
            let _ = writeln!(text, "classes:    {classes}\ncertify:    {command}");
        }
        Err(problem) => {
            let _ = writeln!(text, "certify:    not possible: {}", terminal::printable(&problem));
        }
    }
    Ok(terminal::print(&text)?)
}

fn describe(summary: &ModelSummary, sha256: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11} {}", terminal::printable(value));
    };
    let list = |pairs: Vec<String>| pairs.join(", ");
    line("graph:", &summary.graph);
    line("producer:", &summary.producer);
    line(
        "format:",
        &format!(
            "IR {}, {}",
            summary.ir_version,
            list(
                summary.opsets.iter().map(|(domain, version)| format!("{domain} opset {version}")).collect()
            )
        ),
    );
    line("sha256:", sha256);
    for input in &summary.inputs {
        line("input:", &input.to_string());
    }
    for output in &summary.outputs {
        line("output:", &output.to_string());
    }
    line("parameters:", &summary.parameters.to_string());
    line(
        "operators:",
        &list(summary.operators.iter().map(|(name, count)| format!("{count} {name}")).collect()),
    );
    for file in &summary.external_data {
        line("weights in:", file);
    }
    for (key, value) in &summary.metadata {
        line("metadata:", &format!("{key} = {value}"));
    }
    text
}
