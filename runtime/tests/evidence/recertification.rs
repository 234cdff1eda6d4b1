//! Votes kept one by one, and certificates for a changed model that rest on them.

use std::{fs, path::Path};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::{
    evidence::{Change, EvidenceWriter, KeptVotes, Record, read_evidence, verify, votes_path},
    statistics::{certified_radius, clopper_pearson_lower, mean_down},
    units::Sigma,
};
use mithridate_testkit::{
    halves::model_leaning,
    place::{INPUTS, Place, without_times},
};

/// A place with a run whose votes are kept, and a changed model. Few selection samples leave some inputs without a miss.
fn prepared(n0: &str) -> Place {
    let place = Place::new();
    let changed = model_leaning(&ModelMetadata::default(), 0.02);
    mithridate_onnx::write(&changed, place.path("changed.onnx")).unwrap();
    place.certify("old.jsonl", &["--n", "20000", "--n0", n0, "--keep-votes"]);
    place
}

fn recertify(place: &Place, out: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let fixed =
        ["recertify", "--from", "old.jsonl", "--model", "changed.onnx", "--data", "data", "--out", out];
    let plan = ["--batch", "64", "--threads", "1"];
    let output = place.run(&[&fixed[..], &plan, more].concat());
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn votes_are_kept_whatever_interrupts_or_divides_the_run() {
    let place = Place::new();
    let flags = ["--n", "3000", "--keep-votes"];
    let run = place.certify("run.jsonl", &flags);
    let whole = fs::read(votes_path(&run)).unwrap();
    let evidence = read_evidence(&run).unwrap();
    let mut kept = KeptVotes::open(&votes_path(&run)).unwrap();
    for record in &evidence.records {
        let votes = kept.of(record).unwrap();
        for (class, &count) in record.estimation.by_class().iter().enumerate() {
            assert_eq!(votes.iter().filter(|&&vote| usize::from(vote) == class).count() as u64, count);
        }
    }
    let lines = without_times(&run);
    // Cut off in the middle of a line, and of the votes after it.
    let text = fs::read(&run).unwrap();
    for (line, votes) in [(3, whole.len()), (5, whole.len() - 1), (1, whole.len() / 2)] {
        let end = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(line).unwrap().0;
        fs::write(&run, &text[..end - 9]).unwrap();
        fs::write(votes_path(&run), &whole[..votes]).unwrap();
        place.certify("run.jsonl", &[&flags[..], &["--resume"]].concat());
        assert_eq!(fs::read(votes_path(&run)).unwrap(), whole);
        assert_eq!(without_times(&run), lines);
    }
    for shard in ["1/2", "2/2"] {
        place.certify(&shard.replace('/', "of"), &[&flags[..], &["--shard", shard]].concat());
    }
    let output = place.run(&["merge", "2of2", "1of2", "--out", "merged.jsonl"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(votes_path(&place.path("merged.jsonl"))).unwrap(), whole);
    assert_eq!(place.run(&["verify", "merged.jsonl"]).status.code(), Some(0));

    // A changed vote is found.
    let mut changed = whole;
    let last = changed.len() - 3;
    changed[last] ^= 1;
    fs::write(votes_path(&run), changed).unwrap();
    let output = place.run(&["verify", "run.jsonl"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_changed_model_is_certified_from_the_old_run_and_verifies() {
    let place = prepared("5");
    let (status, text, error) = recertify(&place, "new.jsonl", &["--n", "5000", "--fresh-n", "7000"]);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{text}");
    let (old, new) =
        (read_evidence(&place.path("old.jsonl")).unwrap(), read_evidence(&place.path("new.jsonl")).unwrap());
    assert_eq!(new.records.len(), INPUTS);
    let incremental = new.records.iter().filter(|record| record.change.is_some()).count();
    assert!(incremental > 0 && incremental < INPUTS, "{incremental}");
    assert!(text.contains(&format!("{incremental} inputs by the incremental rule")), "{text}");
    assert_eq!(new.header.settings.alpha.get(), 0.002);
    for (before, after) in old.records.iter().zip(&new.records) {
        assert_eq!(
            (before.index, before.class, &before.selection),
            (after.index, after.class, &after.selection)
        );
        assert_eq!(after.samples, if after.change.is_some() { 5000 } else { 7000 });
        if let Some(change) = &after.change {
            assert_eq!(change.p_lower, before.p_lower);
            assert!(change.lost <= change.changed && change.changed < 500);
            assert!(after.p_lower < before.p_lower);
        }
    }
    let output = place.verify_replayed("new.jsonl", "changed.onnx", &["--from", "old.jsonl"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("every vote is the same"), "{text}");
    let (checked, stated) = text.split_once("only stated").unwrap();
    assert!(checked.contains("- changed votes: ") && !stated.contains("- changed votes: "), "{text}");
    // It is audited like any other.
    assert!(place.run(&["audit", "new.jsonl"]).status.success());
}

/// Linear models have a known probability: no certificate is above it, and where the incremental rule is used, it gives
/// more than as many fresh samples do.
#[test]
fn radii_are_below_the_true_ones_and_above_those_of_as_many_fresh_samples() {
    let place = prepared("1000");
    assert_eq!(recertify(&place, "new.jsonl", &["--n", "2000"]).0, Some(0));
    let new = read_evidence(&place.path("new.jsonl")).unwrap();
    let fresh = ["--model", "changed.onnx", "--n", "2000", "--alpha", "0.002"];
    let run = ["certify", "--data", "data", "--sigma", "0.25", "--seed", "9", "--out", "fresh.jsonl"];
    assert!(place.run(&[&run[..], &fresh].concat()).status.success());
    let fresh = read_evidence(&place.path("fresh.jsonl")).unwrap();
    let sigma = Sigma::new(0.25).unwrap();
    for record in &new.records {
        // Weights of (1, 1, −1, −1) against their negative: the distance to the boundary.
        let image = [100.0 + 8.0 * record.index as f64, 110.0, 90.0, 100.0].map(|value| value / 255.0);
        let margin = image[0] + image[1] - image[2] - image[3] - 0.01;
        assert!(record.class != Some(0) || record.radius <= margin / 2.0, "{record:?}");
        assert!(certified_radius(record.p_lower, sigma).unwrap_or(0.0) == record.radius);
    }
    let of = |records: &[Record]| {
        let chosen = records.iter().zip(&new.records).filter(|(_, new)| new.change.is_some());
        mean_down(chosen.map(|(record, _)| record.right_radius()))
    };
    assert!(of(&new.records) > of(&fresh.records), "{} {}", of(&new.records), of(&fresh.records));
}

#[test]
fn interrupted_it_goes_on_and_forged_it_is_found() {
    let place = prepared("1000");
    let flags = ["--n", "2000", "--seed", "5"];
    assert_eq!(recertify(&place, "new.jsonl", &flags).0, Some(0));
    let whole = without_times(&place.path("new.jsonl"));
    let text = fs::read(place.path("new.jsonl")).unwrap();
    fs::write(place.path("new.jsonl"), &text[..text.len() / 2]).unwrap();
    assert_eq!(recertify(&place, "new.jsonl", &[&flags[..], &["--resume"]].concat()).0, Some(0));
    assert_eq!(without_times(&place.path("new.jsonl")), whole);

    let evidence = read_evidence(&place.path("new.jsonl")).unwrap();
    let forge = |name: &str, change: &dyn Fn(&mut Record)| {
        let path = place.path(name);
        let mut writer = EvidenceWriter::create(&path, &evidence.header).unwrap();
        for mut record in evidence.records.clone() {
            change(&mut record);
            writer.record(&record).unwrap();
        }
        writer.finish().unwrap();
        path
    };
    // Fewer lost than there were, with the bound as it was; no change at all; a better bound of the earlier model.
    let fewer = forge("1.jsonl", &|record| record.change.iter_mut().for_each(|change| change.lost += 1));
    let none = forge("2.jsonl", &|record| record.change = None);
    for path in [&fewer, &none] {
        assert!(!verify(path).unwrap().holds(), "{path:?}");
    }
    let alpha = evidence.header.recertification.as_ref().unwrap().alpha_change;
    // Everything that follows from another change.
    let rebuild = |record: &mut Record, change: Change| {
        record.p_lower = change.bound(record.samples, alpha).unwrap();
        let radius = evidence.header.settings.radius(record.p_lower);
        record.radius = radius.unwrap_or(0.0);
        record.radii = radius.map(|radius| evidence.header.radii(radius));
        record.abstained = radius.is_none();
        record.change = Some(change);
    };
    // A bound that no number of votes gives is found by itself; one of more votes than there were, by the earlier run.
    let invented = forge("invented.jsonl", &|record| {
        let Some(change) = record.change.clone() else { return };
        rebuild(record, Change { p_lower: change.p_lower + 0.001, ..change });
    });
    let text = format!("{:?}", verify(&invented).unwrap().problems);
    assert!(text.contains("no number of votes among 20000 samples gives the bound"), "{text}");
    let old = read_evidence(&place.path("old.jsonl")).unwrap();
    let better = forge("3.jsonl", &|record| {
        let Some(change) = record.change.clone() else { return };
        let before = old.records.iter().find(|before| before.index == record.index).unwrap();
        let hits = before.estimation.by_class()[before.class.unwrap()] + 20;
        let p_lower = clopper_pearson_lower(hits, 20_000, old.header.settings.alpha).unwrap();
        rebuild(record, Change { p_lower, ..change });
    });
    assert!(verify(&better).unwrap().holds(), "{:?}", verify(&better).unwrap().problems);
    // Fewer lost samples, with a bound that follows from them: nothing but the votes of both models can tell.
    let fewer = forge("4.jsonl", &|record| {
        let Some(change) = record.change.clone() else { return };
        rebuild(record, Change { lost: 0, ..change });
    });
    assert!(verify(&fewer).unwrap().holds(), "{:?}", verify(&fewer).unwrap().problems);
    let output = place.verify_replayed("4.jsonl", "changed.onnx", &["--from", "old.jsonl"]);
    assert_eq!(output.status.code(), Some(3));
    // An earlier run that does not hold carries nothing.
    let text = fs::read_to_string(place.path("old.jsonl")).unwrap();
    fs::write(place.path("old.jsonl"), text.replacen("\"p_lower\":0.", "\"p_lower\":0.9", 1)).unwrap();
    assert_eq!(recertify(&place, "x.jsonl", &[]).0, Some(1));
    assert_eq!(place.run(&["verify", "new.jsonl", "--from", "old.jsonl"]).status.code(), Some(3));
    fs::write(place.path("old.jsonl"), text).unwrap();
    let mut found = verify(&better).unwrap();
    found.check_earlier(&verify(&place.path("old.jsonl")).unwrap(), None);
    assert!(!found.holds());
}

#[test]
fn what_it_cannot_rest_on_is_refused_in_a_sentence() {
    let place = prepared("1000");
    place.certify("plain.jsonl", &["--n", "1000"]);
    place.certify("adaptive.jsonl", &["--n", "1000", "--keep-votes", "--stop", "radius:0.1"]);
    let refused = |from: &str, more: &[&str], words: &str| {
        let fixed =
            ["recertify", "--from", from, "--model", "changed.onnx", "--data", "data", "--out", "x.jsonl"];
        let output = place.run(&[&fixed[..], more].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(words) && error.lines().count() == 1, "{error}");
        assert!(!Path::new(&place.path("x.jsonl")).exists());
    };
    refused("plain.jsonl", &[], "was made without --keep-votes");
    refused("adaptive.jsonl", &["--n", "500"], "needs a run with --stop fixed");
    refused("old.jsonl", &["--n", "20001"], "is more than the 20000 samples");
    refused("old.jsonl", &["--seed", "7"], "fresh noise needs another seed");
    refused(
        "old.jsonl",
        &["--alpha-change", "0.9999"],
        "--alpha-change 0.9999 is too large together with alpha 0.001",
    );
    fs::remove_file(votes_path(&place.path("old.jsonl"))).unwrap();
    refused("old.jsonl", &[], "cannot read");
}
