//! What only the model, the data, another run, kept votes or a key can tell.

use std::{fs, io, path::Path};

use mithridate_runtime::evidence::{Change as Lost, Header, Record, votes_path};

use super::{Change, Entry, Must, follow};

const KIND: &str = "against other files";

const REPLAY: &[&str] = &["--model", "model.onnx", "--data", "data", "--replay", "all", "--threads", "1"];
const CHANGED: &[&str] = &[
    "--from",
    "old.jsonl",
    "--model",
    "changed.onnx",
    "--data",
    "data",
    "--replay",
    "all",
    "--threads",
    "1",
];

/// Changes bytes of a file.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    fs::write(path, bytes)
}

/// All votes for the class.
fn for_the_winner(header: &Header, record: &mut Record) {
    let mut votes = vec![0; header.model.classes];
    if let Some(class) = record.selection.winner() {
        votes[class] = record.samples;
    }
    record.estimation = votes.into();
    follow(header, record);
}

/// Sets what follows from another change of an incremental record.
fn rest_on(header: &Header, record: &mut Record, change: Lost) {
    let Some(from) = &header.recertification else { return };
    record.p_lower = change.bound(record.samples, from.alpha_change).unwrap_or(0.0);
    let radius = header.settings.radius(record.p_lower);
    record.radius = radius.unwrap_or(0.0);
    record.radii = radius.map(|radius| header.radii(radius));
    record.abstained = radius.is_none();
    record.change = Some(change);
}

type Typed = fn(&mut Header, &mut Vec<Record>);
type Files = fn(&Path) -> io::Result<()>;

pub fn all() -> Vec<Entry> {
    [with_model_and_data(), with_an_earlier_run(), with_kept_votes(), in_other_commands()]
        .into_iter()
        .flatten()
        .collect()
}

#[allow(clippy::too_many_lines)] // A table.
fn with_model_and_data() -> Vec<Entry> {
    let typed: [(&'static str, Typed, Must); 9] = [
        (
            "all votes for the winner, the bounds made to follow",
            |header, records| records.iter_mut().for_each(|record| for_the_winner(header, record)),
            Must::With(REPLAY, &["votes differ"]),
        ),
        (
            "one vote of one input moved, the bounds made to follow",
            |header, records| {
                for record in records.iter_mut().take(1) {
                    let mut votes = record.estimation.by_class().to_vec();
                    let other = votes
                        .iter()
                        .enumerate()
                        .filter(|&(class, &votes)| Some(class) != record.class && votes > 0)
                        .map(|(class, _)| class)
                        .next();
                    if let (Some(class), Some(other)) = (record.class, other) {
                        votes[other] -= 1;
                        votes[class] += 1;
                    }
                    record.estimation = votes.into();
                    follow(header, record);
                }
            },
            Must::With(REPLAY, &["1 of", "votes differ"]),
        ),
        (
            "labels that are those certified",
            |_, records| records.iter_mut().for_each(|record| record.label = record.class),
            Must::With(&["--data", "data"], &["label"]),
        ),
        (
            "another hash of the model",
            |header, _| header.model.sha256 = "00".repeat(32),
            Must::With(&["--model", "model.onnx"], &["the SHA-256 of the model's file is"]),
        ),
        (
            "another hash of the images",
            |header, _| header.data.images_sha256 = "00".repeat(32),
            Must::With(&["--data", "data"], &["SHA-256"]),
        ),
        (
            "another hash of the labels",
            |header, _| header.data.labels_sha256 = "00".repeat(32),
            Must::With(&["--data", "data"], &["label"]),
        ),
        (
            "an input left out and not promised",
            |header, records| {
                header.subset.count -= 1;
                records.remove(0);
            },
            Must::With(&["--data", "data"], &["the selection has 6 inputs in these data"]),
        ),
        (
            "an input certified as another",
            |header, records| {
                let first = records[0].clone();
                let last = records.len() - 1;
                records[last] = Record { index: records[last].index, label: records[last].label, ..first };
                follow(header, &mut records[last]);
            },
            Must::With(REPLAY, &["votes differ"]),
        ),
        (
            "names of classes that there are not",
            |header, _| header.data.class_names = ["b", "a", "c", "d", "e"].map(String::from).to_vec(),
            Must::With(&["--model", "model.onnx", "--data", "data"], &["without names"]),
        ),
    ];
    let files: [(&'static str, Files, Must); 4] = [
        (
            "another model",
            |root| fs::copy(root.join("changed.onnx"), root.join("model.onnx")).map(|_| ()),
            Must::With(&["--model", "model.onnx"], &["the SHA-256 of the model's file is"]),
        ),
        (
            "a pixel of the data changed",
            |root| edit(&root.join("data/t10k-images-idx3-ubyte"), |bytes| bytes[20] ^= 1),
            Must::With(&["--data", "data"], &[]),
        ),
        (
            "a label of the data changed",
            |root| edit(&root.join("data/t10k-labels-idx1-ubyte"), |bytes| bytes[9] = 4),
            Must::With(&["--data", "data"], &["label"]),
        ),
        (
            "the model with one bit of a weight changed",
            |root| {
                edit(&root.join("model.onnx"), |bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                })
            },
            Must::With(&["--model", "model.onnx"], &["the SHA-256 of the model's file is"]),
        ),
    ];
    let typed =
        typed.map(|(name, change, must)| Entry::new(KIND, name, "run.jsonl", Change::Typed(change), must));
    let files =
        files.map(|(name, change, must)| Entry::new(KIND, name, "run.jsonl", Change::Files(change), must));
    typed.into_iter().chain(files).collect()
}

fn with_an_earlier_run() -> Vec<Entry> {
    let typed: [(&'static str, Typed, Must); 5] = [
        (
            "a better bound of the earlier model, made to follow",
            |header, records| {
                for record in records {
                    if let Some(change) = record.change.clone() {
                        let p_lower = f64::midpoint(change.p_lower, 1.0);
                        rest_on(header, record, Lost { p_lower, ..change });
                    }
                }
            },
            Must::With(&["--from", "old.jsonl"], &[]),
        ),
        (
            "no lost votes, the bound made to follow",
            |header, records| {
                for record in records {
                    if let Some(change) = record.change.clone() {
                        rest_on(header, record, Lost { lost: 0, changed: 0, ..change });
                    }
                }
            },
            Must::With(CHANGED, &[]),
        ),
        (
            "another earlier run",
            |header, _| {
                if let Some(from) = &mut header.recertification {
                    from.from = "00".repeat(32);
                }
            },
            Must::With(&["--from", "old.jsonl"], &["earlier"]),
        ),
        (
            "another earlier model",
            |header, _| {
                if let Some(from) = &mut header.recertification {
                    from.from_model_sha256 = "00".repeat(32);
                }
            },
            Must::With(&["--from", "old.jsonl"], &["earlier"]),
        ),
        (
            "other data than the earlier run's",
            |header, _| header.data.images_sha256 = "11".repeat(32),
            Must::With(&["--from", "old.jsonl"], &["data"]),
        ),
    ];
    let files: [(&'static str, Files, Must); 2] = [
        (
            "an earlier run with a bound changed",
            |root| {
                edit(&root.join("old.jsonl"), |bytes| {
                    let text =
                        String::from_utf8_lossy(bytes).replacen("\"p_lower\":0.", "\"p_lower\":0.9", 1);
                    *bytes = text.into_bytes();
                })
            },
            Must::With(&["--from", "old.jsonl"], &["the earlier run has a problem"]),
        ),
        (
            "an earlier run that stops when it likes",
            |root| fs::copy(root.join("adaptive.jsonl"), root.join("old.jsonl")).map(|_| ()),
            Must::With(&["--from", "old.jsonl"], &["earlier"]),
        ),
    ];
    let typed =
        typed.map(|(name, change, must)| Entry::new(KIND, name, "new.jsonl", Change::Typed(change), must));
    let files =
        files.map(|(name, change, must)| Entry::new(KIND, name, "new.jsonl", Change::Files(change), must));
    typed.into_iter().chain(files).collect()
}

fn with_kept_votes() -> Vec<Entry> {
    let entries: [(&'static str, Files); 4] = [
        ("a kept vote changed", |root| {
            fs::copy(votes_path(&root.join("old.jsonl")), votes_path(&root.join("forged.jsonl")))?;
            edit(&votes_path(&root.join("forged.jsonl")), |bytes| {
                let last = bytes.len() - 3;
                bytes[last] ^= 1;
            })
        }),
        ("kept votes cut short", |root| {
            fs::copy(votes_path(&root.join("old.jsonl")), votes_path(&root.join("forged.jsonl")))?;
            edit(&votes_path(&root.join("forged.jsonl")), |bytes| bytes.truncate(bytes.len() / 2))
        }),
        ("kept votes of nothing", |root| fs::write(votes_path(&root.join("forged.jsonl")), b"mithvot1")),
        ("kept votes that claim 2^63 bytes", |root| {
            let mut bytes = b"mithvot1".to_vec();
            for number in [0, 1000, 1_u64 << 63] {
                bytes.extend(number.to_le_bytes());
            }
            fs::write(votes_path(&root.join("forged.jsonl")), bytes)
        }),
    ];
    entries
        .map(|(name, change)| {
            Entry::new(KIND, name, "old.jsonl", Change::Files(change), Must::With(&[], &["votes"]))
        })
        .into_iter()
        .collect()
}

/// What goes on from evidence: `merge`, `certify --resume`, `recertify`.
#[allow(clippy::too_many_lines)] // A table.
fn in_other_commands() -> Vec<Entry> {
    const RADIUS: Typed = |header, records| {
        for record in records.iter_mut().take(1) {
            super::set_radius(header, record, 99.0);
        }
    };
    const WINNER: Typed =
        |header, records| records.iter_mut().for_each(|record| for_the_winner(header, record));
    const RESUME: &[&str] = &[
        "certify",
        "--model",
        "model.onnx",
        "--data",
        "data",
        "--sigma",
        "0.25",
        "--n",
        "1000",
        "--n0",
        "50",
        "--seed",
        "3",
        "--batch",
        "64",
        "--threads",
        "1",
        "--resume",
        "--out",
        "forged.jsonl",
    ];
    const RECERTIFY: &[&str] = &[
        "recertify",
        "--from",
        "forged.jsonl",
        "--model",
        "changed.onnx",
        "--data",
        "data",
        "--n",
        "500",
        "--batch",
        "64",
        "--threads",
        "1",
        "--out",
        "again.jsonl",
    ];
    const MERGE: &[&str] = &["merge", "forged.jsonl", "part2.jsonl", "--out", "merged.jsonl"];
    vec![
        Entry::new(
            KIND,
            "a part with a radius of 99 to merge",
            "part1.jsonl",
            Change::Typed(RADIUS),
            Must::Command(MERGE, 1, &["its radius is 99"]),
        ),
        Entry::new(
            KIND,
            "a part twice to merge",
            "part2.jsonl",
            Change::Text(|text| text.as_bytes().to_vec()),
            Must::Command(MERGE, 1, &["more than once"]),
        ),
        Entry::new(
            KIND,
            "a part of another seed to merge",
            "part1.jsonl",
            Change::Typed(|header, _| header.settings.seed = 4),
            Must::Command(MERGE, 1, &["seed"]),
        ),
        Entry::new(
            KIND,
            "a finished run with a radius of 99 to resume",
            "run.jsonl",
            Change::Typed(RADIUS),
            Must::Command(RESUME, 1, &["its radius is 99"]),
        ),
        Entry::new(
            KIND,
            "an unfinished run with a radius of 99 to resume",
            "run.jsonl",
            Change::Files(|root| {
                // The forgery of a run of fewer inputs, its footer cut off.
                edit(&root.join("forged.jsonl"), |bytes| {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    let lines: Vec<&str> = text.split_inclusive('\n').take(3).collect();
                    *bytes = lines.concat().replacen("\"radius\":0.", "\"radius\":9.", 1).into_bytes();
                })
            }),
            Must::Command(RESUME, 1, &["forged.jsonl"]),
        ),
        Entry::new(
            KIND,
            "another model's run to resume",
            "run.jsonl",
            Change::Typed(|header, _| header.model.sha256 = "00".repeat(32)),
            Must::Command(RESUME, 1, &["model.sha256 differs"]),
        ),
        Entry::new(
            KIND,
            "a run with a radius of 99 to recertify from",
            "old.jsonl",
            Change::Typed(RADIUS),
            Must::Command(RECERTIFY, 1, &["its radius is 99"]),
        ),
        Entry::new(
            KIND,
            "a run whose votes are not those kept to recertify from",
            "old.jsonl",
            Change::Typed(WINNER),
            Must::Command(RECERTIFY, 1, &["votes"]),
        ),
        Entry::new(
            KIND,
            "a run of other data to recertify from",
            "old.jsonl",
            Change::Typed(|header, _| header.data.images_sha256 = "00".repeat(32)),
            Must::Command(RECERTIFY, 1, &["data"]),
        ),
    ]
}
