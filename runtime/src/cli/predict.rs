use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::{data::DataArguments, model::ModelArguments, observer::control, smoothing::SmoothingArguments};
use crate::{
    certify::{Prediction, Settings},
    jobs::{Predict, Predicted, file_name},
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
    let Predicted { settings, predictions } = job.run(&control(arguments.model.probe))?;
    report(arguments, &settings, &predictions)
}

fn report(arguments: &Arguments, settings: &Settings, predictions: &[Prediction]) -> anyhow::Result<()> {
    let summary = Summary::of(predictions);
    // A data set has labels for all inputs or for none.
    let is_known = predictions.iter().all(|prediction| prediction.label.is_some());
    let model = file_name(&arguments.model.model);
    if arguments.json {
        let document = json!({
            "model": model,
            "sigma": settings.sigma,
            "noise": settings.distribution,
            "noise_mode": arguments.smoothing.noise_mode,
            "alpha": settings.alpha,
            "n": settings.n,
            "seed": settings.seed,
            "inputs": summary.inputs,
            "right": is_known.then_some(summary.right),
            "abstained": summary.abstained,
            "accuracy": is_known.then(|| summary.accuracy()),
            "predictions": predictions,
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let Settings { sigma, distribution, alpha, n, seed, .. } = settings;
    let mut text = format!("{model}: {distribution} noise, σ {sigma}, α {alpha}, n {n}, seed {seed}\n");
    if !is_known {
        for Prediction { index, class, p_value, .. } in predictions {
            let class = class.map_or_else(|| "abstained".into(), |class| format!("class {class}"));
            let _ = writeln!(text, "  input {index}: {class} (p-value {p_value:.2e})");
        }
        return Ok(terminal::print(&text)?);
    }
    let _ = writeln!(
        text,
        "  {:>8} {:>7} {:>9} {:>7} {:>9}",
        "class", "inputs", "accuracy", "wrong", "abstained"
    );
    summary.line(&mut text, "all");
    let mut classes: Vec<usize> = predictions.iter().filter_map(|prediction| prediction.label).collect();
    classes.sort_unstable();
    classes.dedup();
    if classes.len() > 1 {
        for class in classes {
            let of_class = predictions.iter().filter(|prediction| prediction.label == Some(class));
            Summary::of(of_class).line(&mut text, &class.to_string());
        }
    }
    Ok(terminal::print(&text)?)
}

/// Counts of a group of inputs.
struct Summary {
    inputs: usize,
    right: usize,
    abstained: usize,
}

impl Summary {
    fn of<'a>(predictions: impl IntoIterator<Item = &'a Prediction>) -> Self {
        let mut summary = Self { inputs: 0, right: 0, abstained: 0 };
        for prediction in predictions {
            summary.inputs += 1;
            summary.abstained += usize::from(prediction.class.is_none());
            summary.right += usize::from(prediction.class.is_some() && prediction.class == prediction.label);
        }
        summary
    }

    /// Share of inputs with a correct prediction; an abstention is not correct.
    fn accuracy(&self) -> f64 {
        self.right as f64 / self.inputs.max(1) as f64
    }

    fn line(&self, text: &mut String, name: &str) {
        let _ = writeln!(
            text,
            "  {name:>8} {:>7} {:>9} {:>7} {:>9}",
            self.inputs,
            round_down(self.accuracy(), 4),
            self.inputs - self.right - self.abstained,
            self.abstained
        );
    }
}
