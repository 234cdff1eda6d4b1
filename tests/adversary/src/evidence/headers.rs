//! What all inputs are said to have in common.

use mithridate_runtime::{
    evidence::Header,
    noise::Distribution,
    statistics::SequenceForm,
    units::{Alpha, Sigma},
};

use super::{Change, Entry, Must, follow};

const KIND: &str = "header";

macro_rules! headers {
    ($($name:literal, $from:literal, |$header:ident| $change:expr, $must:expr;)*) => {
        vec![$(Entry::new(KIND, $name, $from, Change::Typed(|header, _| {
            fn change($header: &mut Header) { $change }
            change(header);
        }), $must)),*]
    };
}

fn alpha(value: f64) -> Alpha {
    Alpha::new(value).unwrap_or(Alpha::USUAL)
}

#[allow(clippy::too_many_lines)] // A table.
pub fn all() -> Vec<Entry> {
    let mut entries = headers! {
        "alpha 0.5, the bounds left", "run.jsonl",
            |header| header.settings.alpha = alpha(0.5), Must::Alone(&["its p_lower is"]);
        "alpha 1e-9, the bounds left", "run.jsonl",
            |header| header.settings.alpha = alpha(1e-9), Must::Alone(&["its p_lower is"]);
        "twice sigma, the radii left", "run.jsonl",
            |header| if let Ok(sigma) = Sigma::new(0.5) { header.settings.sigma = sigma; },
            Must::Alone(&["its radius is"]);
        "fewer samples", "run.jsonl", |header| header.settings.n = 999, Must::Alone(&["999"]);
        "10^12 samples", "run.jsonl", |header| header.settings.n = 1_000_000_000_000, Must::Alone(&["n must be at most"]);
        "no samples", "run.jsonl", |header| header.settings.n = 0, Must::Alone(&["n must be at least 1"]);
        "fewer selection samples", "run.jsonl", |header| header.settings.n0 = 49, Must::Alone(&["49"]);
        "10^10 selection samples", "run.jsonl",
            |header| header.settings.n0 = 10_000_000_000, Must::Alone(&["selection"]);
        "another rule", "run.jsonl",
            |header| if let Ok(rule) = "radius:3".parse() { header.settings.stop = rule; }, Must::Alone(&[]);
        "another form of bounds", "adaptive.jsonl",
            |header| header.settings.sequence = SequenceForm::Betting, Must::Alone(&[]);
        "another distribution of noise", "run.jsonl",
            |header| {
                header.settings.distribution = Distribution::Uniform;
                header.noise.generator = Distribution::Uniform.generator().into();
            }, Must::Alone(&["its radius is"]);
        "another generator of noise", "run.jsonl",
            |header| header.noise.generator = "dice".into(), Must::Alone(&["dice"]);
        "images of 2^65 values", "run.jsonl",
            |header| header.data.shape = [1 << 32, 1 << 32, 2], Must::Alone(&["shape"]);
        "images of no values", "run.jsonl", |header| header.data.shape = [0, 4, 4], Must::Alone(&["shape"]);
        "smaller images, for larger radii in l-infinity", "run.jsonl",
            |header| header.data.shape = [1, 1, 4], Must::Alone(&["radii in other norms"]);
        "images from 0 to 255", "run.jsonl", |header| header.data.range = [0.0, 255.0], Must::Alone(&["255"]);
        "images from 1 to 0", "run.jsonl", |header| header.data.range = [1.0, 0.0], Must::Alone(&[]);
        "one class", "run.jsonl", |header| header.model.classes = 1, Must::Alone(&["classes"]);
        "70,000 classes", "run.jsonl", |header| header.model.classes = 70_000, Must::Alone(&["classes"]);
        "a sigma in the model that does not follow", "run.jsonl",
            |header| header.model.r#use.sigma_in_model = vec![9.0], Must::Alone(&["sigma"]);
        "another number of selected inputs", "run.jsonl",
            |header| header.subset.count = 7, Must::Alone(&["the header declares 7"]);
        "2^64 - 1 selected inputs", "run.jsonl",
            |header| header.subset.count = u64::MAX, Must::Alone(&["the header declares"]);
        "every 0th input", "run.jsonl", |header| header.subset.skip = 0, Must::Alone(&["selection"]);
        "only a class that there is not", "run.jsonl",
            |header| header.subset.classes = vec![99], Must::Alone(&["class"]);
        "only a class that not all inputs are of", "run.jsonl",
            |header| header.subset.classes = vec![1], Must::Alone(&["label"]);
        "at most fewer inputs", "run.jsonl", |header| header.subset.max = Some(2), Must::Alone(&["its limit is 2"]);
        "a part of a whole run", "run.jsonl",
            |header| header.shard = "1/2".parse().ok(), Must::Alone(&["the header declares 3"]);
        "a claim about fewer inputs", "claim.jsonl",
            |header| if let Some(claim) = &mut header.simultaneous { claim.inputs = 5; }, Must::Alone(&["5 inputs at once"]);
        "a stronger claim about all inputs", "claim.jsonl",
            |header| if let Some(claim) = &mut header.simultaneous { claim.alpha = alpha(1e-6); },
            Must::Alone(&["for its claim"]);
        "another format", "run.jsonl",
            |header| header.schema = "mithridate-evidence/1".into(), Must::Alone(&["its schema is"]);
        "a challenge that the seed does not follow from", "run.jsonl",
            |header| header.challenge = Some("made up".into()), Must::Alone(&["challenge"]);
        "a challenge with control characters", "run.jsonl",
            |header| header.challenge = Some("\u{1b}[2J".into()), Must::Alone(&["challenge"]);
        "the earlier run's own seed", "new.jsonl",
            |header| if let Some(from) = &header.recertification { header.settings.seed = from.seed; },
            Must::Alone(&[]);
        "more replayed samples than there were", "new.jsonl",
            |header| if let Some(from) = &mut header.recertification { from.replayed = 1_000_000; }, Must::Alone(&["its number of replayed samples is 1000000"]);
        "a smaller alpha of the earlier run", "new.jsonl",
            |header| if let Some(from) = &mut header.recertification { from.alpha = alpha(1e-6); }, Must::Alone(&["alpha"]);
        "another program", "run.jsonl", |header| header.tool = "rscert 99".into(), Must::Stated(&["rscert 99"]);
        "another engine", "run.jsonl",
            |header| header.execution.engine = "Abacus 1".into(), Must::Stated(&["Abacus 1"]);
        "another provider", "run.jsonl",
            |header| header.execution.provider = "quantum".into(), Must::Stated(&["quantum"]);
        "another machine", "run.jsonl",
            |header| header.machine.processor = "Deep Thought".into(), Must::Stated(&["Deep Thought"]);
        "another time", "run.jsonl", |header| header.started = 7, Must::Stated(&["begun at Unix time 7"]);
        "another name of the model", "run.jsonl",
            |header| header.model.file = "theirs.onnx".into(), Must::Stated(&["theirs.onnx"]);
        "control characters in names", "run.jsonl",
            |header| header.model.file = "\u{1b}[2Jgone".into(), Must::Command(&["verify", "forged.jsonl"], 0, &["gone"]);
        "a seed of the forger's choice", "run.jsonl",
            |header| header.settings.seed = 9, Must::With(&["--model", "model.onnx", "--data", "data", "--replay", "all"], &["votes differ"]);
        "noise that all inputs share", "run.jsonl",
            |header| header.noise.mode = mithridate_runtime::noise::NoiseMode::Shared,
            Must::With(&["--model", "model.onnx", "--data", "data", "--replay", "all"], &["votes differ"]);
        "noise of its own for each input", "shared.jsonl",
            |header| header.noise.mode = mithridate_runtime::noise::NoiseMode::Independent,
            Must::With(&["--model", "model.onnx", "--data", "data", "--replay", "all"], &["votes differ"]);
    };
    entries.push(Entry::new(
        KIND,
        "twice sigma, the radii made to follow",
        "run.jsonl",
        Change::Typed(|header, records| {
            if let Ok(sigma) = Sigma::new(0.5) {
                header.settings.sigma = sigma;
            }
            for record in records {
                follow(header, record);
            }
        }),
        Must::With(&["--model", "model.onnx", "--data", "data", "--replay", "all"], &["votes differ"]),
    ));
    entries
}
