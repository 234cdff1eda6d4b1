//! Evidence that lies, under good hashes: what each lie is answered with, wherever the file is read.

use std::{fs, path::Path};

use mithridate_runtime::{
    certify::Votes,
    evidence::{EvidenceWriter, Header, Record, Simultaneous, read_evidence, verify},
    setting_names::with_flags,
};
use mithridate_testkit::{
    forgery::{forge, forge_votes, proved},
    place::{INPUTS, Place},
};
use serde_json::{Value, json};

type Lie = fn(&mut Header, &mut Vec<Record>);

/// What `verify` and everything else that reads the file says of it.
fn said(place: &Place, path: &Path, expected: &str) {
    let found = verify(path).unwrap();
    let problem = found.problems.iter().find(|problem| problem.problem.contains(expected));
    let problem = problem.unwrap_or_else(|| panic!("{expected}: {:#?}", found.problems));
    // The first problem is what a reader says, in the same words.
    let first = &found.problems[0];
    let error = read_evidence(path).unwrap_err().to_string();
    assert!(error.ends_with(&format!("is not valid evidence: {}", first.problem)), "{error}");
    assert!(error.starts_with(&format!("line {} of ", first.line)), "{error}");
    let name = path.file_name().unwrap().to_str().unwrap();
    let output = place.run(&["verify", name]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&with_flags(&problem.problem)), "{text}");
    let output = place.run(&["audit", name]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.lines().count() == 1 && error.contains(&with_flags(&first.problem)), "{error}");
}

fn votes(value: Value) -> Votes {
    serde_json::from_value(value).unwrap()
}

#[test]
fn lies_of_the_header_are_found_wherever_it_is_read() {
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "500"]);
    let lies: [(&str, Lie); 23] = [
        ("its images have the shape [4294967296, 4294967296, 2]", |header, _| {
            header.data.shape = [1 << 32, 1 << 32, 2];
        }),
        ("its images have the shape [1, 0, 4]", |header, _| header.data.shape = [1, 0, 4]),
        ("its images have the shape [9223372036854775807, 1, 1]", |header, _| {
            header.data.shape = [usize::MAX / 2, 1, 1];
        }),
        // Radii in ℓ∞ are those of more values.
        ("its radii in other norms is", |header, _| header.data.shape = [1, 1, 1]),
        ("its images have values from 0 to 255", |header, _| header.data.range = [0.0, 255.0]),
        ("`n0` must be at most 10000000000 and is 10000000001", |header, _| {
            header.settings.n0 = 10_000_000_001;
        }),
        ("`n` must be at most 10000000000", |header, _| header.settings.n = u64::MAX),
        ("`n0` must be at least 1", |header, _| header.settings.n0 = 0),
        ("its generator of noise is 'a coin'", |header, _| header.noise.generator = "a coin".into()),
        ("its sigma in units of the model is [0.25] and must be [] for its preprocessing", |header, _| {
            header.model.r#use.sigma_in_model = vec![0.25];
        }),
        ("its sigma in units of the model is [] and must be [63.75] for its preprocessing", |header, _| {
            header.model.r#use.preprocessing.range = [0.0, 255.0];
        }),
        ("its preprocessing is not valid: `std` contains 0", |header, _| {
            header.model.r#use.preprocessing.std = vec![0.0];
        }),
        ("its model has 0 classes", |header, _| header.model.classes = 0),
        ("its model has 70000 classes", |header, _| header.model.classes = 70_000),
        ("its selection contains no input", |header, _| header.subset.skip = 0),
        ("its selection contains 12 inputs, and its limit is 5", |header, _| {
            header.subset.max = Some(5);
        }),
        ("the classes of its selection are not in order", |header, _| {
            header.subset.classes = vec![1, 0];
        }),
        ("it selects class 2, and the model has 2 classes", |header, _| {
            header.subset.classes = vec![0, 1, 2];
        }),
        ("is not among the classes that the header selects", |header, _| {
            header.subset.classes = vec![1];
        }),
        ("it has a label, and the data had none, according to the header", |header, _| {
            header.data.labels_sha256 = String::new();
        }),
        ("the header states that none were kept, or the reverse", |header, _| header.keeps_votes = true),
        ("its alpha is 0.001 and must be", |header, _| {
            let alpha = header.settings.alpha;
            header.simultaneous = Some(Simultaneous { alpha, inputs: INPUTS as u64 });
        }),
        ("its claim is about 3 inputs at once, and 12 were selected", |header, _| {
            let alpha = header.settings.alpha;
            header.simultaneous = Some(Simultaneous { alpha, inputs: 3 });
        }),
    ];
    for (number, (expected, lie)) in lies.into_iter().enumerate() {
        said(&place, &forge(&place, "run.jsonl", &format!("{number}.jsonl"), lie), expected);
    }
}

#[test]
fn lies_of_a_record_are_found_wherever_it_is_read() {
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "500"]);
    let lies: [(&str, Lie); 15] = [
        ("its radius is 99 and its votes give", |_, records| records[3].radius = 99.0),
        ("its radius is 1797693134862315", |_, records| records[3].radius = f64::MAX),
        ("its time of -1 seconds", |_, records| records[3].seconds = -1.0),
        ("seconds is not valid", |_, records| records[3].seconds = 1e300),
        ("its label is 2, and the model has 2 classes", |_, records| records[3].label = Some(2)),
        ("input 3 is out of order", |_, records| records[4].index = 3),
        ("its selection has 99 votes, including those for nobody, of 100 samples", |_, records| {
            records[3].selection = vec![99, 0].into();
        }),
        ("its selection has 101 votes, including those for nobody, of 100 samples", |_, records| {
            records[3].selection = votes(json!({ "by_class": [100, 0], "ties": 1 }));
        }),
        // Samples that vote for no class and for nobody either are left out.
        ("its estimation has 400 votes, including those for nobody, of 500 samples", |header, records| {
            records[3].estimation = vec![0, 400].into();
            records[3].selection = vec![0, 100].into();
            records[3] = proved(&records[3], header);
        }),
        ("its estimation has 600 votes, including those for nobody, of 500 samples", |_, records| {
            records[3].estimation = votes(json!({ "by_class": [0, 500], "not_a_number": 100 }));
        }),
        ("its estimation has 18446744073709551615 votes", |_, records| {
            records[3].estimation = vec![u64::MAX, u64::MAX].into();
        }),
        ("its list of selection votes has 1 counts for 2 classes", |_, records| {
            records[3].selection = vec![100].into();
        }),
        ("the stopping rule does not stop after 501 samples", |_, records| {
            records[3].samples = 501;
            records[3].estimation = vec![501, 0].into();
        }),
        ("it is based on an earlier run, and the header names none", |_, records| {
            records[3].change =
                serde_json::from_value(json!({ "p_lower": 0.9, "lost": 0, "changed": 0 })).unwrap();
        }),
        ("its abstained is true and its votes give false", |_, records| records[11].abstained = true),
    ];
    for (number, (expected, lie)) in lies.into_iter().enumerate() {
        said(&place, &forge(&place, "run.jsonl", &format!("{number}.jsonl"), lie), expected);
    }
    // Votes for nobody that are named hold: 100 ties count against the class.
    let ties: Lie = |header, records| {
        records[3].selection = votes(json!({ "by_class": [90, 0], "infinite": 10 }));
        records[3].estimation = votes(json!({ "by_class": [400, 0], "ties": 100 }));
        records[3] = proved(&records[3], header);
    };
    let path = forge(&place, "run.jsonl", "ties.jsonl", ties);
    assert!(verify(&path).unwrap().holds(), "{:?}", verify(&path).unwrap().problems);
    let text = String::from_utf8(place.run(&["audit", "ties.jsonl"]).stdout).unwrap();
    let note = "votes for nobody, which count against every class: 100 by a tie, 10 by an infinite logit";
    assert!(text.contains(note), "{text}");
    let output = place.run(&["audit", "ties.jsonl", "--json", "--html", "page.html"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["runs"][0]["votes_for_nobody"], json!({ "ties": 100, "infinite": 10 }));
    assert!(fs::read_to_string(place.path("page.html")).unwrap().contains(note));
}

/// A radius of 99 in a file that was hashed anew is believed by nothing.
#[test]
fn nothing_goes_on_from_a_file_whose_numbers_do_not_follow() {
    let place = Place::new();
    let flags = ["--n", "500", "--keep-votes"];
    place.certify("1of2.jsonl", &[&flags[..], &["--shard", "1/2"]].concat());
    place.certify("2of2.jsonl", &[&flags[..], &["--shard", "2/2"]].concat());
    place.certify("old.jsonl", &flags);
    let lie: Lie = |_, records| records[1].radius = 99.0;
    let refused = |arguments: &[&str], line: &str| {
        let output = place.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("is not valid evidence: its radius is 99 and its votes give"), "{error}");
        assert!(error.contains(line) && error.lines().count() == 1, "{error}");
    };
    forge(&place, "2of2.jsonl", "forged.jsonl", lie);
    refused(&["merge", "1of2.jsonl", "forged.jsonl", "--out", "merged.jsonl"], "line 3 of forged.jsonl");
    assert!(!place.path("merged.jsonl").exists());
    forge(&place, "old.jsonl", "forged.jsonl", lie);
    let changed = ["--model", "model.onnx", "--data", "data", "--n", "100", "--out", "new.jsonl"];
    refused(&[&["recertify", "--from", "forged.jsonl"], &changed[..]].concat(), "line 3 of forged.jsonl");
    refused(&["audit", "old.jsonl", "--baseline", "forged.jsonl"], "line 3 of forged.jsonl");
    // Interrupted, to be resumed: what is there is looked at before anything is added.
    let text = fs::read_to_string(place.path("forged.jsonl")).unwrap();
    let torn: String = text.split_inclusive('\n').take(4).collect();
    fs::write(place.path("torn.jsonl"), &torn).unwrap();
    let certify = ["certify", "--model", "model.onnx", "--data", "data", "--sigma", "0.25", "--seed", "7"];
    refused(&[&certify[..], &flags, &["--resume", "--out", "torn.jsonl"]].concat(), "line 3 of torn.jsonl");
    assert_eq!(fs::read_to_string(place.path("torn.jsonl")).unwrap(), torn);
}

#[test]
fn votes_that_changed_places_are_found_by_replaying() {
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "500", "--keep-votes"]);
    let path = forge_votes(&place, "run.jsonl", "moved.jsonl", |_, votes| votes.rotate_left(1));
    assert!(verify(&path).unwrap().holds());
    assert_eq!(place.run(&["verify", "moved.jsonl"]).status.code(), Some(0));
    let output = place.verify_replayed("moved.jsonl", "model.onnx", &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(3) && text.contains("votes differ"), "{text}");
    assert_eq!(place.verify_replayed("run.jsonl", "model.onnx", &[]).status.code(), Some(0));
    // Votes for a class that the model does not have.
    let output = {
        let evidence = read_evidence(&place.path("run.jsonl")).unwrap();
        let out = place.path("class.jsonl");
        let mut writer = EvidenceWriter::create(&out, &evidence.header).unwrap();
        for record in evidence.records {
            let record = Record { estimation: votes(json!({ "by_class": [0, 0], "ties": 500 })), ..record };
            writer.record_with_votes(proved(&record, &evidence.header), &[7; 500]).unwrap();
        }
        writer.finish().unwrap();
        place.run(&["verify", "class.jsonl"])
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the votes of input 0 do not add up to the counts in the evidence"), "{text}");
}

#[test]
fn lines_without_end_are_not_listed_without_end() {
    let place = Place::new();
    let run = place.certify("run.jsonl", &["--n", "500"]);
    let whole = fs::read_to_string(&run).unwrap();
    fs::write(&run, whole.clone() + &"\n".repeat(1_000_000)).unwrap();
    let found = verify(&run).unwrap();
    assert_eq!(found.problems.len(), 1001);
    // Whole lines come first in the order of lines, and this is of the file.
    assert_eq!(found.problems[0].line, 0);
    assert_eq!(found.problems[0].problem, "999000 more problems are not listed");
    let output = place.run(&["verify", "run.jsonl"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.len() < 100_000, "{}", output.stdout.len());
    // What does not hold is not said to be checked.
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("form, hash chain, order and totals"), "{text}");
    fs::write(&run, whole).unwrap();
    let text = String::from_utf8(place.run(&["verify", "run.jsonl"]).stdout).unwrap();
    assert!(text.contains("form, hash chain, order and totals"), "{text}");
}
