use anyhow::ensure;
use clap::{Args, ValueEnum};

use crate::{
    noise::{Distribution, NoiseMode},
    units::{Alpha, Sigma, parse_count},
};

/// How the classifier is smoothed and how sure the result shall be.
#[derive(Args)]
pub(super) struct SmoothingArguments {
    /// Standard deviation of the noise, in units of the data set (images in [0, 1]) [default: the
    /// training sigma in the model's metadata]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    pub sigma: Option<Sigma>,
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
}
