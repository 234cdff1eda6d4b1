//! The text and the JSON document that `rscert verify` prints.

use serde_json::Value;

use super::fresh;
use crate::{
    evidence::{Claim, Header, Problem, Replay},
    jobs::{Verified, Verify},
    setting_names::with_flags,
    terminal::printable,
};

/// Members of the JSON document whose sentences name settings.
const SENTENCES: [&str; 4] = ["problems", "checked", "stated", "not_checked"];

/// The result as one JSON document, with flags in place of settings.
pub(super) fn as_json(job: &Verify, found: &Verified) -> String {
    let mut document = job.to_json(found);
    for name in SENTENCES {
        name_flags(&mut document[name]);
    }
    format!("{document:#}\n")
}

fn name_flags(value: &mut Value) {
    match value {
        Value::String(sentence) => *sentence = with_flags(sentence),
        Value::Array(list) => list.iter_mut().for_each(name_flags),
        Value::Object(members) => members.values_mut().for_each(name_flags),
        _ => {}
    }
}

/// The result as text.
pub(super) fn in_words(job: &Verify, found: &Verified) -> String {
    let verification = &found.verification;
    let name = printable(&job.run.display().to_string());
    let problems = || -> String {
        let in_words = |Problem { line, problem }: &Problem| {
            let place = if *line == 0 { String::new() } else { format!("line {line}: ") };
            format!("- {place}{}\n", printable(&with_flags(problem)))
        };
        verification.problems.iter().map(in_words).collect()
    };
    let mut text = match verification.problems.len() {
        0 => format!("{name}: all {} inputs hold\n", verification.records.len()),
        1 => format!("{name}: 1 problem\n{}", problems()),
        count => format!("{name}: {count} problems\n{}", problems()),
    };
    text += &verification.header.as_ref().map_or_else(String::new, settings_line);
    text += &list("checked", &verification.checked);
    text += &list("only stated in the file", &verification.stated);
    text += &list("not checked", &verification.not_checked);
    if found.replays.is_empty() && job.replay.is_some() && verification.holds() {
        text += "no input was replayed: none of the selected inputs has a sample\n";
    }
    for (what, replays) in [("", &found.replays), (" of the earlier run", &found.earlier_replays)] {
        text += &replays_text(job.differing, what, replays);
    }
    text += &found.fresh.as_ref().map(fresh::describe).unwrap_or_default();
    text += &format!("result {}\n", verification.chain);
    text
}

fn list(title: &str, checks: &[Claim]) -> String {
    if checks.is_empty() {
        return String::new();
    }
    let line =
        |Claim { subject, detail }: &Claim| format!("- {subject}: {}\n", printable(&with_flags(detail)));
    format!("{title}:\n{}", checks.iter().map(line).collect::<String>())
}

/// The settings of the certificates, as one line.
fn settings_line(header: &Header) -> String {
    let settings = &header.settings;
    let claim = match &header.simultaneous {
        Some(claim) => format!("alpha {} for all inputs at once", claim.alpha),
        None => format!("alpha {} for each input", settings.alpha),
    };
    let origin = match &header.challenge {
        Some(_) => "from a challenge",
        None => "drawn or chosen by the maker of the run",
    };
    format!(
        "sigma {}, {} noise, {}; {claim}; n0 {}, n {}, stopping rule {}; seed {} {origin}\n",
        settings.sigma,
        settings.distribution,
        header.noise.mode,
        settings.n0,
        settings.n,
        settings.stop,
        settings.seed
    ) + &inputs_line(header)
}

/// The input subset, preprocessing and output of the model, as one line.
fn inputs_line(header: &Header) -> String {
    let mut text = header.subset.in_words();
    if let Some(shard) = header.shard {
        text += &format!("; only part {shard} of these inputs");
    }
    let used = &header.model.r#use;
    let preprocessing = &used.preprocessing;
    if !preprocessing.is_none() {
        let [low, high] = preprocessing.range;
        text += &format!("; the model gets values from {low} to {high} ({})", preprocessing.layout);
        for (name, values) in [("mean", &preprocessing.mean), ("std", &preprocessing.std)] {
            if !values.is_empty() {
                let values: Vec<String> = values.iter().map(f64::to_string).collect();
                text += &format!(", {name} {}", values.join(","));
            }
        }
    }
    if let Some(output) = &used.output {
        text += &format!("; output {}", printable(output));
    }
    format!("{text}\n")
}

fn replays_text(differing_allowed: u64, what: &str, replays: &[Replay]) -> String {
    if replays.is_empty() {
        return String::new();
    }
    let total = |number: fn(&Replay) -> u64| replays.iter().map(number).fold(0, u64::saturating_add);
    let (samples, differing) = (total(|replay| replay.samples), total(|replay| replay.differing));
    let mut text = format!("replayed {} inputs{what}, {samples} samples: ", replays.len());
    text += &if differing == 0 {
        "every vote is the same\n".to_owned()
    } else {
        let allowed = match differing_allowed {
            0 => String::new(),
            most => format!("; --differing allows up to {most} of each input"),
        };
        format!("{differing} votes differ{allowed}\n")
    };
    for Replay { index, differing, samples } in replays.iter().filter(|replay| replay.differing > 0) {
        text += &format!("- input {index}: {differing} of {samples} votes differ\n");
    }
    text
}
