//! Seeds that follow from a challenge.

use std::fs;

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::evidence::{EvidenceWriter, Header, challenge_seed, read_evidence, verify};
use mithridate_testkit::{
    halves::model_leaning,
    place::{Place, without_times},
    program::certify,
};

use super::{done, python, text_of};

/// `Place::certify` without its seed.
fn challenged(place: &Place, out: &str, flags: &[&str]) -> (Option<i32>, String, String) {
    let fixed = ["--sigma", "0.25", "--n", "200", "--threads", "1", "--out", out];
    text_of(&certify(place.root(), &[&fixed[..], flags].concat()).output().unwrap())
}

fn certified(place: &Place, out: &str, flags: &[&str]) -> Header {
    let (status, _, error) = challenged(place, out, flags);
    assert_eq!(status, Some(0), "{flags:?}: {error}");
    read_evidence(&place.path(out)).unwrap().header
}

const CHALLENGE: [&str; 2] = ["--challenge", "beacon 5213"];

#[test]
fn the_seed_follows_from_what_the_certificates_depend_on_alone() {
    let place = Place::new();
    let flags = |more: &[&'static str]| [&CHALLENGE[..], more].concat();
    let header = certified(&place, "run.jsonl", &flags(&["--batch", "64"]));
    let seed = header.settings.seed;
    assert_eq!(header.challenge.as_deref(), Some("beacon 5213"));
    assert_eq!(seed, challenge_seed(&header, "beacon 5213").unwrap());
    let text =
        done(&place, &["verify", "run.jsonl", "--model", "model.onnx", "--data", "data", "--replay", "all"]);
    assert!(
        text.contains("the seed follows from model, data, settings and the challenge 'beacon 5213'"),
        "{text}"
    );
    assert!(text.contains("every vote is the same"), "{text}");
    for (out, more) in
        [("batch.jsonl", &["--batch", "7"][..]), ("votes.jsonl", &["--batch", "64", "--keep-votes"])]
    {
        assert_eq!(certified(&place, out, &flags(more)).settings.seed, seed, "{out}");
    }
    // Another name of the model, and of the data.
    fs::rename(place.path("model.onnx"), place.path("renamed.onnx")).unwrap();
    fs::rename(place.path("data"), place.path("elsewhere")).unwrap();
    let fixed =
        ["certify", "--model", "renamed.onnx", "--data", "elsewhere", "--sigma", "0.25", "--n", "200"];
    done(&place, &[&fixed[..], &CHALLENGE, &["--threads", "2", "--out", "renamed.jsonl"]].concat());
    assert_eq!(read_evidence(&place.path("renamed.jsonl")).unwrap().header.settings.seed, seed);
    fs::rename(place.path("renamed.onnx"), place.path("model.onnx")).unwrap();
    fs::rename(place.path("elsewhere"), place.path("data")).unwrap();
    for (out, more) in [
        ("n.jsonl", &["--n0", "101"][..]),
        ("alpha.jsonl", &["--alpha", "0.002"]),
        ("max.jsonl", &["--max", "11"]),
        ("mode.jsonl", &["--noise-mode", "shared"]),
        ("claim.jsonl", &["--simultaneous"]),
        ("rule.jsonl", &["--stop", "radius:0.1"]),
    ] {
        assert_ne!(certified(&place, out, &flags(more)).settings.seed, seed, "{out}");
        done(&place, &["verify", out]);
    }
    assert_ne!(certified(&place, "other.jsonl", &["--challenge", "beacon 5214"]).settings.seed, seed);
    // Another computation, from the file alone.
    if let Some(python) = python("challenge_seed.py", &[place.path("run.jsonl").to_str().unwrap()]) {
        for run in ["run.jsonl", "n.jsonl", "claim.jsonl", "rule.jsonl"] {
            let found = String::from_utf8(python(&[place.path(run).to_str().unwrap()]).stdout).unwrap();
            let seed = read_evidence(&place.path(run)).unwrap().header.settings.seed;
            assert_eq!(found.trim(), seed.to_string(), "{run}");
        }
    }
}

#[test]
fn parts_and_interrupted_runs_have_the_seed_of_the_whole() {
    let place = Place::new();
    certified(&place, "run.jsonl", &CHALLENGE);
    let whole = without_times(&place.path("run.jsonl"));
    for part in ["1/2", "2/2"] {
        certified(&place, &part.replace('/', "of"), &[&CHALLENGE[..], &["--shard", part]].concat());
        done(&place, &["verify", &part.replace('/', "of")]);
    }
    done(&place, &["merge", "2of2", "1of2", "--out", "merged.jsonl"]);
    assert_eq!(without_times(&place.path("merged.jsonl")), whole);
    let text = fs::read_to_string(place.path("run.jsonl")).unwrap();
    let torn: String = text.split_inclusive('\n').take(4).collect();
    for flags in [&["--resume"][..], &["--resume", CHALLENGE[0], CHALLENGE[1]]] {
        fs::write(place.path("run.jsonl"), &torn).unwrap();
        certified(&place, "run.jsonl", flags);
        assert_eq!(without_times(&place.path("run.jsonl")), whole);
    }
    fs::write(place.path("run.jsonl"), &torn).unwrap();
    for (flags, what) in [
        (
            &["--resume", "--challenge", "another"][..],
            "challenge differs (in the file \"beacon 5213\", now \"another\")",
        ),
        (&["--resume", "--seed", "7"], "challenge differs (in the file \"beacon 5213\", now null)"),
    ] {
        let (status, _, error) = challenged(&place, "run.jsonl", flags);
        assert!(status == Some(1) && error.contains(what), "{error}");
    }
}

type Change = fn(&mut Header);

#[test]
fn a_seed_that_was_chosen_is_found() {
    let place = Place::new();
    certified(&place, "run.jsonl", &CHALLENGE);
    let evidence = read_evidence(&place.path("run.jsonl")).unwrap();
    let changes: [(&str, Change); 5] = [
        ("seed", |header| header.settings.seed += 1),
        ("challenge", |header| header.challenge = Some("another".into())),
        ("n", |header| header.settings.n = 199),
        ("model", |header| header.model.sha256 = "00".into()),
        ("selection", |header| header.subset.skip = 2),
    ];
    for (name, change) in changes {
        let mut header = evidence.header.clone();
        change(&mut header);
        let out = place.path(&format!("{name}.jsonl"));
        let mut writer = EvidenceWriter::create(&out, &header).unwrap();
        evidence.records.iter().for_each(|record| writer.record(record).unwrap());
        writer.finish().unwrap();
        let found = verify(&out).unwrap();
        assert!(
            found.problems.iter().any(|problem| problem.problem.contains("for its challenge")),
            "{name}: {found:?}"
        );
    }
    // Without a challenge nothing is claimed.
    place.certify("free.jsonl", &["--n", "200"]);
    let text = done(&place, &["verify", "free.jsonl"]);
    assert!(
        text.contains(
            "- seed: the maker of the run drew or chose the seed, and could have tried several seeds"
        ),
        "{text}"
    );
    let document: serde_json::Value =
        serde_json::from_str(&done(&place, &["verify", "free.jsonl", "--json"])).unwrap();
    assert_eq!(document["not_checked"].as_array().unwrap().len(), 5, "{document}");
}

#[test]
fn what_is_no_challenge_is_refused() {
    let place = Place::new();
    for (flags, what) in [
        (&["--challenge", ""][..], "a challenge has 1 to 1024 bytes, and this one has 0"),
        (&["--challenge", " a"], "only ASCII letters, digits, punctuation and single spaces"),
        (&["--challenge", "a\u{7}b"], "only ASCII letters, digits, punctuation and single spaces"),
        (&["--challenge", "a", "--seed", "1"], "cannot be used with"),
        (&["--shard", "1/2"], "required"),
    ] {
        let (status, _, error) = challenged(&place, "run.jsonl", flags);
        assert!(status == Some(2) && error.contains(what), "{flags:?}: {error}");
    }
}

#[test]
fn under_a_challenge_a_changed_model_is_certified_anew() {
    let place = Place::new();
    let changed = model_leaning(&ModelMetadata::default(), 0.02);
    mithridate_onnx::write(&changed, place.path("changed.onnx")).unwrap();
    place.certify("old.jsonl", &["--n", "20000", "--keep-votes"]);
    let recertify = |out: &str, more: &[&str]| {
        let fixed =
            ["recertify", "--from", "old.jsonl", "--model", "changed.onnx", "--data", "data", "--out", out];
        let plan = ["--n", "2000", "--batch", "64", "--threads", "1"];
        done(&place, &[&fixed[..], &plan, more].concat())
    };
    let text = recertify("plain.jsonl", &[]);
    assert!(!text.contains("\n0 inputs by the incremental rule"), "{text}");
    let text = recertify("new.jsonl", &CHALLENGE);
    assert!(text.contains("0 inputs by the incremental rule, 12 certified anew"), "{text}");
    let header = read_evidence(&place.path("new.jsonl")).unwrap().header;
    assert_eq!(header.settings.seed, challenge_seed(&header, "beacon 5213").unwrap());
    let verify_new =
        ["verify", "new.jsonl", "--from", "old.jsonl", "--model", "changed.onnx", "--data", "data"];
    let text = done(&place, &[&verify_new[..], &["--replay", "all"]].concat());
    assert!(text.contains("every vote is the same"), "{text}");
    // Bounds of the earlier run under a challenge, hashes and all.
    let plain = read_evidence(&place.path("plain.jsonl")).unwrap();
    let mut header = plain.header.clone();
    header.settings.seed = challenge_seed(&header, "beacon 5213").unwrap();
    header.challenge = Some("beacon 5213".into());
    let out = place.path("forged.jsonl");
    let mut writer = EvidenceWriter::create(&out, &header).unwrap();
    plain.records.iter().for_each(|record| writer.record(record).unwrap());
    writer.finish().unwrap();
    let found = verify(&out).unwrap();
    assert!(found.problems[0].problem.contains("under a challenge, it needs fresh samples"), "{found:?}");
}
