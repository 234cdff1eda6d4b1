use super::{CertifyError, Settings};
use crate::input::InputPrecision;

/// An input to certify.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Index in its data set. It is part of the noise key.
    pub index: u64,
    /// True class, if known.
    pub label: Option<usize>,
    /// Values in data-set units, C·H·W of them.
    pub image: Vec<f32>,
}

/// Rejects the image of input `index` if it has not `values` values, or if noise can't be added to one of them: because
/// of the rounding `precision` of the model, or on the grid of the noise.
pub(crate) fn check_image(
    index: u64,
    image: &[f32],
    values: usize,
    precision: &InputPrecision,
    settings: &Settings,
) -> Result<(), CertifyError> {
    if image.len() != values {
        return Err(CertifyError::InputLength { index, found: image.len(), expected: values });
    }
    precision.check(image, settings.sigma.get()).map_err(|unfit| CertifyError::unfit(index, unfit))?;
    match settings.distribution.definition().unfit_value(image) {
        Some(position) => Err(CertifyError::OffGrid { index, position, value: image[position] }),
        None => Ok(()),
    }
}
