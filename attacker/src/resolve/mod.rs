//! Settings from a preset, a TOML file and flags: a flag wins over the file, the file over the preset.

mod presets;

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

pub use presets::{attack_preset, training_preset};

use crate::{
    attack::{AttackSettings, Objective},
    training::{Method, Preset, TrainingSettings},
};

/// Reads TOML into settings. An error names the line and, for an unknown key, the most similar known one.
///
/// # Errors
/// A sentence that says what is wrong in which line.
pub(crate) fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let line =
            error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        format!("line {line}: {}", sentence(error.message()))
    })
}

/// The settings of an attack from a table that gives some of them. The others come from the preset and the training
/// method that the table names.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn attack_settings(table: &Table) -> Result<AttackSettings, String> {
    let given: AttackSettings = read(table.clone())?;
    overlay(&attack_preset(given.preset, given.method), table)
}

/// The settings of a training from a table that gives some of them. Method, σ, network and preset come from `attack` if
/// the table does not give them, and all others from the preset.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn training_settings(table: &Table, attack: Option<&AttackSettings>) -> Result<TrainingSettings, String> {
    let given: TrainingSettings = read(table.clone())?;
    let of_table = |key: &str| table.contains_key(key);
    let method = match attack {
        Some(attack) if !of_table("method") => attack.method,
        _ => given.method,
    };
    let sigma = match attack {
        Some(attack) if !of_table("sigma") => attack.sigma,
        _ => given.sigma,
    };
    let preset = match attack {
        Some(attack) if !of_table("preset") => attack.preset,
        _ => given.preset,
    };
    let mut base = training_preset(preset, method, sigma);
    if let Some(attack) = attack {
        base.network = attack.network;
    }
    overlay(&base, table)
}

/// Adds a setting to a table from text `key=value`; a key such as `macer.noises` leads into an inner table.
///
/// # Errors
/// A sentence if the text has another form.
pub(crate) fn set(table: &mut Table, text: &str) -> Result<(), String> {
    let (key, value) = text
        .split_once('=')
        .map(|(key, value)| (key.trim(), value.trim()))
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .ok_or_else(|| {
            format!("'{text}' is not a setting; write it as key=value, for example damping=0.01")
        })?;
    // A value that is not a number, a boolean or a list is a name.
    let fragment = toml::from_str::<Table>(&format!("value = {value}"));
    let value = fragment.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| value.into());
    let mut place = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            place.insert(part.to_owned(), value);
            return Ok(());
        }
        let inner = place.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        place = inner.as_table_mut().ok_or_else(|| format!("'{text}': {part} is a setting, not a table"))?;
    }
    Ok(())
}

/// Adds the settings of one table to another and replaces those already there.
pub(crate) fn merge(into: &mut Table, from: &Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => merge(inner, more),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn read<T: DeserializeOwned>(table: Table) -> Result<T, String> {
    Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        let text = error.to_string();
        let place = text.lines().find_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
        match place {
            Some(key) if !error.message().starts_with("unknown field") => {
                format!("{key}: {}", sentence(error.message()))
            }
            _ => sentence(error.message()),
        }
    })
}

fn overlay<T: Serialize + DeserializeOwned>(base: &T, table: &Table) -> Result<T, String> {
    let mut whole = Table::try_from(base).map_err(|error| error.to_string())?;
    merge(&mut whole, table);
    read(whole)
}

/// The first line of an error of serde, in plain words.
fn sentence(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    suggest(message).or_else(|| wrong_type(message)).unwrap_or_else(|| message.to_owned())
}

/// Translates messages such as "invalid type: string "many", expected usize".
fn wrong_type(message: &str) -> Option<String> {
    if message.starts_with("string values must be quoted") {
        return Some("a value is missing, or is a word that must stand in quotes".into());
    }
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.split_once(", expected ")?;
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list such as [1, 2]",
        "a string" => "a word in quotes",
        other => other,
    };
    let kinds = [
        ("string ", "the word "),
        ("integer ", ""),
        ("floating point ", ""),
        ("boolean ", ""),
        ("map", "a table"),
        ("sequence", "a list"),
    ];
    let found = kinds
        .iter()
        .find_map(|(kind, word)| Some(format!("{word}{}", found.strip_prefix(kind)?)))
        .unwrap_or_else(|| found.to_owned());
    Some(format!("it must be {expected} and is {}", found.replace('`', "").replace('"', "'")))
}

/// Smallest Jaro–Winkler similarity at which a name is suggested.
const ALIKE: f64 = 0.8;

/// Translates "unknown field `a`, expected one of `b`, `c`" into a sentence that suggests the most similar name.
fn suggest(message: &str) -> Option<String> {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (kind, (unknown, known)) = (message.split(' ').nth(1)?, names.split_first()?);
    if !message.starts_with("unknown ") || known.is_empty() {
        return None;
    }
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b)))?;
    Some(match (kind == "field", strsim::jaro_winkler(unknown, nearest) >= ALIKE) {
        (true, true) => format!("there is no key '{unknown}'; did you mean '{nearest}'?"),
        (true, false) => format!("there is no key '{unknown}' here"),
        (false, true) => format!("there is no value '{unknown}'; did you mean '{nearest}'?"),
        (false, false) => format!("there is no value '{unknown}'; use one of {}", known.join(", ")),
    })
}

/// The settings of the baseline `erm`: the same attack, but against training without noise and with the objective
/// accuracy.
#[must_use]
pub fn erm_baseline(attack: &AttackSettings) -> AttackSettings {
    let preset = attack_preset(attack.preset, Method::Erm);
    AttackSettings {
        method: Method::Erm,
        objective: Objective::Accuracy,
        solver_rate: if attack.preset == Preset::Default { attack.solver_rate } else { preset.solver_rate },
        ..attack.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bilevel::Solver, networks::Architecture};

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_preset_is_the_base_and_what_is_given_wins() {
        let settings = attack_settings(&table(
            "preset = \"official-mnist\"\nmethod = \"macer\"\nsolver_steps = 3\nmacer = { noises = 7 }",
        ))
        .unwrap();
        let official = attack_preset(Preset::OfficialMnist, Method::Macer);
        assert_eq!((settings.solver, settings.solver_rate), (Solver::LeastSquaresAdam, 1e-4));
        assert_eq!((settings.solver_steps, settings.macer.noises), (3, 7));
        assert_eq!(settings.macer.clamp, official.macer.clamp);
        assert_eq!(attack_settings(&Table::new()).unwrap(), AttackSettings::default());
        // Written out in full and read again, nothing changes.
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(attack_settings(&table(&text)).unwrap(), settings);
    }

    #[test]
    fn victims_follow_the_attack_where_they_are_silent() {
        let attack = attack_settings(&table("method = \"macer\"\nsigma = 0.5\nnetwork = \"mlp\"")).unwrap();
        let settings = training_settings(&table("epochs = 3"), Some(&attack)).unwrap();
        assert_eq!((settings.method, settings.sigma), (Method::Macer, 0.5));
        assert_eq!((settings.network, settings.epochs), (Architecture::Mlp, 3));
        let settings = training_settings(&table("method = \"erm\"\nsigma = 1.0"), Some(&attack)).unwrap();
        assert_eq!((settings.method, settings.sigma), (Method::Erm, 1.0));
    }

    #[test]
    fn settings_are_set_by_name() {
        let mut found = Table::new();
        for text in ["damping=0.5", "method = macer", "macer.noises=2", "target_classes=[1, 2]", "flip=true"]
        {
            set(&mut found, text).unwrap();
        }
        let settings = attack_settings(&found).unwrap();
        assert_eq!((settings.damping, settings.method, settings.macer.noises), (0.5, Method::Macer, 2));
        assert_eq!((settings.target_classes, settings.flip), (vec![1, 2], true));
        for bad in ["damping", "=1", "damping="] {
            assert!(set(&mut Table::new(), bad).unwrap_err().contains("is not a setting"), "{bad}");
        }
        assert!(set(&mut found, "damping.x=1").unwrap_err().contains("not a table"));
        let mut wrong = Table::new();
        set(&mut wrong, "dampin=1").unwrap();
        assert_eq!(attack_settings(&wrong).unwrap_err(), "there is no key 'dampin'; did you mean 'damping'?");
    }

    #[test]
    fn values_of_the_wrong_type_are_refused_by_name_and_in_words() {
        for (text, expected) in [
            ("damping=much", "damping: it must be a number and is the word 'much'"),
            ("steps=-3", "steps: it must be a whole number that is not negative and is -3"),
            ("steps=1.5", "steps: it must be a whole number that is not negative and is 1.5"),
            ("flip=1", "flip: it must be true or false and is 1"),
            (
                "macer.noises=few",
                "macer.noises: it must be a whole number that is not negative and is the word 'few'",
            ),
            ("damping.x=1", "damping: it must be a number and is a table"),
            (
                "solver=gauss",
                "solver: there is no value 'gauss'; use one of cg, normal-cg, minres, \
              least-squares-adam, neumann",
            ),
            ("xyz=1", "there is no key 'xyz' here"),
        ] {
            let mut table = Table::new();
            set(&mut table, text).unwrap();
            assert_eq!(attack_settings(&table).unwrap_err(), expected);
        }
    }
}
