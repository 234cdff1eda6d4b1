use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use mithridate_runtime::{files, units::Alpha};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{
    Error,
    attack::AttackSettings,
    data::SplitSettings,
    resolve::{attack_settings, parse_toml, training_settings},
    training::{TrainingSettings, at_least_one},
};

/// An experiment, as its TOML file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name; its folder is `runs/<name>`.
    pub name: String,
    /// Seed of the attack, of the random baseline and of all certification noise.
    pub seed: u64,
    /// The data set.
    pub data: TrainingDataSettings,
    /// The attack. Its target classes, ε and σ apply to the whole experiment; certification uses its σ.
    pub attack: AttackSettings,
    /// The victims.
    pub victims: VictimsSettings,
    /// How the victims are certified.
    pub certify: CertifySettings,
}

/// The data set of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingDataSettings {
    /// The data set in any format of [`Dataset::open`](mithridate_runtime::data::Dataset::open); a relative path starts
    /// at the working folder.
    pub path: PathBuf,
    /// Seed of the split.
    pub split_seed: u64,
    /// Images held out for the attack's upper level.
    pub validation: usize,
    /// Images to train on; all that are left if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
}

impl TrainingDataSettings {
    /// The split.
    pub fn split(&self) -> SplitSettings {
        SplitSettings { seed: self.split_seed, validation: self.validation, images: self.images }
    }
}

/// The images that a victim is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VictimKind {
    /// Unchanged images.
    Clean,
    /// Images of the target classes with random signs times ε added.
    Random,
    /// Images of the target classes blended with others, clipped to ε.
    Watermark,
    /// Images of the target classes poisoned by the attack with the objective `accuracy` against plain training.
    Erm,
    /// Images of the target classes poisoned by the attack.
    Poison,
}

impl VictimKind {
    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Random => "random",
            Self::Watermark => "watermark",
            Self::Erm => "erm",
            Self::Poison => "poison",
        }
    }
}

/// The networks trained from scratch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VictimsSettings {
    /// Kinds of training images; results are compared with the kind `clean`.
    pub kinds: Vec<VictimKind>,
    /// Seeds of training; one victim of each kind is trained with each seed.
    pub seeds: Vec<u64>,
    /// How they are trained. Method, σ, network and preset are by default those of the attack, everything else comes from
    /// the preset.
    #[serde(default)]
    pub training: TrainingSettings,
}

/// How victims are certified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifySettings {
    /// Largest probability that a certificate is wrong, α.
    pub alpha: Alpha,
    /// Samples of the selection, which chooses the class (n₀).
    pub n0: u64,
    /// Test images of the target classes.
    pub target: GroupSettings,
    /// Test images of the other classes.
    pub others: GroupSettings,
}

/// Number of test images of a group, and of samples for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSettings {
    /// Number of images; the first of the group in the test set are taken.
    pub inputs: usize,
    /// Samples of the estimation for each image (n).
    pub n: u64,
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return Err(Error::setting(
                "name",
                "made of letters, digits, '-', '_' and '.' (not first)",
                &self.name,
            ));
        }
        let VictimsSettings { kinds, seeds, .. } = &self.victims;
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        if !kinds.contains(&VictimKind::Clean.name()) {
            return Err(Error::setting(
                "victims.kinds",
                "a list with \"clean\" in it",
                &format!("{kinds:?}"),
            ));
        }
        for (name, distinct, count, list) in [
            ("victims.kinds", kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len(), format!("{kinds:?}")),
            ("victims.seeds", seeds.iter().collect::<BTreeSet<_>>().len(), seeds.len(), format!("{seeds:?}")),
        ] {
            if distinct < count {
                return Err(Error::setting(name, "a list without repetition", &list));
            }
        }
        at_least_one("the number of victims.seeds", seeds.len())?;
        at_least_one("certify.n0", self.certify.n0 as usize)?;
        let CertifySettings { target, others, .. } = self.certify;
        for (name, count) in [
            ("certify.target.inputs", target.inputs),
            ("certify.target.n", target.n as usize),
            ("certify.others.inputs", others.inputs),
            ("certify.others.n", others.n as usize),
        ] {
            at_least_one(name, count)?;
        }
        self.victims.training.check()
    }
}

/// Reads an experiment file and checks it. For an unknown key the error suggests the most similar known one.
///
/// # Errors
/// [`Error::Read`], [`Error::Config`].
pub fn read_config(path: &Path) -> Result<Config, Error> {
    let text = files::read_to_string(path).map_err(Error::read(path))?;
    parse_config(&text)
        .and_then(|config| config.check().map(|()| config).map_err(|error| error.to_string()))
        .map_err(|problem| Error::Config { path: path.to_owned(), problem })
}

/// Reads the text of an experiment; settings that it doesn't give come from presets and the attack.
pub(super) fn parse_config(text: &str) -> Result<Config, String> {
    // Once with types, for errors that name the line; once without, to know which keys are given.
    let mut config: Config = parse_toml(text)?;
    let whole: Table = parse_toml(text)?;
    let table = |path: &[&str]| {
        let start = Some(toml::Value::Table(whole.clone()));
        let found = path.iter().fold(start, |value, key| value.and_then(|value| value.get(key).cloned()));
        found.and_then(|value| value.as_table().cloned()).unwrap_or_default()
    };
    config.attack = attack_settings(&table(&["attack"]))?;
    config.victims.training = training_settings(&table(&["victims", "training"]), Some(&config.attack))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const QUICK: &str = include_str!("../../../examples/mnist-quick.toml");

    fn problem(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        fs::write(&path, text).unwrap();
        read_config(&path).unwrap_err().to_string().split_once("e.toml: ").unwrap().1.to_owned()
    }

    #[test]
    fn the_example_is_read_and_written_back_alike() {
        let config = parse_config(QUICK).unwrap();
        config.check().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(parse_config(&text).unwrap(), config);
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused_with_the_nearest() {
        let line = QUICK.lines().position(|line| line.starts_with("epsilon")).unwrap() + 1;
        let text = QUICK.replace("epsilon =", "epsylon =");
        assert_eq!(
            problem(&text),
            format!("line {line}: there is no key 'epsylon'; did you mean 'epsilon'?")
        );
        let text = QUICK.replace("\"gaussian\"", "\"gausian\"");
        assert!(problem(&text).ends_with("there is no value 'gausian'; did you mean 'gaussian'?"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(
            problem(&QUICK.replace("alpha = 0.001", "alpha = 1.5"))
                .contains("alpha must lie strictly between")
        );
        assert!(
            problem(&QUICK.replace("name = \"mnist-quick\"", "name = \"../x\""))
                .starts_with("name must be made of")
        );
        assert!(
            problem(&QUICK.replace("kinds = [\"clean\", ", "kinds = [")).contains("with \"clean\" in it")
        );
        assert!(problem(&QUICK.replace("seed = 0", "seed = ")).starts_with("line "));
    }

    proptest! {
        #[test]
        fn changed_text_is_read_or_refused(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..128), 1..6),
            length in any::<prop::sample::Index>(),
            cut in any::<bool>(),
        ) {
            let mut bytes = QUICK.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(if cut { length.index(bytes.len()) } else { bytes.len() });
            let text = String::from_utf8_lossy(&bytes);
            match parse_config(&text).and_then(|config| config.check().map_err(|error| error.to_string())) {
                // What is accepted can be written into the results and read again.
                Ok(()) => prop_assert!(parse_config(&text).is_ok_and(|config| toml::to_string(&config).is_ok())),
                Err(problem) => prop_assert!(!problem.is_empty()),
            }
        }
    }
}
