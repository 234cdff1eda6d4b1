use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::{
    certify::file_name,
    data::{DataArguments, check_labels, inputs, order_classes},
    model::ModelArguments,
    smoothing::{SmoothingArguments, check_noise},
};
use crate::{
    certify::{Certifier, Prediction, Settings},
    noise::NoiseMode,
    statistics::round_down,
    terminal::{self, Progress},
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
    let path = &arguments.model.model;
    let (sigma, distribution) = (arguments.smoothing.sigma(path)?, arguments.smoothing.distribution()?);
    let mut data = arguments.data.open()?;
    let (runtime, model) = arguments.model.open_for(Some(data.shape()), Some(sigma))?;
    order_classes(&mut data, &model)?;
    let indices = arguments.data.select(path, &data, model.classes())?;
    check_labels(&runtime, &model, &data, &indices)?;
    let SmoothingArguments { n, alpha, noise_mode, .. } = arguments.smoothing;
    let settings = Settings { distribution, alpha, n, ..Settings::new(sigma, arguments.smoothing.seed()?) };
    settings.check()?;
    check_noise(&settings, noise_mode, &indices, &data, &model.input_precision())?;
    let samples = settings.n.saturating_mul(indices.len() as u64);
    let shared = match noise_mode {
        NoiseMode::Shared => settings.shared_prediction_noise(),
        NoiseMode::Independent => None,
    };
    let ready = arguments.model.ready(runtime, model, shared.as_ref(), samples)?;
    let mut certifier = Certifier::new(ready.instances, settings.clone(), ready.plan.batch)?;
    certifier.set_noise_threads(ready.plan.noise_threads);
    certifier.set_noise_mode(noise_mode);
    let title = format!("predicting with {}", file_name(path));
    let mut progress = Progress::new(&title, samples, "samples");
    let mut predictions = Vec::with_capacity(indices.len());
    let result = certifier.predict_all(
        inputs(&data, &indices),
        |samples| progress.advance(samples),
        |prediction| {
            predictions.push(prediction);
            Ok(())
        },
    );
    progress.finish();
    result?;
    report(arguments, &settings, &predictions)
}

fn report(arguments: &Arguments, settings: &Settings, predictions: &[Prediction]) -> anyhow::Result<()> {
    let summary = Summary::of(predictions);
    // A data set has labels or it has none.
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

    /// Share of inputs answered right; an abstention is not.
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
