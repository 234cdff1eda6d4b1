//! Inputs certified anew with a seed of the verifier's own.

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::{
    data::write_idx,
    evidence::{EvidenceWriter, Header, read_evidence, verify},
};
use mithridate_testkit::{
    forgery::{forge, prove},
    halves::model_leaning,
    place::Place,
};
use serde_json::Value;

use super::{done, text_of};

const ANEW: [&str; 8] = ["--model", "model.onnx", "--data", "data", "--threads", "1", "--fresh-seed", "all"];

#[test]
fn honest_runs_are_compatible() {
    let place = Place::new();
    for (out, flags) in [
        ("fixed.jsonl", &["--n", "1000"][..]),
        ("shared.jsonl", &["--n", "1000", "--noise-mode", "shared"]),
        ("grid.jsonl", &["--n", "1000", "--exact-noise"]),
        ("early.jsonl", &["--n", "5000", "--stop", "precision:5%"]),
        ("uniform.jsonl", &["--n", "1000", "--noise", "uniform"]),
    ] {
        place.certify(out, flags);
        let text = done(&place, &[&["verify", out][..], &ANEW].concat());
        assert!(text.contains("certified 12 inputs anew, with seed "), "{text}");
        assert!(text.contains("the recorded votes are consistent with an honest certification"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("- input")).count(), 12, "{text}");
        assert_eq!(text.contains("all inputs together"), out != "shared.jsonl", "{text}");
    }
    let json = |share: &str| -> Value {
        let arguments = ["verify", "fixed.jsonl", "--json", "--fresh-seed", share];
        serde_json::from_str(&done(&place, &[&arguments[..], &ANEW[..6]].concat())).unwrap()
    };
    let (first, second) = (json("3"), json("3"));
    assert_eq!(first["fresh"]["inputs"].as_array().unwrap().len(), 3);
    assert_ne!(first["fresh"]["seed"], second["fresh"]["seed"]);
    // A recertified run, in which the selection votes are the earlier model's.
    place.certify("old.jsonl", &["--n", "20000", "--keep-votes"]);
    let changed = model_leaning(&ModelMetadata::default(), 0.02);
    mithridate_onnx::write(&changed, place.path("changed.onnx")).unwrap();
    let fixed =
        ["recertify", "--from", "old.jsonl", "--model", "changed.onnx", "--data", "data", "--n", "2000"];
    done(&place, &[&fixed[..], &["--threads", "1", "--out", "new.jsonl"]].concat());
    let arguments =
        ["verify", "new.jsonl", "--model", "changed.onnx", "--data", "data", "--fresh-seed", "all"];
    assert!(done(&place, &arguments).contains("consistent with an honest certification"));
}

#[test]
fn forged_votes_are_found_and_said_input_by_input() {
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "1000"]);
    let forged = forge(&place, "run.jsonl", "forged.jsonl", |header, records| {
        let record = records.iter_mut().find(|record| record.index == 4).unwrap();
        let mut votes = vec![0; 2];
        votes[record.class.unwrap()] = 1000;
        record.estimation = votes.into();
        prove(record, header).unwrap();
        assert!(!record.abstained);
    });
    assert!(verify(&forged).unwrap().holds());
    let (status, text, _) = text_of(&place.run(&[&["verify", "forged.jsonl"][..], &ANEW].concat()));
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("not consistent with an honest certification"), "{text}");
    let blamed: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("- ") && line.contains("more than chance explains"))
        .collect();
    assert!(blamed.len() == 1 && blamed[0].starts_with("- input 4: "), "{text}");
    // It takes a model and data, and a file that holds.
    let (status, _, error) = text_of(&place.run(&["verify", "run.jsonl", "--fresh-seed", "2"]));
    assert!(status == Some(2) && error.contains("--model"), "{error}");
}

/// An image on the boundary, whose every certificate is false, certified at α 0.05 by trying seeds.
#[test]
fn a_seed_that_was_tried_until_it_certified_is_reported_and_a_challenge_rules_it_out() {
    let place = Place::new();
    write_idx(&place.path("data/t10k-images-idx3-ubyte"), &[1, 2, 2], &[100; 4]).unwrap();
    write_idx(&place.path("data/t10k-labels-idx1-ubyte"), &[1], &[0]).unwrap();
    let fixed = ["certify", "--model", "model.onnx", "--data", "data", "--sigma", "0.25", "--threads", "1"];
    let chosen = (0..400).find(|seed: &u64| {
        let (out, seed) = (format!("{seed}.jsonl"), seed.to_string());
        let more = ["--n", "200", "--alpha", "0.05", "--seed", &seed, "--out", &out];
        done(&place, &[&fixed[..], &more].concat());
        !read_evidence(&place.path(&out)).unwrap().records[0].abstained
    });
    let run = format!("{}.jsonl", chosen.unwrap());
    // Faultless, and every vote is the model's.
    let shown = ["verify", &run, "--model", "model.onnx", "--data", "data", "--threads", "1"];
    let text = done(&place, &[&shown[..], &["--replay", "all"]].concat());
    assert!(
        text.contains("every vote is the same") && text.contains("could have tried several seeds"),
        "{text}"
    );
    // No proof against it, and the chance is said.
    let text = done(&place, &[&shown[..], &["--fresh-seed", "all", "--json"]].concat());
    let document: Value = serde_json::from_str(&text).unwrap();
    let p = document["fresh"]["surplus_p_value"].as_f64().unwrap();
    assert!(p > 1e-6 && p <= 1.0, "{document}");
    let bound = document["fresh"]["inputs"][0]["bound_p_value"].as_f64().unwrap();
    assert!(bound > 1e-9 && bound <= 1.0, "{document}");
    // It can't be passed off as the seed of a challenge.
    let evidence = read_evidence(&place.path(&run)).unwrap();
    let header = Header { challenge: Some("beacon 5213".into()), ..evidence.header };
    let out = place.path("passed-off.jsonl");
    let mut writer = EvidenceWriter::create(&out, &header).unwrap();
    evidence.records.iter().for_each(|record| writer.record(record).unwrap());
    writer.finish().unwrap();
    let (status, text, _) = text_of(&place.run(&["verify", "passed-off.jsonl"]));
    assert!(status == Some(3) && text.contains("for its challenge: the seed was chosen"), "{text}");
}
