use super::JobError;
use crate::{
    backend::InputPrecision,
    certify::{CertifyError, Settings},
    data::Dataset,
    noise::{self, NoiseMode, SHARED_INPUT},
};

/// Number of inputs among which the one with the largest values is searched.
const LOOKED_AT: usize = 100;

/// Self-test: tests the noise of a run before anything is certified, also after the rounding of noisy values at one
/// input.
pub(super) fn check_noise(
    settings: &Settings,
    mode: NoiseMode,
    indices: &[usize],
    data: &Dataset,
    precision: &InputPrecision,
) -> Result<(), JobError> {
    let inputs: Vec<u64> = match mode {
        NoiseMode::Independent => indices.iter().take(4).map(|&index| index as u64).collect(),
        NoiseMode::Shared => vec![SHARED_INPUT],
    };
    let noise = settings.noise()?;
    noise::check_noise(&noise, settings.seed, &inputs, data.shape().iter().product())?;
    // Rounding is coarsest where values are largest.
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
