use serde_json::{Value, json};

use super::{
    Control, DataSettings, JobError, ModelSettings, Work,
    dataset::{OpenedInputs, inputs},
    keywords::{Keywords, NamedJob},
    run_header::file_name,
    seed::chosen_or_drawn,
    self_test::check_noise,
};
use crate::{
    certify::{Prediction, Settings},
    noise::{Distribution, NoiseMode},
    units::{Alpha, Sigma},
};

/// Predicts the class of the smoothed classifier, or abstains: PREDICT of Cohen, Rosenfeld and Kolter (2019).
///
/// # Example
/// ```no_run
/// use mithridate_runtime::jobs::{Control, DataSettings, ModelSettings, Predict};
///
/// let mut job = Predict::new(ModelSettings::new("lenet.onnx"), DataSettings::new("data/mnist"));
/// job.n = 1000;
/// let right = job.run(&Control::default())?.predictions.iter().filter(|answer| answer.class == answer.label).count();
/// # Ok::<(), mithridate_runtime::jobs::JobError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Predict {
    /// The model.
    pub model: ModelSettings,
    /// The inputs.
    pub data: DataSettings,
    /// Standard deviation of the noise in data-set units; `None`: the training σ in the model's metadata.
    pub sigma: Option<Sigma>,
    /// Distribution of the noise.
    pub distribution: Distribution,
    /// Whether inputs share their noise.
    pub noise_mode: NoiseMode,
    /// Number of samples of each input.
    pub n: u64,
    /// Probability that the prediction for an input is not the class of the smoothed classifier.
    pub alpha: Alpha,
    /// Seed of all noise; `None`: drawn from the operating system.
    pub seed: Option<u64>,
}

/// Result of [`Predict`].
pub struct Predicted {
    /// The settings used, with the seed.
    pub settings: Settings,
    /// The predictions, in the order of the inputs.
    pub predictions: Vec<Prediction>,
}

impl Predict {
    /// A job with 100,000 samples, Gaussian noise and α = 0.001.
    pub fn new(model: ModelSettings, data: DataSettings) -> Self {
        Self {
            model,
            data,
            sigma: None,
            distribution: Distribution::Gaussian,
            noise_mode: NoiseMode::Independent,
            n: 100_000,
            alpha: Alpha::USUAL,
            seed: None,
        }
    }

    /// Runs the job.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn run(&self, control: &Control) -> Result<Predicted, JobError> {
        let OpenedInputs { sigma, data, runtime, model, indices } =
            self.data.open_with(control, &self.model, self.sigma)?;
        let settings = Settings {
            distribution: self.distribution,
            alpha: self.alpha,
            n: self.n,
            ..Settings::new(sigma, chosen_or_drawn(self.seed)?)
        };
        settings.check()?;
        check_noise(&settings, self.noise_mode, &indices, &data, &model.input_precision())?;
        let samples = settings.n.saturating_mul(indices.len() as u64);
        let shared = match self.noise_mode {
            NoiseMode::Shared => settings.shared_prediction_noise(),
            NoiseMode::Independent => None,
        };
        let ready = self.model.ready(control, runtime, model, shared.as_ref(), samples)?;
        let mut certifier = ready.certifier(control, settings.clone(), self.noise_mode)?;
        let title = format!("predicting with {}", file_name(&self.model.path));
        let work = Work { title: &title, steps: samples, done: 0, unit: "samples", out: None };
        let mut predictions = Vec::with_capacity(indices.len());
        control.during(&work, || {
            certifier.predict_all(
                inputs(&data, &indices),
                |samples| control.observer.advance(samples),
                |prediction| {
                    predictions.push(prediction);
                    Ok(())
                },
            )
        })?;
        Ok(Predicted { settings, predictions })
    }

    /// The result as one JSON document.
    pub fn to_json(&self, done: &Predicted) -> Value {
        let Predicted { settings, predictions } = done;
        let all = PredictionCounts::of(predictions);
        let is_known = done.has_labels();
        json!({
            "model": file_name(&self.model.path),
            "sigma": settings.sigma,
            "noise": settings.distribution,
            "noise_mode": self.noise_mode,
            "alpha": settings.alpha,
            "n": settings.n,
            "seed": settings.seed,
            "inputs": all.inputs,
            "right": is_known.then_some(all.right),
            "abstained": all.abstained,
            "accuracy": is_known.then(|| all.accuracy()),
            "predictions": predictions,
        })
    }
}

impl Predicted {
    /// Whether the true classes are known. A data set has labels for all inputs or for none.
    pub fn has_labels(&self) -> bool {
        self.predictions.iter().all(|prediction| prediction.label.is_some())
    }
}

/// Counts of the predictions for a group of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PredictionCounts {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of inputs whose true class was predicted.
    pub right: usize,
    /// Number of abstentions.
    pub abstained: usize,
}

impl PredictionCounts {
    /// The counts of these predictions.
    pub fn of<'a>(predictions: impl IntoIterator<Item = &'a Prediction>) -> Self {
        let mut counts = Self::default();
        for prediction in predictions {
            counts.inputs += 1;
            counts.abstained += usize::from(prediction.class.is_none());
            counts.right += usize::from(prediction.class.is_some() && prediction.class == prediction.label);
        }
        counts
    }

    /// Share, from 0 to 1, of inputs with a correct prediction; an abstention is not correct.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.inputs.max(1) as f64
    }
}

impl NamedJob for Predict {
    const NAME: &'static str = "predict";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        let mut job =
            Self::new(ModelSettings::from_keywords(keywords)?, DataSettings::from_keywords(keywords)?);
        job.sigma = keywords.get("sigma")?;
        keywords.set("distribution", &mut job.distribution)?;
        keywords.set("noise_mode", &mut job.noise_mode)?;
        keywords.set("n", &mut job.n)?;
        keywords.set("alpha", &mut job.alpha)?;
        job.seed = keywords.get("seed")?;
        Ok(job)
    }

    fn run_to_json(&self, control: &Control) -> Result<Value, JobError> {
        Ok(self.to_json(&self.run(control)?))
    }
}
