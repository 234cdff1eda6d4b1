use std::{fs, path::PathBuf};

use clap::Args;
use toml::Table;

use crate::{
    Error,
    resolve::{merge, parse_toml, set},
};

/// Settings by file and by name, beside those that have flags of their own.
#[derive(Args)]
pub(super) struct SettingsArguments {
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting by its name in such a file, such as damping=0.01; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SettingsArguments {
    /// The settings of the file, under those given by name, under those of flags. `check` refuses a file with keys or
    /// values that don't exist, to say the line.
    pub fn table(
        &self,
        flags: &[(&str, Option<toml::Value>)],
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Result<Table, Error> {
        let mut table = Table::new();
        if let Some(path) = &self.config {
            let config = |problem: String| Error::Config { path: path.clone(), problem };
            let text = fs::read_to_string(path).map_err(Error::read(path))?;
            check(&text).map_err(config)?;
            merge(&mut table, &parse_toml(&text).map_err(config)?);
        }
        for text in &self.set {
            set(&mut table, text).map_err(Error::Usage)?;
        }
        for (key, value) in flags {
            if let Some(value) = value {
                table.insert((*key).to_owned(), value.clone());
            }
        }
        Ok(table)
    }
}

/// A flag's value as TOML.
pub(super) fn value<T: ToString>(flag: Option<T>) -> Option<toml::Value> {
    flag.map(|flag| toml::Value::String(flag.to_string()))
}

/// A number's as TOML.
pub(super) fn number(flag: Option<usize>) -> Option<toml::Value> {
    flag.map(|flag| toml::Value::Integer(i64::try_from(flag).unwrap_or(i64::MAX)))
}
