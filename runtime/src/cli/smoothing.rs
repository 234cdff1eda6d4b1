use std::path::Path;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use mithridate_onnx::ModelMetadata;

use super::note;
use crate::{
    backend::InputPrecision,
    certify::{CertifyError, Settings},
    data::Dataset,
    noise::{self, Distribution, NoiseMode, SHARED_INPUT, seed_from_os},
    units::{Alpha, Sigma, parse_count},
};

/// Inputs among which that with the largest values is looked for.
const LOOKED_AT: usize = 100;

/// How the classifier is smoothed and how sure the result shall be.
#[derive(Args)]
pub(super) struct SmoothingArguments {
    /// Standard deviation of the noise, in units of the data set (images in [0, 1]) [default: the
    /// training sigma in the model's metadata]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    sigma: Option<Sigma>,
    /// Distribution of the noise: gaussian gives l2 radii, uniform (on [-sigma*sqrt(3), sigma*sqrt(3)]) l1 radii
    #[arg(long, value_enum, default_value = "gaussian")]
    noise: NoiseArgument,
    /// Draw Gaussian noise rounded to the grid of 1/255 with integers only, for 8-bit images: no rounding of floating
    /// point is left between the noise and the certificate, which is for the images on that grid
    #[arg(long)]
    exact_noise: bool,
    /// Noise of the inputs: independent, or shared by all, drawn once and on a GPU kept there; each result holds as
    /// before, and only claims about several at once (--simultaneous) rest on the union bound alone
    #[arg(long, value_name = "MODE", default_value = "independent")]
    pub noise_mode: NoiseMode,
    /// Samples that the result rests on
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    pub n: u64,
    /// Probability that the result for an input may be wrong
    #[arg(long, default_value = "0.001", value_name = "ALPHA", allow_negative_numbers = true)]
    pub alpha: Alpha,
    /// Seed of all noise [default: from the operating system, written down with the results]
    #[arg(long, value_name = "SEED", group = "origin_of_seed")]
    pub seed: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum NoiseArgument {
    Gaussian,
    Uniform,
}

impl SmoothingArguments {
    /// The σ asked for, or the one that the model was trained at.
    pub fn sigma(&self, model: &Path) -> anyhow::Result<Sigma> {
        let metadata = ModelMetadata::of(&mithridate_onnx::read(model)?)?;
        match (self.sigma, metadata.training_sigma) {
            (Some(sigma), trained) => {
                if let Some(trained) = trained
                    && trained.to_bits() != sigma.get().to_bits()
                {
                    note(&format!("certifying at sigma {sigma} a model that was trained at sigma {trained}"));
                }
                Ok(sigma)
            }
            (None, Some(trained)) => Ok(Sigma::new(trained)?),
            (None, None) => {
                bail!("{} doesn't say at which sigma it was trained; give one with --sigma", model.display())
            }
        }
    }

    pub fn distribution(&self) -> anyhow::Result<Distribution> {
        Ok(match (self.noise, self.exact_noise) {
            (NoiseArgument::Gaussian, false) => Distribution::Gaussian,
            (NoiseArgument::Gaussian, true) => Distribution::QuantizedGaussian,
            (NoiseArgument::Uniform, exact) => {
                ensure!(!exact, "--exact-noise is for Gaussian noise; leave it or --noise uniform out");
                Distribution::Uniform
            }
        })
    }

    /// The seed asked for, or a new one.
    pub fn seed(&self) -> anyhow::Result<u64> {
        match self.seed {
            Some(seed) => Ok(seed),
            None => seed_from_os().context("cannot draw a seed; give one with --seed"),
        }
    }
}

/// Tests the noise of this run before anything rests on it, also as the model gets it at an input.
pub(super) fn check_noise(
    settings: &Settings,
    mode: NoiseMode,
    indices: &[usize],
    data: &Dataset,
    precision: &InputPrecision,
) -> anyhow::Result<()> {
    let inputs: Vec<u64> = match mode {
        NoiseMode::Independent => indices.iter().take(4).map(|&index| index as u64).collect(),
        NoiseMode::Shared => vec![SHARED_INPUT],
    };
    let noise = settings.noise()?;
    noise::check_noise(&noise, settings.seed, &inputs, data.shape().iter().product())?;
    // Where values are largest, numbers lie farthest apart.
    let largest = |image: &Vec<f32>| image.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let images = indices.iter().take(LOOKED_AT).map(|&index| (index, data.image(index)));
    let Some((index, image)) = images.max_by(|(_, a), (_, b)| largest(a).total_cmp(&largest(b))) else {
        return Ok(());
    };
    let input = match mode {
        NoiseMode::Independent => index as u64,
        NoiseMode::Shared => SHARED_INPUT,
    };
    if let Err(unfit) = precision.check(&image, settings.sigma.get()) {
        return Err(CertifyError::unfit(index as u64, unfit).into());
    }
    Ok(noise::check_noise_at(&noise, settings.seed, input, &image, precision)?)
}
