use std::{
    fs,
    path::{Path, PathBuf},
};

use mithridate_runtime::units::Alpha;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    attack::AttackSettings,
    data::SplitSettings,
    networks::Architecture,
    training::{Method, VictimSettings, at_least_one},
};

/// An experiment, as its TOML file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name; its folder is `runs/<name>`.
    pub name: String,
    /// Seed of the attack, of the random baseline and of all certification noise.
    pub seed: u64,
    /// What is trained and tested on.
    pub data: DataSettings,
    /// The attack; its σ, ε and target class hold throughout.
    pub attack: AttackSettings,
    /// The networks trained from scratch.
    pub victims: VictimsSettings,
    /// How they are certified.
    pub certify: CertifySettings,
}

/// What is trained and tested on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// Folder of the data set in any format of [`Dataset::open`](mithridate_runtime::data::Dataset::open), from where the program is run.
    pub path: PathBuf,
    /// Seed of the split.
    pub split_seed: u64,
    /// Images held out for the attack's upper level.
    pub validation: usize,
    /// Images to train on; all that are left if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
}

impl DataSettings {
    /// The split.
    pub fn split(&self) -> SplitSettings {
        SplitSettings { seed: self.split_seed, validation: self.validation, images: self.images }
    }
}

/// What a victim is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VictimKind {
    /// Unchanged images.
    Clean,
    /// Images of the target class with random signs times ε added.
    Random,
    /// Images of the target class poisoned by the attack.
    Poison,
}

impl VictimKind {
    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Random => "random",
            Self::Poison => "poison",
        }
    }
}

/// The networks trained from scratch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VictimsSettings {
    /// What they are trained on; results are compared with `clean`.
    pub kinds: Vec<VictimKind>,
    /// Seeds of training; each kind is trained with each.
    pub seeds: Vec<u64>,
    /// Architecture.
    pub network: Architecture,
    /// Training method.
    pub method: Method,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in a batch.
    pub batch: usize,
    /// Learning rate of Adam.
    pub rate: f64,
}

/// How victims are certified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifySettings {
    /// Probability that a certificate may be wrong.
    pub alpha: Alpha,
    /// Samples that choose the class.
    pub n0: u64,
    /// Test images of the target class.
    pub target: GroupSettings,
    /// Test images of the other classes.
    pub others: GroupSettings,
}

/// Test images of a group and how many samples each gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSettings {
    /// Images, the first of the test set.
    pub inputs: usize,
    /// Samples behind each bound.
    pub n: u64,
}

impl Config {
    /// Settings of each victim.
    pub fn victim_settings(&self) -> VictimSettings {
        let VictimsSettings { network, method, epochs, batch, rate, .. } = self.victims;
        VictimSettings { network, method, sigma: self.attack.sigma, epochs, batch, rate }
    }

    fn check(&self) -> Result<(), Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return Err(Error::setting("name", "made of letters, digits, '-', '_' and '.'", &self.name));
        }
        if !self.victims.kinds.contains(&VictimKind::Clean) {
            return Err(Error::setting("victims.kinds", "a list with \"clean\" in it", &"a list without"));
        }
        let distinct = |count: usize, all: usize, name| {
            if count == all {
                Ok(())
            } else {
                Err(Error::setting(name, "a list without repetition", &"a list with one"))
            }
        };
        if self.victims.seeds.contains(&self.seed) {
            let expected = "seeds other than the attack's, so that victims share no noise with it";
            return Err(Error::setting("victims.seeds", expected, &format!("a list with {}", self.seed)));
        }
        let kinds: std::collections::BTreeSet<_> = self.victims.kinds.iter().collect();
        distinct(kinds.len(), self.victims.kinds.len(), "victims.kinds")?;
        let seeds: std::collections::BTreeSet<_> = self.victims.seeds.iter().collect();
        distinct(seeds.len(), self.victims.seeds.len(), "victims.seeds")?;
        at_least_one("the number of victims.seeds", self.victims.seeds.len())?;
        at_least_one("certify.n0", self.certify.n0 as usize)?;
        for group in [self.certify.target, self.certify.others] {
            at_least_one("certify inputs", group.inputs)?;
            at_least_one("certify n", group.n as usize)?;
        }
        self.victim_settings().check()
    }
}

/// Reads an experiment; a key that doesn't exist is refused with the nearest that does.
///
/// # Errors
/// [`Error::Read`], [`Error::Config`].
pub fn read_config(path: &Path) -> Result<Config, Error> {
    let text = fs::read_to_string(path).map_err(Error::read(path))?;
    parse_toml(&text)
        .and_then(|config: Config| config.check().map(|()| config).map_err(|error| error.to_string()))
        .map_err(|problem| Error::Config { path: path.to_owned(), problem })
}

/// Reads TOML into settings, with an error that says the line and, for an unknown key, the nearest known one.
pub(crate) fn parse_toml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let line =
            error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let message = error.message().lines().next().unwrap_or_default();
        format!("line {line}: {}", suggest(message).unwrap_or_else(|| message.to_owned()))
    })
}

/// Turns "unknown field `a`, expected one of `b`, `c`" into a sentence with the nearest of these.
fn suggest(message: &str) -> Option<String> {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (kind, (unknown, known)) = (message.split(' ').nth(1)?, names.split_first()?);
    if !message.starts_with("unknown ") || known.is_empty() {
        return None;
    }
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b)))?;
    let kind = if kind == "field" { "key" } else { "value" };
    Some(format!("there is no {kind} '{unknown}'; did you mean '{nearest}'?"))
}

#[cfg(test)]
mod tests {
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
        let config: Config = parse_toml(QUICK).unwrap();
        config.check().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(parse_toml::<Config>(&text).unwrap(), config);
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
}
