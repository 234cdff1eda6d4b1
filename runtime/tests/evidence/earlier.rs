//! Lies about the run of an earlier model, and what finds them.

use std::{fs, path::PathBuf};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::{
    certify::StoppingRule,
    evidence::{Change, Header, KeptVotes, Record, Simultaneous, read_evidence, verify, votes_path},
    noise::NoiseMode,
    units::Sigma,
};
use mithridate_testkit::{
    forgery::{forge, forge_votes, proved},
    halves::model_leaning,
    place::{Place, png},
};
use serde_json::Value;

/// A run whose votes are kept, a changed model, and the run of that, which rests on the first.
fn prepared() -> Place {
    let place = Place::new();
    let changed = model_leaning(&ModelMetadata::default(), 0.02);
    mithridate_onnx::write(&changed, place.path("changed.onnx")).unwrap();
    place.certify("old.jsonl", &["--n", "8000", "--n0", "1000", "--keep-votes"]);
    recertify(&place, "old.jsonl", "new.jsonl", &[]);
    place
}

fn recertify(place: &Place, from: &str, out: &str, more: &[&str]) {
    let fixed = ["recertify", "--from", from, "--model", "changed.onnx", "--data", "data", "--out", out];
    let plan = ["--batch", "64", "--threads", "1", "--n", "2000"];
    let output = place.run(&[&fixed[..], &plan, more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The record with all that follows from another change.
fn changed(record: &Record, header: &Header, change: Change) -> Record {
    let alpha = header.recertification.as_ref().unwrap().alpha_change;
    let p_lower = change.bound(record.samples, alpha).unwrap();
    let radius = header.settings.radius(p_lower);
    Record {
        p_lower,
        radius: radius.unwrap_or(0.0),
        radii: radius.map(|radius| header.radii(radius)),
        abstained: radius.is_none(),
        change: Some(change),
        ..record.clone()
    }
}

#[test]
fn terms_that_cannot_be_are_found_without_the_earlier_run() {
    type Lie = fn(&mut Header, &mut Vec<Record>);
    let place = prepared();
    let lies: [(&str, Lie); 8] = [
        // As many as were lost, of far more samples than there were.
        ("its number of replayed samples is 1000000, and the earlier run has 8000", |header, _| {
            header.recertification.as_mut().unwrap().replayed = 1_000_000;
        }),
        ("its number of replayed samples is 0, and the earlier run has 8000", |header, _| {
            header.recertification.as_mut().unwrap().replayed = 0;
        }),
        ("its alpha is 0.002 and must be", |header, _| {
            header.recertification.as_mut().unwrap().alpha = "0.0005".parse().unwrap();
        }),
        ("its noise is not fresh", |header, _| {
            header.settings.seed = header.recertification.as_ref().unwrap().seed;
        }),
        ("a recertification has the stopping rule fixed", |header, _| {
            header.settings.stop = StoppingRule::Deadline(50.0);
        }),
        ("has no parts", |header, _| header.shard = "1/1".parse().ok()),
        ("a recertification can't make such a claim", |header, _| {
            let alpha = header.settings.alpha;
            header.simultaneous = Some(Simultaneous { alpha, inputs: 12 });
        }),
        ("no number of votes among 8000 samples gives the bound", |header, records| {
            let record = records.iter_mut().find(|record| record.change.is_some()).unwrap();
            let change = record.change.clone().unwrap();
            *record = changed(record, header, Change { p_lower: 0.99, ..change });
        }),
    ];
    for (number, (expected, lie)) in lies.into_iter().enumerate() {
        let path = forge(&place, "new.jsonl", &format!("{number}.jsonl"), lie);
        let found = verify(&path).unwrap();
        assert!(
            found.problems.iter().any(|problem| problem.problem.contains(expected)),
            "{expected}: {:#?}",
            found.problems
        );
        assert!(read_evidence(&path).is_err(), "{expected}");
    }
    // Fewer votes for the class than the bound of the earlier run and the changes leave possible.
    let path = forge(&place, "new.jsonl", "fewer.jsonl", |header, records| {
        for record in records.iter_mut().filter(|record| record.change.is_some()) {
            let class = record.class.unwrap();
            let mut counts = vec![1900; 2];
            counts[class] = 100;
            let change = Change { lost: 0, changed: 0, ..record.change.clone().unwrap() };
            *record = changed(&Record { estimation: counts.into(), ..record.clone() }, header, change);
        }
    });
    let problems = format!("{:?}", verify(&path).unwrap().problems);
    assert!(problems.contains("has 100 votes after 0 changed and 0 were lost"), "{problems}");
}

/// What verification finds against a run that the new one was made to name.
fn against(place: &Place, lie: impl Fn(&mut Header, &mut Vec<Record>), honest_name: bool) -> String {
    let old = forge(place, "old.jsonl", "other.jsonl", &lie);
    let there = verify(&old).unwrap();
    assert!(there.holds(), "{:?}", there.problems);
    let new = forge(place, "new.jsonl", "named.jsonl", |header, _| {
        let from = header.recertification.as_mut().unwrap();
        if honest_name {
            from.from.clone_from(&there.chain);
        }
    });
    let mut found = verify(&new).unwrap();
    assert!(found.holds(), "{:?}", found.problems);
    found.check_earlier(&there, None);
    found.problems.iter().map(|problem| problem.problem.clone() + "\n").collect()
}

#[test]
fn another_earlier_run_than_the_one_that_was_used_is_found() {
    type Lie = fn(&mut Header, &mut Vec<Record>);
    let place = prepared();
    assert_eq!(against(&place, |_, _| {}, true), "");
    assert!(
        against(&place, |header, _| header.settings.seed = 8, false)
            .contains("is based on another earlier run")
    );
    let lies: [(&str, Lie); 7] = [
        ("its data and that of the earlier run differ", |header, _| {
            header.data.images_sha256 = "00".into();
        }),
        ("its data and that", |header, _| header.data.class_names = vec!["a".into(), "b".into()]),
        ("its selection of inputs and that", |header, _| header.subset.max = Some(12)),
        ("its sigma and that", |header, records| {
            header.settings.sigma = Sigma::new(0.5).unwrap();
            for record in records {
                *record = proved(record, header);
            }
        }),
        ("its mode or generator of the noise and that", |header, _| header.noise.mode = NoiseMode::Shared),
        ("was made without `keep_votes`", |header, records| {
            header.keeps_votes = false;
            for record in records {
                record.votes_sha256 = None;
            }
        }),
        ("is part 1/1 of a run", |header, _| header.shard = "1/1".parse().ok()),
    ];
    for (expected, lie) in lies {
        let text = against(&place, lie, true);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!text.contains("is based on another earlier run"), "{text}");
    }
    let fewer = |header: &mut Header, records: &mut Vec<Record>| {
        records.pop();
        header.subset.count -= 1;
    };
    let text = against(&place, fewer, true);
    assert!(text.contains("it has 12 inputs, and the earlier run has 11"), "{text}");
    assert!(text.contains("the earlier run has no input 11"), "{text}");
    let votes = |header: &mut Header, records: &mut Vec<Record>| {
        records[11].selection = vec![1000, 0].into();
        records[11] = proved(&records[11], header);
    };
    let text = against(&place, votes, true);
    assert!(text.contains("has other selection votes, another bound or another label"), "{text}");
    // A run that rests on an earlier one itself carries nothing.
    let mut found = verify(&place.path("new.jsonl")).unwrap();
    found.check_earlier(&verify(&place.path("new.jsonl")).unwrap(), None);
    let text = format!("{:?}", found.problems);
    assert!(text.contains("is itself a recertification"), "{text}");
}

#[test]
fn fewer_changes_than_the_kept_votes_allow_are_found_without_a_model() {
    let place = prepared();
    let mut kept = KeptVotes::open(&votes_path(&place.path("old.jsonl"))).unwrap();
    let old = verify(&place.path("old.jsonl")).unwrap();
    // Votes that nobody lost went elsewhere than to the class.
    let path = forge(&place, "new.jsonl", "few.jsonl", |header, records| {
        for record in records.iter_mut() {
            if let Some(change) = record.change.clone() {
                *record = changed(record, header, Change { lost: 0, changed: 0, ..change });
            }
        }
    });
    let mut found = verify(&path).unwrap();
    assert!(found.holds(), "{:?}", found.problems);
    found.check_earlier(&old, None);
    assert!(found.holds(), "{:?}", found.problems);
    found.check_earlier(&old, Some(&mut kept));
    let text = format!("{:?}", found.problems);
    assert!(text.contains("after 0 changed and 0 were lost; the earlier run had"), "{text}");
    let mut found = verify(&place.path("new.jsonl")).unwrap();
    found.check_earlier(&old, Some(&mut kept));
    assert!(found.holds(), "{:?}", found.problems);
}

/// The earlier run is made up: where noise was run again its votes are those of the new model, and all others are for the
/// class. Only the earlier model can tell.
#[test]
fn old_votes_made_to_fit_the_new_ones_are_found_by_the_earlier_model() {
    let place = prepared();
    let fixed = ["certify", "--model", "changed.onnx", "--data", "data", "--sigma", "0.25", "--seed", "7"];
    let flags = ["--n", "8000", "--n0", "1000", "--keep-votes", "--out", "answers.jsonl"];
    assert!(place.run(&[&fixed[..], &flags].concat()).status.success());
    let answers = read_evidence(&place.path("answers.jsonl")).unwrap();
    let new_votes =
        std::cell::RefCell::new(KeptVotes::open(&votes_path(&place.path("answers.jsonl"))).unwrap());
    forge_votes(&place, "old.jsonl", "fitted.jsonl", |record, votes| {
        let Some(class) = record.class else { return };
        let answer = answers.records.iter().find(|answer| answer.index == record.index).unwrap();
        votes.copy_from_slice(&new_votes.borrow_mut().of(answer).unwrap());
        votes[2000..].fill(class as u16);
    });
    recertify(&place, "fitted.jsonl", "lie.jsonl", &[]);
    let lie = read_evidence(&place.path("lie.jsonl")).unwrap();
    let changes: Vec<&Change> = lie.records.iter().filter_map(|record| record.change.as_ref()).collect();
    assert!(!changes.is_empty() && changes.iter().all(|change| change.lost == 0));
    let from = |run: &str, old: &str, more: &[&str]| {
        let output = place.verify_replayed(run, "changed.onnx", &[&["--from", old], more].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, text) = from("lie.jsonl", "fitted.jsonl", &[]);
    assert_eq!(status, Some(0), "{text}");
    let missing = "- earlier model: that it gave the votes of the earlier run: give --from-model";
    assert!(text.contains(missing), "{text}");
    let (status, text) = from("lie.jsonl", "fitted.jsonl", &["--from-model", "model.onnx"]);
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("inputs of the earlier run") && text.contains("votes differ"), "{text}");
    // The honest run holds, and another model for the earlier one does not.
    let (status, text) = from("new.jsonl", "old.jsonl", &["--from-model", "model.onnx"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("replayed 12 inputs of the earlier run, 108000 samples: every vote is the same"));
    assert!(text.contains("was known before the changed model was made"), "{text}");
    let (status, text) = from("new.jsonl", "old.jsonl", &["--from-model", "changed.onnx"]);
    assert_eq!(status, Some(3));
    assert!(text.contains("the earlier model: the SHA-256 of the model's file is"), "{text}");
    let output = place.run(&["verify", "new.jsonl", "--from-model", "model.onnx"]);
    assert_eq!(output.status.code(), Some(2));
}

/// How the changed model gets its images: as the earlier one did, but for what the flags say.
#[test]
fn flags_for_reading_the_changed_model_are_used_and_written_down() {
    let place = prepared();
    let used = |out: &str, flags: &[&str]| {
        recertify(&place, "old.jsonl", out, flags);
        read_evidence(&place.path(out)).unwrap().header.model.r#use
    };
    assert!(used("plain.jsonl", &[]).preprocessing.is_none());
    let wide = used("wide.jsonl", &["--range", "0,255", "--mean", "10", "--std", "2"]);
    assert_eq!((wide.preprocessing.range, &wide.preprocessing.mean[..]), ([0.0, 255.0], &[10.0][..]));
    assert_eq!(wide.sigma_in_model, [0.25 * 255.0 / 2.0]);
    assert_eq!(place.run(&["verify", "wide.jsonl", "--model", "changed.onnx"]).status.code(), Some(0));
    for (flags, words) in [
        (["--output", "none"], "none"),
        (["--std", "0"], "--std contains 0"),
        (["--mean", "1,2"], "--mean has 2 values and the images have 1 channels"),
    ] {
        let fixed =
            ["recertify", "--from", "old.jsonl", "--model", "changed.onnx", "--data", "data", "--n", "2000"];
        let output = place.run(&[&fixed[..], &flags, &["--out", "x.jsonl"]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(words), "{error}");
        assert!(!place.path("x.jsonl").exists());
    }
    // A model that numbers its classes otherwise can't keep the class that was chosen.
    let named = |name: &str, names: [&str; 2]| -> PathBuf {
        let names = Some(names.map(str::to_owned).to_vec());
        let metadata = ModelMetadata { class_names: names, ..ModelMetadata::default() };
        let path = place.path(name);
        mithridate_onnx::write(&model_leaning(&metadata, 0.0), &path).unwrap();
        path
    };
    named("model.onnx", ["above", "below"]);
    named("other.onnx", ["below", "above"]);
    fs::create_dir_all(place.path("images/above")).unwrap();
    fs::create_dir_all(place.path("images/below")).unwrap();
    fs::write(place.path("images/above/1.png"), png(2, 2, &[200, 190, 20, 10])).unwrap();
    fs::write(place.path("images/below/1.png"), png(2, 2, &[20, 10, 200, 190])).unwrap();
    let certify = ["certify", "--model", "model.onnx", "--data", "images", "--sigma", "0.25", "--n", "500"];
    let output = place.run(&[&certify[..], &["--keep-votes", "--out", "names.jsonl"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let recertify = ["recertify", "--from", "names.jsonl", "--data", "images", "--n", "100"];
    let output = place.run(&[&recertify[..], &["--model", "other.onnx", "--out", "y.jsonl"]].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("and the earlier model number their classes differently"), "{error}");
}

#[test]
fn what_is_not_checked_without_the_earlier_run_is_listed() {
    let place = prepared();
    let output = place.run(&["verify", "new.jsonl", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let subjects = |list: &str| -> Vec<String> {
        let checks = document[list].as_array().unwrap();
        checks.iter().map(|check| check["subject"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(subjects("checked"), ["file", "certificates", "header"]);
    assert_eq!(
        subjects("not_checked"),
        ["model", "data", "earlier run", "earlier model", "replay", "seed", "signature"]
    );
    for subject in ["engine", "machine", "changed votes", "order of model and noise"] {
        assert!(subjects("stated").iter().any(|stated| stated == subject), "{subject}");
    }
}
