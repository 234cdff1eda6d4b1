//! Names of settings. Errors and notes of this library name a setting in backticks, by the name of its field in
//! [`jobs`](crate::jobs) and [`Settings`](crate::certify::Settings). The command line replaces that name by a flag, and
//! other interfaces replace it by their own name.

/// A setting, and its names elsewhere.
struct Names {
    /// The field in Rust, and the keyword in other languages.
    setting: &'static str,
    /// The flag of `rscert`.
    flag: &'static str,
    /// The field of `mithridate_options` in C; `None` where C has no such setting.
    c_field: Option<&'static str>,
}

const fn only_flag(setting: &'static str, flag: &'static str) -> Names {
    Names { setting, flag, c_field: None }
}

const fn also_in_c(setting: &'static str, flag: &'static str, c_field: &'static str) -> Names {
    Names { setting, flag, c_field: Some(c_field) }
}

/// The one table of names.
const NAMES: &[Names] = &[
    also_in_c("alpha", "--alpha", "options.alpha"),
    only_flag("alpha_change", "--alpha-change"),
    also_in_c("batch", "--batch", "options.batch"),
    only_flag("challenge", "--challenge"),
    only_flag("classes", "--class"),
    only_flag("crop", "--crop"),
    only_flag("data", "--data"),
    only_flag("device_memory", "--device-memory"),
    only_flag("exact_noise", "--exact-noise"),
    only_flag("fresh_seed", "--fresh-seed"),
    only_flag("from", "--from"),
    only_flag("from_model", "--from-model"),
    only_flag("keep_votes", "--keep-votes"),
    only_flag("key", "--key"),
    only_flag("label", "--label"),
    only_flag("layout", "--layout"),
    only_flag("mean", "--mean"),
    also_in_c("model", "--model", "options.model"),
    also_in_c("n", "--n", "options.max_samples"),
    also_in_c("n0", "--n0", "options.n0"),
    only_flag("noise_mode", "--noise-mode"),
    only_flag("norm", "--norm"),
    only_flag("out", "--out"),
    only_flag("output", "--output"),
    only_flag("precision", "--precision"),
    also_in_c("provider", "--provider", "options.provider"),
    only_flag("radii", "--radii"),
    only_flag("range", "--range"),
    only_flag("replay", "--replay"),
    only_flag("resize", "--resize"),
    only_flag("resume", "--resume"),
    only_flag("samples_limit", "--samples-limit"),
    also_in_c("seed", "--seed", "options.seed"),
    also_in_c("sigma", "--sigma", "options.sigma"),
    only_flag("signature", "--signature"),
    only_flag("std", "--std"),
    also_in_c("stop", "--stop", "options.enough_radius"),
    only_flag("table", "--tsv"),
    also_in_c("threads", "--threads", "options.threads"),
];

/// A sentence of this library with the names of settings replaced by flags of the command line.
///
/// ```
/// use mithridate_runtime::setting_names::with_flags;
///
/// assert_eq!(with_flags("give a smaller `device_memory` or `n`"), "give a smaller --device-memory or --n");
/// assert_eq!(with_flags("`rscert verify` checks them"), "`rscert verify` checks them");
/// ```
pub fn with_flags(sentence: &str) -> String {
    renamed(sentence, |names| Some(names.flag))
}

/// A sentence of this library with the names of settings replaced by the fields of the options in C. Settings that C
/// does not have keep their name.
pub fn with_c_fields(sentence: &str) -> String {
    renamed(sentence, |names| names.c_field)
}

fn renamed(sentence: &str, name: impl Fn(&Names) -> Option<&'static str>) -> String {
    let mut parts = sentence.split('`');
    let mut text = parts.next().unwrap_or_default().to_owned();
    // Every second part lies between backticks.
    while let Some(part) = parts.next() {
        let found = NAMES.iter().find(|names| names.setting == part);
        match (found.and_then(&name), parts.next()) {
            (Some(name), Some(rest)) => {
                text += name;
                text += rest;
            }
            (_, Some(rest)) => {
                text += &format!("`{part}`{rest}");
            }
            (_, None) => {
                text += &format!("`{part}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_in_order_and_backticks_of_others_stay() {
        assert!(NAMES.is_sorted_by_key(|names| names.setting));
        for (text, expected) in [
            ("certify it with `batch` 1", "certify it with --batch 1"),
            ("`n` 5 is more than `samples_limit`", "--n 5 is more than --samples-limit"),
            ("a lone ` stays", "a lone ` stays"),
            ("`pacd export --precision float16` writes", "`pacd export --precision float16` writes"),
            ("", ""),
        ] {
            assert_eq!(with_flags(text), expected);
        }
        assert_eq!(
            with_c_fields("a smaller `threads`, not `resume`"),
            "a smaller options.threads, not `resume`"
        );
    }
}
