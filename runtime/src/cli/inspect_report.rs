//! The text that `rscert inspect` prints about a model.

use std::fmt::Write;

use mithridate_onnx::{ModelSummary, Normalization};

use crate::{
    backend::{Batching, Layout},
    jobs::{Certifiable, Inspected},
    setting_names::with_flags,
    terminal::printable,
};

/// The result of an inspection as text.
pub(super) fn in_words(inspected: &Inspected) -> String {
    let mut text = describe(&inspected.summary, &inspected.sha256);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11} {}", printable(value));
    };
    if !inspected.providers.is_empty() {
        line("providers:", &inspected.providers.join(", "));
    }
    match &inspected.certifiable {
        Ok(found) => {
            for (name, value) in how_to_certify(found) {
                line(name, &value);
            }
            line("certify:", &found.command);
        }
        Err(problem) => line("certify:", &format!("not possible: {}", with_flags(problem))),
    }
    text
}

fn how_to_certify(found: &Certifiable) -> Vec<(&'static str, String)> {
    let model = &found.model;
    let [channels, ..] = model.image_shape();
    let batch = match model.batching {
        Batching::Symbolic => "any number of inputs".into(),
        Batching::Rewritten { from } => {
            format!("{from} in the file; rewritten to take any number, with the same answers in a test")
        }
        Batching::Fixed { size } => format!("exactly {size}; an incomplete last batch is filled up"),
        Batching::Single => {
            "one at a time, because an answer depends on the other inputs of its batch".into()
        }
    };
    let order = match model.preprocessing.layout {
        Layout::Nchw => "channels first",
        Layout::Nhwc => "channels last",
    };
    let normalization = match &found.normalization {
        None => {
            "none at the start of the model; if the model was trained on other values than 0 to 1, give --range, or \
                 --mean and --std"
                .into()
        }
        Some(Normalization { operators, of_bytes }) => format!(
            "inside the model ({}), {}",
            operators.join(", "),
            if *of_bytes {
                "apparently of inputs from 0 to 255"
            } else {
                "apparently of inputs from 0 to 1"
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
        let size = format!(
            "not fixed by the model; tested with {height} x {width}, certified at the size of the images"
        );
        words.push(("size:", size));
    }
    words
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
