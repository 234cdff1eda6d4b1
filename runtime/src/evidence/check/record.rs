use super::{in_words, recertification, second_check::check_again};
use crate::{
    certify::{Certificate, Decision, Procedure},
    evidence::{Header, Record},
    statistics::Radii,
};

/// Upper limit of the recorded time of an input in seconds (about 300 years), so that sums over inputs stay finite.
const MOST_SECONDS: f64 = 1e10;

/// Checks a record: recomputes class, bound and radius from its votes by `procedure` and compares them. Bounds and
/// radii are also checked a second time with other code. Calls `add` with every problem.
pub(in crate::evidence) fn check_record(
    record: &Record,
    header: &Header,
    procedure: &Procedure,
    mut add: impl FnMut(String),
) {
    check_label(record, header, &mut add);
    check_votes(record, header, &mut add);
    if !(0.0..=MOST_SECONDS).contains(&record.seconds) {
        add(format!("its time of {} seconds is not valid", record.seconds));
    }
    if header.keeps_votes != record.votes_sha256.is_some() {
        add("it has a hash of kept votes and the header states that none were kept, or the reverse".into());
    }
    let decision = match (&header.recertification, &record.change) {
        (Some(from), Some(change)) => {
            recertification::check_change(record, from, change, &mut add);
            recertification::decide(record, header, from, change)
        }
        _ => procedure.decide(&record.selection, &record.estimation, record.samples),
    };
    match &header.recertification {
        Some(_) => recertification::check_route(record, header, &mut add),
        None if record.change.is_some() => {
            add("it is based on an earlier run, and the header names none".into());
        }
        None => {}
    }
    let Decision { class, p_lower, radius } = match decision {
        Ok(decision) => decision,
        Err(error) => return add(error.to_string()),
    };
    let certificate = Certificate {
        index: record.index,
        label: record.label,
        class,
        selection: record.selection.clone(),
        estimation: record.estimation.clone(),
        samples: record.samples,
        p_lower,
        radius,
        seconds: record.seconds,
    };
    let expected = Record::new(certificate, header);
    let json = |radii: &Option<Radii>| serde_json::to_string(radii).unwrap_or_default();
    for (name, found, expected) in [
        ("class", in_words(record.class), in_words(expected.class)),
        ("p_lower", record.p_lower.to_string(), expected.p_lower.to_string()),
        ("radius", record.radius.to_string(), expected.radius.to_string()),
        ("radii in other norms", json(&record.radii), json(&expected.radii)),
        ("abstained", record.abstained.to_string(), expected.abstained.to_string()),
    ] {
        if found != expected {
            add(format!("its {name} is {found} and its votes give {expected}"));
        }
    }
    check_again(record, header, add);
}

fn check_label(record: &Record, header: &Header, add: &mut impl FnMut(String)) {
    let (label, classes) = (record.label, header.model.classes);
    if label.is_some() == header.data.labels_sha256.is_empty() {
        let what = if label.is_some() {
            "a label, and the data had none"
        } else {
            "no label, and the data had labels"
        };
        add(format!("it has {what}, according to the header"));
    }
    if let Some(label) = label.filter(|label| *label >= classes) {
        add(format!("its label is {label}, and the model has {classes} classes"));
    }
    if !header.subset.classes.is_empty() && !label.is_some_and(|label| header.subset.classes.contains(&label))
    {
        let label = in_words(label);
        add(format!("its label {label} is not among the classes that the header selects"));
    }
}

/// Checks that every sample has a vote, for a class or for nobody. Only the stopping rule `deadline` may end before all
/// selection samples.
fn check_votes(record: &Record, header: &Header, add: &mut impl FnMut(String)) {
    let Record { selection, estimation, samples, .. } = record;
    let (classes, n0) = (header.model.classes, header.settings.n0);
    for (name, votes) in [("selection", selection), ("estimation", estimation)] {
        if votes.by_class().len() != classes {
            add(format!(
                "its list of {name} votes has {} counts for {classes} classes",
                votes.by_class().len()
            ));
        }
    }
    let is_cut_short = header.settings.stop.deadline().is_some() && *samples == 0;
    if selection.samples() != n0 && !(is_cut_short && selection.samples() < n0) {
        add(format!(
            "its selection has {} votes, including those for nobody, of {n0} samples",
            selection.samples()
        ));
    }
    if estimation.samples() != *samples {
        let found = estimation.samples();
        add(format!("its estimation has {found} votes, including those for nobody, of {samples} samples"));
    }
}
