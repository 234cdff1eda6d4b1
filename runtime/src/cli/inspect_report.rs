//! What `rscert inspect` prints of a model.

use std::fmt::Write;

use mithridate_onnx::{ModelSummary, Normalization};
use serde_json::json;

use crate::{
    backend::{Batching, Layout, OnnxModel},
    terminal::printable,
};

/// Results of reading and testing a model.
pub(super) struct Findings {
    pub model: OnnxModel,
    pub normalization: Option<Normalization>,
    /// Height and width in pixels with which it was tested, if its input leaves them open.
    pub tried: Option<[usize; 2]>,
    pub command: String,
}

pub(super) fn as_json(found: &Findings) -> serde_json::Value {
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

pub(super) fn in_words(found: &Findings) -> Vec<(&'static str, String)> {
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

pub(super) fn describe(summary: &ModelSummary, sha256: &str) -> String {
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
