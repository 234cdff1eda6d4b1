use anyhow::ensure;
use clap::{Args, ValueEnum};

use crate::{
    noise::{Distribution, NoiseMode},
    units::{Alpha, Sigma, parse_count},
};

/// The noise, the number of samples and the failure probability.
#[derive(Args)]
pub(super) struct SmoothingArguments {
    /// Standard deviation of the noise, in data-set units (images in [0, 1]) [default: the training sigma in the
    /// model's metadata]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    pub sigma: Option<Sigma>,
    /// Distribution of the noise: gaussian gives l2 radii, uniform (on [-sigma*sqrt(3), sigma*sqrt(3)]) l1 radii
    #[arg(long, value_enum, default_value = "gaussian")]
    noise: NoiseArgument,
    /// For 8-bit images: draw Gaussian noise rounded to the grid k/255, with integer arithmetic only, so that
    /// certificates do not depend on floating-point rounding. They are valid for images on this grid
    #[arg(long)]
    exact_noise: bool,
    /// Noise of the inputs: independent for each, or shared by all (drawn once, and kept on the GPU). Each result is
    /// equally valid; with shared noise, claims about several inputs at once are valid only by the union bound (--simultaneous)
    #[arg(long, value_name = "MODE", default_value = "independent")]
    pub noise_mode: NoiseMode,
    /// Number of samples for the result of an input; with certify, estimation samples
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    pub n: u64,
    /// Failure probability: largest probability that the result for an input is wrong
    #[arg(long, default_value = "0.001", value_name = "ALPHA", allow_negative_numbers = true)]
    pub alpha: Alpha,
    /// Seed of all noise [default: from the operating system, recorded with the results]
    #[arg(long, value_name = "SEED", group = "origin_of_seed")]
    pub seed: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum NoiseArgument {
    Gaussian,
    Uniform,
}

impl SmoothingArguments {
    pub fn distribution(&self) -> anyhow::Result<Distribution> {
        Ok(match (self.noise, self.exact_noise) {
            (NoiseArgument::Gaussian, false) => Distribution::Gaussian,
            (NoiseArgument::Gaussian, true) => Distribution::QuantizedGaussian,
            (NoiseArgument::Uniform, exact) => {
                ensure!(
                    !exact,
                    "--exact-noise is for Gaussian noise; leave out --exact-noise or --noise uniform"
                );
                Distribution::Uniform
            }
        })
    }
}
