use std::path::PathBuf;

use clap::Args;
use mithridate_runtime::files::read_to_string;
use toml::{Table, Value};

use super::arguments::{decimal, one_of, whole};
use crate::{
    Error,
    attack::{AttackSettings, Curvature},
    bilevel::Solver,
    networks::Architecture,
    resolve::{attack_settings, merge, parse_toml, set},
    training::{Method, Preset},
};

/// Settings from a file and by name, in addition to those with their own flags.
#[derive(Args)]
pub(super) struct SettingsArguments {
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting by its name, for example damping=0.01; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SettingsArguments {
    /// The given settings: `flags` win over settings by name, and those over the file. `check` checks the text of the
    /// file, so that its error can name the line.
    pub fn table(
        &self,
        flags: &[(&str, Option<Value>)],
        check: impl Fn(&str) -> Result<(), String>,
    ) -> anyhow::Result<Table> {
        let mut table = Table::new();
        if let Some(path) = &self.config {
            let config = |problem: String| Error::Config { path: path.clone(), problem };
            let text = read_to_string(path).map_err(Error::read(path))?;
            check(&text).map_err(config)?;
            merge(&mut table, &parse_toml(&text).map_err(config)?);
        }
        for text in &self.set {
            set(&mut table, text).map_err(anyhow::Error::msg)?;
        }
        for (key, value) in flags {
            if let Some(value) = value {
                table.insert((*key).to_owned(), value.clone());
            }
        }
        Ok(table)
    }
}

/// The value of a flag as TOML.
pub(super) fn value<T: ToString>(flag: Option<T>) -> Option<Value> {
    flag.map(|flag| Value::String(flag.to_string()))
}

/// The number of a flag as TOML.
pub(super) fn number(flag: Option<usize>) -> Option<Value> {
    flag.map(|flag| Value::Integer(i64::try_from(flag).unwrap_or(i64::MAX)))
}

/// Settings of the attack that have their own flags.
#[derive(Args)]
pub(super) struct AttackFlags {
    #[arg(long, value_name = "PRESET", help = one_of("Settings to start from", Preset::ALL, None))]
    preset: Option<Preset>,
    /// Classes to poison, separated by commas [default: 8]
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', value_parser = whole::<usize>)]
    class: Option<Vec<usize>>,
    /// Share of the training images of these classes to poison [default: 1]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = decimal)]
    share: Option<f64>,
    /// Largest change of a pixel, in [0, 1] [default: 0.1]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true, value_parser = decimal)]
    epsilon: Option<f64>,
    /// Standard deviation of the noise of training and certification [default: 0.25]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true, value_parser = decimal)]
    sigma: Option<f64>,
    #[arg(long, value_name = "METHOD", help = one_of("Training method attacked", Method::ALL, Some(Method::Gaussian)))]
    method: Option<Method>,
    #[arg(long, value_name = "NETWORK", help = one_of("Network attacked", Architecture::ALL, Some(Architecture::LeNet)))]
    network: Option<Architecture>,
    /// Steps on the poison [default: 120]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    steps: Option<usize>,
    /// Learning rate of the poison [default: 0.02]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = decimal)]
    rate: Option<f64>,
    #[arg(long, value_name = "MATRIX", help = one_of("Matrix of the linear system", Curvature::ALL, Some(Curvature::GaussNewton)))]
    curvature: Option<Curvature>,
    #[arg(long, value_name = "SOLVER", help = one_of("Linear solver", Solver::ALL, Some(Solver::Cg)))]
    solver: Option<Solver>,
    /// Largest number of iterations of a linear solve [default: 10]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    solver_steps: Option<usize>,
    /// Number of attacks to make; the best is chosen by retraining [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    restarts: Option<usize>,
}

impl AttackFlags {
    /// The settings of the attack. Flags win over settings by name, those over the file, and the file over the preset.
    pub fn settings(&self, settings: &SettingsArguments) -> anyhow::Result<AttackSettings> {
        let classes = self.class.as_ref().map(|classes| {
            Value::Array(
                classes
                    .iter()
                    .map(|&class| Value::Integer(i64::try_from(class).unwrap_or(i64::MAX)))
                    .collect(),
            )
        });
        let flags = [
            ("preset", value(self.preset)),
            ("target_classes", classes),
            ("poisoned_share", self.share.map(Value::Float)),
            ("epsilon", self.epsilon.map(Value::Float)),
            ("sigma", self.sigma.map(Value::Float)),
            ("method", value(self.method)),
            ("network", value(self.network)),
            ("steps", number(self.steps)),
            ("poison_rate", self.rate.map(Value::Float)),
            ("curvature", value(self.curvature)),
            ("solver", value(self.solver)),
            ("solver_steps", number(self.solver_steps)),
            ("restarts", number(self.restarts)),
        ];
        let table = settings.table(&flags, |text| parse_toml::<AttackSettings>(text).map(|_| ()))?;
        attack_settings(&table).map_err(anyhow::Error::msg)
    }
}
