use crate::{
    evidence::{FALSE_ALARM, FreshComparison, FreshInput},
    statistics::round_down,
};

/// Below this combined p-value, the text explains the result.
const REMARKABLE: f64 = 0.05;

/// The comparison as text, one line per input.
pub(super) fn describe(comparison: &FreshComparison) -> String {
    let FreshComparison { seed, inputs, surplus_p_value, .. } = comparison;
    let verdict = if comparison.is_compatible() {
        "consistent with an honest certification"
    } else {
        "not consistent with an honest certification"
    };
    let mut text = format!(
        "certified {} inputs anew, with seed {seed}: the recorded votes are {verdict}, by tests that reject an honest run \
         with probability {FALSE_ALARM:e} at most\n",
        inputs.len()
    );
    for input in inputs {
        let FreshInput { index, samples, hits, fresh_hits, radius, fresh_radius, p_value, .. } = input;
        let (radius, fresh_radius) = (round_down(*radius, 4), round_down(*fresh_radius, 4));
        let differs = if *p_value <= comparison.level { "; more than chance explains" } else { "" };
        text += &format!(
            "- input {index}: {} with {hits} of {samples} votes and radius {radius} recorded; {} with {fresh_hits} votes for \
             the recorded class and radius {fresh_radius} anew; p-value {p_value:.2e}{differs}\n",
            class_of(input.class),
            class_of(input.fresh_class)
        );
    }
    if let Some(p) = *surplus_p_value {
        text += &format!(
            "over all inputs together, an honest run has such a surplus of recorded votes over fresh votes with probability \
             {p:.2e}"
        );
        text += &if comparison.is_too_good() {
            "; more than chance explains\n".to_owned()
        } else if p < REMARKABLE {
            format!("; choosing the best of about {:.0} seeds would explain it\n", 1.0 / p)
        } else {
            "\n".to_owned()
        };
    }
    text
}

fn class_of(class: Option<usize>) -> String {
    class.map_or_else(|| "no class".into(), |class| format!("class {class}"))
}
