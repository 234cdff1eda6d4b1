//! What holds of runs that take the same number of samples of every input holds of all others.

use std::fs;

use mithridate_runtime::evidence::{read_evidence, verify};
use mithridate_testkit::place::{INPUTS, Place, without_times};

/// Rules that depend on nothing but votes, with settings.
const RULES: [&[&str]; 6] = [
    &["--stop", "radius:0.05,0.1,0.2,0.3"],
    &["--stop", "radius:0.1", "--sequence", "betting"],
    &["--stop", "radius:0.1", "--sequence", "geometric"],
    &["--stop", "precision:0.02"],
    &["--stop", "precision:10%", "--exact-noise"],
    &["--stop", "loss:0.02", "--noise", "uniform"],
];

fn with<'a>(rule: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [rule, &["--n", "20000"], more].concat()
}

#[test]
fn every_rule_takes_fewer_samples_and_verifies() {
    let place = Place::new();
    for (number, rule) in RULES.into_iter().enumerate() {
        let out = format!("{number}.jsonl");
        let path = place.certify(&out, &with(rule, &[]));
        let evidence = read_evidence(&path).unwrap();
        let samples: u64 = evidence.records.iter().map(|record| record.samples).sum();
        assert!(samples < 20_000 * INPUTS as u64, "{rule:?}: {samples}");
        assert!(evidence.records.iter().any(|record| !record.abstained), "{rule:?}");
        let output = place.verify_replayed(&out, "model.onnx", &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{rule:?}: {text}");
        assert!(text.contains("every vote is the same"), "{text}");
    }
}

#[test]
fn batches_threads_parts_and_interruptions_change_nothing() {
    let place = Place::new();
    for (number, rule) in RULES.into_iter().enumerate() {
        let name = |what: &str| format!("{number}-{what}.jsonl");
        let whole = without_times(&place.certify(&name("whole"), &with(rule, &[])));
        let split = ["--batch", "700", "--threads", "2"];
        assert_eq!(without_times(&place.certify(&name("split"), &with(rule, &split))), whole, "{rule:?}");

        let mut merge = vec!["merge".to_owned()];
        for shard in ["1/3", "2/3", "3/3"] {
            let part = name(&shard.replace('/', "of"));
            place.certify(&part, &with(rule, &["--shard", shard]));
            merge.push(part);
        }
        merge.extend(["--out".to_owned(), name("merged")]);
        let output = place.run(&merge.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(without_times(&place.path(&name("merged"))), whole, "{rule:?}");

        // Cut off in the middle of the seventh line.
        let bytes = fs::read(place.path(&name("whole"))).unwrap();
        let ends: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        fs::write(place.path(&name("torn")), &bytes[..ends[6] - 20]).unwrap();
        place.certify(&name("torn"), &with(rule, &["--resume"]));
        assert_eq!(without_times(&place.path(&name("torn"))), whole, "{rule:?}");
    }
}

#[test]
fn a_deadline_leaves_a_certificate_of_what_was_proved_in_time() {
    let place = Place::new();
    let path = place.certify("run.jsonl", &["--n", "100000000", "--stop", "deadline:20"]);
    let output = place.verify_replayed("run.jsonl", "model.onnx", &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let evidence = read_evidence(&path).unwrap();
    assert!(evidence.records.iter().all(|record| record.samples < 100_000_000));
    assert_eq!(evidence.records.len(), INPUTS);
}

#[test]
fn a_run_is_not_continued_with_another_rule() {
    let place = Place::new();
    let path = place.certify("run.jsonl", &with(RULES[0], &[]));
    let output = place.command("run.jsonl", &with(RULES[3], &["--resume"])).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stopping_rule differs"));
    assert!(verify(&path).unwrap().holds());
}
