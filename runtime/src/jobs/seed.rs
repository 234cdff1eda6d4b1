use mithridate_onnx::ModelMetadata;

use super::{Control, JobError, ModelSettings};
use crate::{
    certify::SettingsError,
    evidence::{Header, challenge_seed},
    noise::seed_from_os,
    units::Sigma,
};

/// The given seed, or an unpredictable one from the operating system.
pub(super) fn chosen_or_drawn(seed: Option<u64>) -> Result<u64, JobError> {
    match seed {
        Some(seed) => Ok(seed),
        None => seed_from_os().map_err(|error| JobError::While {
            doing: "cannot draw a seed; give one with `seed`".into(),
            source: error.into(),
        }),
    }
}

/// Derives the seed of a run from a challenge, if there is one.
pub(super) fn derive(header: &mut Header, challenge: Option<String>) -> Result<(), JobError> {
    if let Some(challenge) = challenge {
        header.settings.seed = challenge_seed(header, &challenge).map_err(|error| JobError::While {
            doing: "cannot derive the seed from the challenge".into(),
            source: error.into(),
        })?;
        header.challenge = Some(challenge);
    }
    Ok(())
}

/// The given σ, or the training σ in the model's metadata.
pub(super) fn sigma_for(
    control: &Control,
    model: &ModelSettings,
    sigma: Option<Sigma>,
) -> Result<Sigma, JobError> {
    let metadata = ModelMetadata::of(&mithridate_onnx::read(&model.path)?)?;
    match (sigma, metadata.training_sigma) {
        (Some(sigma), trained) => {
            if let Some(trained) = trained
                && trained.to_bits() != sigma.get().to_bits()
            {
                control.note(&format!(
                    "certifying at sigma {sigma} a model that was trained at sigma {trained}"
                ));
            }
            Ok(sigma)
        }
        (None, Some(trained)) => Ok(Sigma::new(trained)?),
        (None, None) => Err(SettingsError::UnknownSigma { model: model.path.clone() }.into()),
    }
}
