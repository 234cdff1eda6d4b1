use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// Settings by name, to start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Those that did best in small runs.
    #[default]
    Default,
    /// Those published for MNIST, with the quirks of the authors' program.
    OfficialMnist,
    /// Those published for CIFAR-10, with the quirks of the authors' program.
    OfficialCifar10,
}

choice!(Preset, "a preset", {
    Default = "default",
    OfficialMnist = "official-mnist",
    OfficialCifar10 = "official-cifar10",
});
