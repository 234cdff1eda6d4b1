//! Numbers of an input.

use mithridate_runtime::{
    certify::Votes,
    evidence::{Change as Lost, Header, Record},
};

use super::{Change, Entry, Must, follow, set_radius};

const KIND: &str = "numbers of an input";

/// A forgery of the first input, found in the file itself.
macro_rules! records {
    ($($name:literal, $from:literal, |$header:ident, $record:ident| $change:expr, $words:expr;)*) => {
        vec![$(Entry::new(KIND, $name, $from, Change::Typed(|header, records| {
            fn change($header: &Header, $record: &mut Record) { $change }
            if let Some(record) = records.first_mut() {
                change(header, record);
            }
        }), Must::Alone(&$words))),*]
    };
}

type Typed = fn(&mut Header, &mut Vec<Record>);
type Words = &'static [&'static str];

fn votes(json: &str) -> Votes {
    serde_json::from_str(json).unwrap_or_default()
}

/// Votes with one more class, or one less.
fn resized(votes: &Votes, classes: usize) -> Votes {
    let mut by_class = votes.by_class().to_vec();
    by_class.resize(classes, 0);
    by_class.into()
}

#[allow(clippy::too_many_lines)] // A table.
pub fn all() -> Vec<Entry> {
    let mut entries = records! {
        "a radius larger by the last bit", "run.jsonl",
            |header, record| { let radius = record.radius.next_up(); set_radius(header, record, radius); }, ["its radius is"];
        "twice the radius", "run.jsonl",
            |header, record| { let radius = record.radius * 2.0; set_radius(header, record, radius); },
            ["needs a probability of"];
        "a radius of 99", "run.jsonl", |header, record| set_radius(header, record, 99.0), ["its radius is 99"];
        "a radius of 1e308", "run.jsonl", |header, record| set_radius(header, record, 1e308), ["its radius is"];
        "a negative radius", "run.jsonl", |header, record| set_radius(header, record, -1.0), ["its radius is -1"];
        "a radius of an adaptive run", "adaptive.jsonl",
            |header, record| { let radius = record.radius + 0.01; set_radius(header, record, radius); }, ["its radius is"];
        "a radius of a run with uniform noise", "uniform.jsonl",
            |header, record| { let radius = record.radius + 0.01; set_radius(header, record, radius); }, ["its radius is"];
        "a bound larger by the last bit", "run.jsonl",
            |_h, record| record.p_lower = record.p_lower.next_up(), ["its p_lower is"];
        "a bound half way to 1", "run.jsonl",
            |_h, record| record.p_lower = f64::midpoint(1.0, record.p_lower), ["have probability"];
        "a bound of 1", "run.jsonl", |_h, record| record.p_lower = 1.0, ["its p_lower is 1"];
        "a bound of 7", "run.jsonl", |_h, record| record.p_lower = 7.0, ["its p_lower is 7"];
        "a negative bound", "run.jsonl", |_h, record| record.p_lower = -0.5, ["its p_lower is -0.5"];
        "another class", "run.jsonl",
            |_h, record| record.class = record.class.map(|class| (class + 1) % 5), ["its class is"];
        "no class", "run.jsonl", |_h, record| record.class = None, ["its class is none"];
        "a class that there is not", "run.jsonl", |_h, record| record.class = Some(99), ["its class is 99"];
        "an abstention that is none", "run.jsonl",
            |_h, record| record.abstained = !record.abstained, ["its abstained is"];
        "one sample more", "run.jsonl", |_h, record| record.samples += 1, ["1001"];
        "no samples", "run.jsonl", |_h, record| record.samples = 0, [];
        "2^64 - 1 samples", "run.jsonl", |_h, record| record.samples = u64::MAX, [];
        "fewer samples of an adaptive run", "adaptive.jsonl", |_h, record| record.samples -= 1, [];
        "votes for more classes", "run.jsonl",
            |_h, record| record.estimation = resized(&record.estimation, 6), ["estimation votes has 6 counts for 5 classes"];
        "votes for fewer classes", "run.jsonl",
            |_h, record| record.estimation = resized(&record.estimation, 4), ["estimation votes has 4 counts for 5 classes"];
        "votes for no class", "run.jsonl", |_h, record| record.selection = Votes::none(0), [];
        "more votes than samples", "run.jsonl",
            |_h, record| record.estimation = vec![1000, 1000, 0, 0, 0].into(), [];
        "fewer votes than samples, nobody's left out", "run.jsonl",
            |header, record| {
                let mut votes = record.estimation.by_class().to_vec();
                let most = votes.iter().copied().max();
                votes.iter_mut().filter(|votes| Some(**votes) != most).for_each(|votes| *votes = 0);
                record.estimation = votes.into();
                follow(header, record);
            }, ["votes"];
        "more selection votes than samples", "run.jsonl",
            |header, record| { record.selection = vec![100, 0, 0, 0, 0].into(); follow(header, record); }, ["50"];
        "fewer selection votes than samples", "run.jsonl",
            |header, record| { record.selection = vec![10, 0, 0, 0, 0].into(); follow(header, record); }, ["selection"];
        "votes whose sum is more than 2^64", "run.jsonl",
            |_h, record| record.estimation = vec![u64::MAX, u64::MAX, 1, 0, 0].into(), [];
        "votes for nobody beside all votes", "run.jsonl",
            |_h, record| record.estimation = votes(r#"{"by_class":[1000,0,0,0,0],"ties":5}"#), [];
        "2^64 - 1 votes for nobody", "run.jsonl",
            |_h, record| record.estimation =
                votes(r#"{"by_class":[1000,0,0,0,0],"ties":18446744073709551615,"not_a_number":7}"#), [];
        "no radii in other norms", "run.jsonl", |_h, record| record.radii = None, ["radii in other norms"];
        "a larger radius in l1", "run.jsonl",
            |_h, record| if let Some(radii) = &mut record.radii { radii.l1 *= 4.0; }, ["radii in other norms"];
        "a label that there is not", "run.jsonl", |_h, record| record.label = Some(7), ["its label is 7"];
        "no label", "run.jsonl", |_h, record| record.label = None, ["no label"];
        "a time before it began", "run.jsonl", |_h, record| record.seconds = -5.0, ["seconds"];
        "kept votes that were not kept", "run.jsonl",
            |_h, record| record.votes_sha256 = Some("00".repeat(32)), ["kept"];
        "kept votes that are denied", "old.jsonl", |_h, record| record.votes_sha256 = None, ["kept"];
        "a change of model in a plain run", "run.jsonl",
            |_h, record| record.change = Some(Lost { p_lower: 0.99, lost: 0, changed: 0 }), ["earlier run"];
        "no lost vote where there were some, the bound left", "new.jsonl",
            |_h, record| if let Some(change) = &mut record.change { change.lost += 1; }
                else { record.p_lower = record.p_lower.next_up(); }, [];
        "more lost votes than samples", "new.jsonl",
            |_h, record| record.change = Some(Lost { p_lower: 0.9, lost: 5000, changed: 5000 }), [];
        "a bound of the earlier model of 7", "new.jsonl",
            |_h, record| record.change = Some(Lost { p_lower: 7.0, lost: 0, changed: 0 }), [];
    };
    let several: [(&str, Typed, Words); 6] = [
        ("two inputs in the other order", |_, records| records.swap(1, 2), &["out of order"]),
        ("an input twice", |_, records| records[2] = records[1].clone(), &["out of order"]),
        ("an input left out", |_, records| drop(records.pop()), &["the header declares 6"]),
        (
            "an input added",
            |_, records| {
                let more = records.last().cloned().map(|last| Record { index: last.index + 1, ..last });
                records.extend(more);
            },
            &["the header declares 6"],
        ),
        ("no input", |_, records| records.clear(), &["0 inputs come before it"]),
        (
            "the best votes for all inputs, the rest as it was",
            |_, records| {
                let best = records
                    .iter()
                    .map(|record| record.estimation.clone())
                    .max_by_key(|votes| votes.by_class().iter().copied().max());
                for record in records {
                    record.estimation = best.clone().unwrap_or_default();
                }
            },
            &["its votes give"],
        ),
    ];
    entries.extend(several.map(|(name, change, words)| {
        Entry::new(KIND, name, "run.jsonl", Change::Typed(change), Must::Alone(words))
    }));
    entries
}
