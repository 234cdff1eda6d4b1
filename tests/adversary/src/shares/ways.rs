//! The ways in which the library certifies.

use std::time::Duration;

use mithridate_runtime::{
    backend::{InputOptions, OnnxModel, OnnxRuntime, Provider, VoteSampler},
    certify::{Certifier, Input, StoppingRule},
    embed::FrameCertifier,
    noise::{Distribution, NoiseMode},
};

use super::{
    Case, Claim, LEVELS, Share, c_interface,
    mixing::Mixing,
    settings,
    truth::{classifier, value},
};
use crate::models::write_linear;

/// Inputs that are certified at once where noise is shared by all.
const TOGETHER: u64 = 3;

/// How inputs are certified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Each by itself, batches of 64 after each other.
    OneByOne,
    /// Many at once, whose samples fill batches of 200 together; two instances of the model.
    Packed,
    /// Many at once through ONNX Runtime.
    Engine,
    /// As frames, until all samples are run or the rule stops.
    Frames,
    /// As frames through the C interface.
    FromC,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::OneByOne, Self::Packed, Self::Engine, Self::Frames, Self::FromC];

    /// As a table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one by one",
            Self::Packed => "packed",
            Self::Engine => "engine",
            Self::Frames => "frames",
            Self::FromC => "C",
        }
    }

    /// Whether this way knows the case: frames have noise of their own each and no rule `loss`; C has Gaussian noise, and
    /// the rules `fixed` and `radius`.
    pub fn has(self, case: &Case) -> bool {
        let is_own = case.mode == NoiseMode::Independent;
        match self {
            // A table of noise on the grid takes long to make, and each seed needs one.
            Self::OneByOne => is_own || case.distribution != Distribution::QuantizedGaussian,
            Self::Packed => true,
            Self::Engine => is_own && case.distribution == Distribution::Gaussian,
            Self::Frames => is_own && !matches!(case.rule, StoppingRule::Loss(_)),
            Self::FromC => {
                is_own
                    && case.distribution == Distribution::Gaussian
                    && matches!(case.rule, StoppingRule::Fixed | StoppingRule::Radius(_))
            }
        }
    }

    /// How many fewer certifications there are of a case that takes long: each starts threads, or makes a table of noise.
    fn slowness(self, case: &Case) -> u64 {
        match (case.mode, case.distribution) {
            (NoiseMode::Shared, Distribution::QuantizedGaussian) => 10,
            (NoiseMode::Shared, _) => 4,
            _ if self == Self::OneByOne => 4,
            _ => 1,
        }
    }

    /// Certifies every input of a case as often as asked.
    ///
    /// # Errors
    /// If a certification fails.
    pub fn shares(self, case: &Case, trials: u64) -> anyhow::Result<Vec<Share>> {
        let name = format!("{}, {}, {}, {}", case.rule, case.distribution, case.mode, self.name());
        let mut shares = Vec::new();
        for level in LEVELS {
            let trials = trials / self.slowness(case);
            let claims = match (self, case.mode) {
                (Self::Frames, _) => frames(case, level, trials)?,
                (Self::FromC, _) => c_interface::frames(case, level, trials)?,
                (_, NoiseMode::Independent) => self.of_one_seed(case, level, trials)?,
                (_, NoiseMode::Shared) => self.of_many_seeds(case, level, trials)?,
            };
            shares.push(count(name.clone(), case.distribution, level, &claims));
        }
        Ok(shares)
    }

    fn certifier(self, case: &Case, seed: u64) -> anyhow::Result<Certifier> {
        let settings = settings(case.rule.clone(), case.distribution, seed)?;
        let model = || -> anyhow::Result<Box<dyn VoteSampler>> {
            if self != Self::Engine {
                return Ok(Box::new(classifier()));
            }
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("model.onnx");
            write_linear(&path)?;
            let runtime = OnnxRuntime::load()?;
            let model = OnnxModel::open(&runtime, &path, &InputOptions::default())?;
            Ok(Box::new(model.classifier(&runtime, Provider::Cpu, 1)?))
        };
        let mut certifier = match self {
            Self::OneByOne => Certifier::new(vec![model()?], settings, 64)?,
            Self::Engine => Certifier::new(vec![model()?], settings, 256)?,
            _ => Certifier::new(vec![model()?, model()?], settings, 200)?,
        };
        certifier.set_noise_mode(case.mode);
        Ok(certifier)
    }

    /// The same image under many indices, each of which has noise of its own.
    fn of_one_seed(self, case: &Case, level: u8, trials: u64) -> anyhow::Result<Vec<Claim>> {
        let mut certifier = self.certifier(case, 1000 + u64::from(level))?;
        let input = |index| Input { index, label: None, image: vec![value(level)] };
        if self == Self::OneByOne {
            return (0..trials)
                .map(|index| Ok(Claim::from(&certifier.certify_one(&input(index))?)))
                .collect();
        }
        certified(&mut certifier, (0..trials).map(input))
    }

    /// A run for each trial, of few inputs that share its noise; one of them counts, so that trials are independent.
    fn of_many_seeds(self, case: &Case, level: u8, trials: u64) -> anyhow::Result<Vec<Claim>> {
        let mut claims = Vec::new();
        for seed in 0..trials {
            let mut certifier = self.certifier(case, seed << 8 | u64::from(level))?;
            let counts = seed % TOGETHER;
            let input = |index| {
                let level = if index == counts { level } else { LEVELS[index as usize] };
                Input { index, label: None, image: vec![value(level)] }
            };
            let all = if self == Self::OneByOne {
                vec![Claim::from(&certifier.certify_one(&input(counts))?)]
            } else {
                certified(&mut certifier, (0..TOGETHER).map(input))?
            };
            claims.extend(all.get(counts as usize).or(all.first()));
        }
        Ok(claims)
    }
}

fn certified(certifier: &mut Certifier, inputs: impl Iterator<Item = Input>) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    certifier.certify_all(
        inputs,
        |_| {},
        |certificate| {
            claims.push(Claim::from(&certificate));
            Ok(())
        },
    )?;
    Ok(claims)
}

fn frames(case: &Case, level: u8, trials: u64) -> anyhow::Result<Vec<Claim>> {
    let settings = settings(case.rule.clone(), case.distribution, 2000 + u64::from(level))?;
    let mut frames = FrameCertifier::new(Box::new(classifier()), settings)?;
    (0..trials).map(|_| Ok(Claim::from(&frames.certify(&[value(level)], Duration::MAX)?))).collect()
}

/// Counts false certificates.
pub(super) fn count(name: String, distribution: Distribution, level: u8, claims: &[Claim]) -> Share {
    Share {
        name,
        level,
        trials: claims.len() as u64,
        certified: claims.iter().filter(|claim| claim.radius.is_some()).count() as u64,
        wrong: claims.iter().filter(|claim| claim.is_false(distribution, level)).count() as u64,
    }
}

/// The sentence that ends a run of a model whose answers depend on the others of a batch, for a run and for frames; none
/// where such a model is certified.
///
/// # Errors
/// If a certifier can't be made.
pub fn refuses_mixing() -> anyhow::Result<[Option<String>; 2]> {
    let settings = settings(StoppingRule::Fixed, Distribution::Gaussian, 5)?;
    let mut certifier = Certifier::new(vec![Box::new(Mixing(classifier()))], settings.clone(), 64)?;
    let inputs = (0..20).map(|index| Input { index, label: None, image: vec![value(136)] });
    let run = certified(&mut certifier, inputs).err().map(|error| error.to_string());
    let frames = FrameCertifier::new(Box::new(Mixing(classifier())), settings).and_then(|mut frames| {
        // At a stated share of frames, so that some of these many are compared.
        (0..2000).try_for_each(|_| frames.certify(&[value(136)], Duration::MAX).map(|_| ()))
    });
    Ok([run, frames.err().map(|error| error.to_string())])
}
