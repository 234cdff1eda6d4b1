use std::fmt::Write;

use super::{Answer, Audit, GroupSummary, RunSummary};
use crate::{
    statistics::{Interval, Norm, round_down},
    terminal::printable,
};

/// Largest number of inputs without a label that are listed one by one.
const MOST_ANSWERS: usize = 20;

/// An audit as text tables for a terminal. Radii and accuracies are rounded down.
pub fn to_text(audit: &Audit) -> String {
    let mut text = String::new();
    let baseline = audit.baseline.iter();
    for run in audit.runs.iter().chain(baseline.clone()) {
        let is_baseline = baseline.clone().any(|other| std::ptr::eq(other, run));
        let role = if is_baseline { " (baseline)" } else { "" };
        let _ = writeln!(
            text,
            "{}{role}: {}, {} noise, σ {}, α {}{}, n {}, radii in {}",
            printable(&run.name),
            printable(run.model.as_deref().unwrap_or("unknown model")),
            run.noise,
            known(run.sigma),
            run.alpha,
            if run.simultaneous { " for all inputs at once" } else { "" },
            known(run.n),
            run.norm
        );
        if run.all.inputs > 0 {
            groups(&mut text, run, &audit.radii);
        }
        answers(&mut text, run);
        if let Some(means) = &run.acr_by_norm {
            let others = Norm::ALL.into_iter().filter(|norm| *norm != run.norm);
            let others: Vec<String> = others
                .map(|norm| {
                    let acr = means.of(norm);
                    // Radii in ℓ∞ are small, so show four significant digits.
                    let decimals = if acr > 0.0 { 4 + (-acr.log10()).clamp(0.0, 12.0) as usize } else { 4 };
                    format!("{} in {norm}", round_down(acr, decimals))
                })
                .collect();
            let _ = writeln!(text, "  ACR {}", others.join(", "));
        }
        for note in &run.notes {
            let _ = writeln!(text, "  note: {}", printable(note));
        }
    }
    for comparison in &audit.comparisons {
        let _ = writeln!(
            text,
            "{} against the baseline, {} inputs in common (intervals over the choice of inputs):",
            printable(&comparison.name),
            comparison.all.inputs
        );
        let mut difference = |name: &str, interval: &Interval| {
            let Interval { value, low, high } = interval;
            let _ = writeln!(text, "  {name:<22} {value:+.4}  (95 % interval {low:+.4} to {high:+.4})");
        };
        difference("ACR", &comparison.all.acr);
        difference("accuracy", &comparison.all.approximate_accuracy);
        if comparison.classes.len() > 1 {
            for (class, group) in &comparison.classes {
                difference(&format!("ACR of class {class}"), &group.acr);
            }
        }
    }
    text
}

/// Table rows for all labelled inputs and for each label.
fn groups(text: &mut String, run: &RunSummary, radii: &[f64]) {
    let _ =
        write!(text, "  {:>8} {:>7} {:>7} {:>9} {:>9}", "class", "inputs", "ACR", "accuracy", "abstained");
    for radius in radii {
        let _ = write!(text, " {:>7}", format!("≥{radius}"));
    }
    text.push('\n');
    line(text, "all", &run.all);
    if run.classes.len() > 1 {
        for (class, group) in &run.classes {
            line(text, &class.to_string(), group);
            if let Some(name) = run.class_names.get(*class) {
                text.truncate(text.trim_end().len());
                let _ = writeln!(text, "  {}", printable(name));
            }
        }
    }
}

/// Lines for the inputs without a label.
fn answers(text: &mut String, run: &RunSummary) {
    for Answer { index, class, radius } in run.unlabelled.iter().take(MOST_ANSWERS) {
        let _ = match class {
            Some(class) => writeln!(
                text,
                "  input {index}: class {} within radius {}",
                printable(&run.class(*class)),
                round_down(*radius, 4)
            ),
            None => writeln!(text, "  input {index}: abstained"),
        };
    }
    if let Some(more @ 1..) = run.unlabelled.len().checked_sub(MOST_ANSWERS) {
        let _ = writeln!(text, "  and {more} more inputs; --json lists all of them");
    }
}

/// A value as text, or `unknown`.
pub(super) fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

fn line(text: &mut String, name: &str, group: &GroupSummary) {
    let _ = write!(
        text,
        "  {name:>8} {:>7} {:>7} {:>9} {:>9}",
        group.inputs,
        round_down(group.acr, 4),
        round_down(group.approximate_accuracy, 4),
        group.abstained
    );
    for at in &group.certified_accuracy {
        let _ = write!(text, " {:>7}", round_down(at.value, 4));
    }
    text.push('\n');
}
