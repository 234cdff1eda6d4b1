use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// The name of a set of settings to start from. The settings themselves are made by
/// [`attack_preset`](crate::resolve::attack_preset) and [`training_preset`](crate::resolve::training_preset).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Settings that did best in small runs.
    #[default]
    Default,
    /// Settings published for MNIST, with the peculiarities of the authors' program.
    OfficialMnist,
    /// Settings published for CIFAR-10, with the peculiarities of the authors' program.
    OfficialCifar10,
}

choice!(Preset, "a preset", {
    Default = "default",
    OfficialMnist = "official-mnist",
    OfficialCifar10 = "official-cifar10",
});
