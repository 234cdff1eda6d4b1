use std::{fmt::Write, path::Path};

use clap::Args;

use super::{data::DataArguments, model::ModelArguments, observer::control, smoothing::SmoothingArguments};
use crate::{
    certify::{Prediction, Settings},
    jobs::{Predict, Predicted, PredictionCounts, file_name},
    statistics::round_down,
    terminal,
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert predict --model lenet.onnx --data data/mnist --sigma 0.25 --n 1000 --max 100")]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    smoothing: SmoothingArguments,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let job = Predict {
        sigma: arguments.smoothing.sigma,
        distribution: arguments.smoothing.distribution()?,
        noise_mode: arguments.smoothing.noise_mode,
        n: arguments.smoothing.n,
        alpha: arguments.smoothing.alpha,
        seed: arguments.smoothing.seed,
        ..Predict::new(arguments.model.settings(), arguments.data.settings())
    };
    let done = job.run(&control(arguments.model.probe))?;
    Ok(terminal::print(&if arguments.json {
        format!("{:#}\n", job.to_json(&done))
    } else {
        in_words(&arguments.model.model, &done)
    })?)
}

fn in_words(model: &Path, done: &Predicted) -> String {
    let Predicted { settings, predictions } = done;
    let model = file_name(model);
    let Settings { sigma, distribution, alpha, n, seed, .. } = settings;
    let mut text = format!("{model}: {distribution} noise, σ {sigma}, α {alpha}, n {n}, seed {seed}\n");
    if !done.has_labels() {
        for Prediction { index, class, p_value, .. } in predictions {
            let class = class.map_or_else(|| "abstained".into(), |class| format!("class {class}"));
            let _ = writeln!(text, "  input {index}: {class} (p-value {p_value:.2e})");
        }
        return text;
    }
    let _ = writeln!(
        text,
        "  {:>8} {:>7} {:>9} {:>7} {:>9}",
        "class", "inputs", "accuracy", "wrong", "abstained"
    );
    line(&mut text, "all", PredictionCounts::of(predictions));
    let mut classes: Vec<usize> = predictions.iter().filter_map(|prediction| prediction.label).collect();
    classes.sort_unstable();
    classes.dedup();
    if classes.len() > 1 {
        for class in classes {
            let of_class = predictions.iter().filter(|prediction| prediction.label == Some(class));
            line(&mut text, &class.to_string(), PredictionCounts::of(of_class));
        }
    }
    text
}

fn line(text: &mut String, name: &str, counts: PredictionCounts) {
    let PredictionCounts { inputs, right, abstained } = counts;
    let _ = writeln!(
        text,
        "  {name:>8} {inputs:>7} {:>9} {:>7} {abstained:>9}",
        round_down(counts.accuracy(), 4),
        inputs - right - abstained,
    );
}
