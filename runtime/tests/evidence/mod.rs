//! Evidence that others can trust: interrupted, divided, changed, forged.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod earlier;
mod forged;
mod recertification;
mod stopping;
mod swapped;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::evidence::{Record, Verification, read_evidence, verify, votes_path};
use mithridate_testkit::{
    forgery,
    halves::model,
    place::{Place, without_times},
    program::after,
};
use serde_json::Value;

/// Random numbers that are the same in every run of the tests.
fn numbers() -> impl FnMut(u64) -> u64 {
    let mut state = 9_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn killed_at_a_hundred_moments_and_resumed_it_is_the_same_file() {
    const N: [&str; 2] = ["--n", "150000"];
    let place = Place::new();
    let started = Instant::now();
    let whole = without_times(&place.certify("whole.jsonl", &N));
    let run_time = started.elapsed().as_micros() as u64;
    let mut next = numbers();
    let (mut killed, mut finished, mut begun_again) = (0, 0, 0);
    while killed < 100 {
        let out = "killed.jsonl";
        let mut child = place
            .command(out, &[&N[..], &["--resume"]].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_micros(next(run_time)));
        let was_running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if was_running && !status.success() {
            killed += 1;
        } else {
            assert!(status.success());
            assert_eq!(without_times(&place.path(out)), whole);
            finished += 1;
            fs::remove_file(place.path(out)).unwrap();
        }
        begun_again +=
            u32::from(place.path(out).exists() && fs::metadata(place.path(out)).unwrap().len() > 0);
    }
    place.certify("killed.jsonl", &[&N[..], &["--resume"]].concat());
    assert_eq!(without_times(&place.path("killed.jsonl")), whole);
    assert!(
        begun_again > 20,
        "killed {killed} times, finished {finished}, with something written {begun_again}"
    );
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_in_a_sentence_and_loses_nothing() {
    let place = Place::new();
    let whole = without_times(&place.certify("whole.jsonl", &["--n", "100"]));
    let mut refused = 0;
    // A limit on the size of files, in blocks of 512 or 1024 bytes, stands for the disk that is full.
    for blocks in 1..40 {
        let run = place.command("full.jsonl", &["--n", "100", "--resume"]);
        // Whether the signal that comes with it is ignored or not.
        let trap = if blocks % 2 == 0 { "trap '' XFSZ; " } else { "" };
        let output = after(&format!("{trap}ulimit -f {blocks}"), &run).output().unwrap();
        if output.status.success() {
            break;
        }
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("rscert: cannot write full.jsonl: File too large"), "{error}");
        // Not even a header fits into one block.
        let advice = "; the finished inputs are in this file: free space on the disk, then run the same command with --resume\n";
        assert!(error.ends_with(advice) || blocks < 4, "{blocks}: {error}");
        refused += 1;
    }
    assert!(refused > 3, "refused {refused} times");
    place.certify("full.jsonl", &["--n", "100", "--resume"]);
    assert_eq!(without_times(&place.path("full.jsonl")), whole);
}

#[test]
fn a_finished_run_is_left_as_it_is_and_a_foreign_one_refused() {
    let place = Place::new();
    let path = place.certify("run.jsonl", &["--n", "100"]);
    let before = fs::read(&path).unwrap();
    place.certify("run.jsonl", &["--n", "100", "--resume"]);
    assert_eq!(fs::read(&path).unwrap(), before);
    for (flags, what) in [
        (&["--n", "200"][..], "can't be resumed: its n differs (in the file 100, now 200)"),
        (
            &["--n", "100", "--max", "5"],
            "can't be resumed: its selection.count differs (in the file 12, now 5)",
        ),
        (
            &["--n", "100", "--shard", "1/2"],
            "can't be resumed: its shard differs (in the file none, now 1/2)",
        ),
    ] {
        let output = place.command("run.jsonl", &[flags, &["--resume"]].concat()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn any_division_gives_the_same_lines_as_one_run() {
    let place = Place::new();
    let whole = without_times(&place.certify("whole.jsonl", &["--n", "200"]));
    for of in [1, 2, 5, 12, 17] {
        let mut parts: Vec<String> = Vec::new();
        for number in 1..=of {
            let (out, shard) = (format!("{of}-{number}.jsonl"), format!("{number}/{of}"));
            place.certify(&out, &["--n", "200", "--shard", &shard]);
            parts.push(out);
        }
        // In whatever order they are named.
        parts.rotate_left(of / 2);
        let merged = format!("merged-{of}.jsonl");
        let mut arguments = vec!["merge", "--out", &merged];
        arguments.extend(parts.iter().map(String::as_str));
        let output = place.run(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(without_times(&place.path(&merged)), whole, "{of} parts");
        assert!(verify(&place.path(&merged)).unwrap().holds());
    }
}

#[test]
fn parts_that_do_not_fit_are_refused_with_a_list() {
    let place = Place::new();
    for (out, flags) in [
        ("1.jsonl", &["--shard", "1/3", "--n", "100"][..]),
        ("2.jsonl", &["--shard", "2/3", "--n", "100"]),
        ("again.jsonl", &["--shard", "1/3", "--n", "100"]),
        ("other.jsonl", &["--shard", "3/3", "--n", "200", "--alpha", "0.01"]),
        ("half.jsonl", &["--shard", "2/2", "--n", "100"]),
        ("whole.jsonl", &["--n", "100"]),
    ] {
        place.certify(out, flags);
    }
    let refused = |parts: &[&str]| {
        let output = place.run(&[&["merge", "--out", "merged.jsonl"], parts].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(!place.path("merged.jsonl").exists());
        String::from_utf8(output.stderr).unwrap()
    };
    let start = "rscert: these are not the parts of one run: ";
    assert_eq!(refused(&["1.jsonl", "2.jsonl"]), format!("{start}part 3/3 is missing\n"));
    assert_eq!(
        refused(&["1.jsonl", "again.jsonl", "2.jsonl"]),
        format!("{start}part 1/3 is given more than once: 1.jsonl, again.jsonl; part 3/3 is missing\n")
    );
    assert_eq!(
        refused(&["1.jsonl", "2.jsonl", "other.jsonl"]),
        format!(
            "{start}other.jsonl: its alpha is 0.01, and 0.001 in 1.jsonl; other.jsonl: its n is 200, and 100 in 1.jsonl\n"
        )
    );
    assert!(
        refused(&["half.jsonl", "1.jsonl"]).contains("1.jsonl is one of 3 parts, and half.jsonl one of 2")
    );
    assert_eq!(
        refused(&["whole.jsonl"]),
        format!("{start}whole.jsonl is a whole run of 12 inputs and not a part\n")
    );
}

/// What verification finds in a file with this content.
fn found_in(place: &Place, content: &[u8]) -> Option<Verification> {
    let path = place.path("changed.jsonl");
    fs::write(&path, content).unwrap();
    // Bytes that are no text are refused as a whole.
    verify(&path).ok()
}

#[test]
fn any_changed_character_is_found() {
    let place = Place::new();
    let path = place.certify("run.jsonl", &["--n", "100", "--max", "3"]);
    let content = fs::read(&path).unwrap();
    assert_eq!(found_in(&place, &content).unwrap().problems, []);
    for position in 0..content.len() {
        for change in [1_u8, 2, 16, 0x20] {
            let mut changed = content.clone();
            changed[position] ^= change;
            let held = found_in(&place, &changed).is_some_and(|found| found.holds());
            assert!(!held, "byte {position}: {} became {}", content[position], changed[position]);
        }
        let without = [&content[..position], &content[position + 1..]].concat();
        assert!(!found_in(&place, &without).is_some_and(|found| found.holds()), "byte {position} left out");
        let more = [&content[..position], b" ", &content[position..]].concat();
        assert!(
            !found_in(&place, &more).is_some_and(|found| found.holds()),
            "a space before byte {position}"
        );
    }
}

#[test]
fn moved_lines_are_found_and_blamed() {
    let place = Place::new();
    let path = place.certify("run.jsonl", &["--n", "100"]);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let found = |lines: &[&str]| found_in(&place, lines.concat().as_bytes()).unwrap();
    let without = [&lines[..4], &lines[5..]].concat();
    assert!(found(&without).problems.iter().any(|problem| problem.line == 5), "a line removed");
    let twice = [&lines[..5], &lines[4..]].concat();
    assert!(found(&twice).problems.iter().any(|problem| problem.problem.contains("out of order")));
    let mut swapped = lines.clone();
    swapped.swap(3, 7);
    assert!(!found(&swapped).holds());
    let unfinished = &lines[..lines.len() - 1];
    assert_eq!(found(unfinished).problems.len(), 1);
    assert!(found(unfinished).problems[0].problem.contains("12 of 12 inputs and no footer"));
    let more = [&lines[..], &lines[1..2]].concat();
    assert!(!found(&more).holds());
    // One changed digit is blamed on its own line, and on the hash in the footer.
    let one = lines[6].replacen("\"label\":0", "\"label\":1", 1);
    assert_ne!(one, lines[6]);
    let changed = [&lines[..6], &[one.as_str()], &lines[7..]].concat();
    let blamed: Vec<usize> = found(&changed).problems.iter().map(|problem| problem.line).collect();
    assert_eq!(blamed, [7, lines.len()], "{:?}", found(&changed).problems);
}

/// Writes `run.jsonl` anew with changed records, hashes and all, as a forger would.
fn forge(place: &Place, change: impl Fn(&mut Record)) -> PathBuf {
    forgery::forge(place, "run.jsonl", "forged.jsonl", |_, records| records.iter_mut().for_each(change))
}

type Change = fn(&mut Record);

#[test]
fn numbers_that_the_votes_do_not_give_are_found_under_good_hashes() {
    let place = Place::new();
    let path = place.certify("run.jsonl", &["--n", "1000"]);
    let honest = forge(&place, |_| {});
    assert_eq!(fs::read(&honest).unwrap(), fs::read(&path).unwrap());
    let changes: [(&str, Change); 7] = [
        ("its radius is", |record| record.radius = record.radius.next_up()),
        ("its p_lower is", |record| record.p_lower = record.p_lower.next_up()),
        ("its class is", |record| record.class = record.class.map(|class| 1 - class)),
        ("its abstained is", |record| record.abstained = !record.abstained),
        ("the stopping rule does not stop after 1001 samples", |record| record.samples += 1),
        ("its radii in other norms is", |record| record.radii = None),
        ("votes has 3 counts for 2 classes", |record| record.estimation = vec![900, 50, 50].into()),
    ];
    for (expected, change) in changes {
        let found = verify(&forge(&place, change)).unwrap();
        assert!(
            found.problems.iter().any(|problem| problem.problem.contains(expected)),
            "{expected}: {:?}",
            found.problems
        );
    }
    // Twice the radius is caught by the second computation too.
    let found = verify(&forge(&place, |record| record.radius *= 2.0)).unwrap();
    assert!(found.problems.iter().any(|problem| problem.problem.contains("needs a probability of")));
    let found = verify(&forge(&place, |record| record.p_lower = 0.5 + record.p_lower / 2.0)).unwrap();
    assert!(found.problems.iter().any(|problem| problem.problem.contains("have probability")));
}

#[test]
fn votes_that_the_model_does_not_give_are_found_by_replaying() {
    let place = Place::new();
    let path = place.certify("run.jsonl", &["--n", "1000"]);
    let check = |run: &Path, flags: &[&str]| {
        let arguments = [
            &["verify", run.to_str().unwrap(), "--model", "model.onnx", "--data", "data", "--threads", "1"],
            flags,
        ];
        let output = place.run(&arguments.concat());
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (status, text, error) = check(&path, &["--replay", "all"]);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{text}");
    assert!(text.contains("replayed 12 inputs, 13200 samples: every vote is the same"), "{text}");
    let (status, text, _) = check(&path, &["--replay", "3", "--json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, document["replays"].as_array().unwrap().len()), (Some(0), 3));

    // Votes moved to the winner, with bound and radius that follow from them: nothing but the model can tell.
    let evidence = read_evidence(&path).unwrap();
    let better = |record: &mut Record| {
        if let Some(class) = record.class {
            let mut votes = vec![0; 2];
            votes[class] = 1000;
            record.estimation = votes.into();
            forgery::prove(record, &evidence.header).unwrap();
            assert!(!record.abstained);
        }
    };
    let forged = forge(&place, better);
    assert!(verify(&forged).unwrap().holds());
    assert_eq!(check(&forged, &[]).0, Some(0));
    let (status, text, _) = check(&forged, &["--replay", "all"]);
    assert_eq!(status, Some(3));
    assert!(text.contains("votes differ\n"), "{text}");
    // An input has 1,100 samples, of which not all can differ; the worst one decides.
    let worst = text
        .lines()
        .filter(|line| line.starts_with("- input"))
        .filter_map(|line| line.split_once(": ")?.1.split(' ').next()?.parse().ok());
    let worst: u64 = worst.max().unwrap();
    for (allowed, status) in [(worst - 1, 3), (worst, 0)] {
        let (found, text, _) = check(&forged, &["--replay", "all", "--differing", &allowed.to_string()]);
        assert_eq!(found, Some(status), "{text}");
        assert!(
            text.contains(&format!("votes differ; --differing allows up to {allowed} of each input\n")),
            "{text}"
        );
    }
    assert_eq!(check(&forged, &["--differing", "1"]).0, Some(2));
}

#[test]
fn another_model_other_data_and_another_selection_are_found() {
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "100", "--class", "1"]);
    let other = ModelMetadata { training_sigma: Some(0.5), ..ModelMetadata::default() };
    mithridate_onnx::write(&model(&other), place.path("other.onnx")).unwrap();
    let output = place.run(&["verify", "run.jsonl", "--model", "other.onnx"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stdout).unwrap().contains("the SHA-256 of the model's file is"));
    let output = place.run(&["verify", "run.jsonl", "--model", "model.onnx", "--data", "data"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    // The right inputs, left out at will: hashes are good, but the data tell.
    let out = forgery::forge(&place, "run.jsonl", "chosen.jsonl", |header, records| {
        header.subset.count -= 1;
        records.remove(0);
    });
    assert!(verify(&out).unwrap().holds());
    let output = place.run(&["verify", "chosen.jsonl", "--data", "data"]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the selection has 3 inputs in these data, and the header states 2"), "{text}");
    let mut images = fs::read(place.path("data/t10k-images-idx3-ubyte")).unwrap();
    *images.last_mut().unwrap() ^= 1;
    fs::write(place.path("data/t10k-images-idx3-ubyte"), images).unwrap();
    let output = place.run(&["verify", "run.jsonl", "--data", "data"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn tables_are_written_and_audited_beside_evidence() {
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "1000", "--tsv", "run.tsv"]);
    place.certify("other.jsonl", &["--n", "500"]);
    let text = fs::read_to_string(place.path("run.tsv")).unwrap();
    let evidence = read_evidence(&place.path("run.jsonl")).unwrap();
    for (line, record) in text.lines().skip(1).zip(&evidence.records) {
        let cells: Vec<&str> = line.split('\t').collect();
        let radius: f64 = cells[3].parse().unwrap();
        assert!(radius <= record.radius && record.radius < radius + 1e-4, "{line}");
        assert_eq!(cells[2] == "-1", record.abstained);
    }
    let audit = |arguments: &[&str]| {
        let output = place.run(&[&["audit", "--json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let both =
        audit(&["run.jsonl", "run.tsv", "--baseline", "other.jsonl", "--sigma", "0.25", "--n", "1000"]);
    let acr = |run: usize| both["runs"][run]["acr"].as_f64().unwrap();
    assert!(acr(1) <= acr(0) && acr(0) < acr(1) + 1e-4);
    assert_eq!(both["runs"][0]["abstained"], both["runs"][1]["abstained"]);
    assert_eq!(both["runs"][1]["notes"].as_array().unwrap().len(), 1);
    assert_eq!(both["comparisons"].as_array().unwrap().len(), 2);
    // Said to be of fewer samples than it is, its radii are too good to be true.
    let notes = audit(&["run.tsv", "--sigma", "0.25", "--n", "10"])["runs"][0]["notes"].clone();
    assert!(notes[1].as_str().unwrap().starts_with("its largest radius"), "{notes}");
    let output = place.run(&["audit", "run.tsv", "--norm", "linf"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("run does not state the number of values of an input")
    );
    let marked = format!("\u{feff}{text}");
    fs::write(place.path("marked.tsv"), marked).unwrap();
    assert_eq!(audit(&["marked.tsv"])["runs"][0]["acr"].as_f64().unwrap(), acr(1));
    fs::write(place.path("bad.tsv"), text.replace("\tradius", "\tradios")).unwrap();
    let output = place.run(&["audit", "bad.tsv"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        error,
        "rscert: bad.tsv is neither evidence nor a table of results: line 1 has no column 'radius'; the columns are idx, \
         label, predict, radius\n"
    );
}

/// In batches of 1 an answer can't depend on other samples, and the file says so of all its certificates or of none.
#[test]
fn runs_in_batches_of_one_and_others_are_not_mixed() {
    let place = Place::new();
    let flags = |batch: &'static str| ["--n", "200", "--batch", batch];
    for (begun, resumed) in [("1", "64"), ("64", "1")] {
        let out = format!("begun-{begun}.jsonl");
        let run = place.certify(&out, &flags(begun));
        let text = fs::read_to_string(&run).unwrap();
        let end = text.match_indices('\n').nth(3).unwrap().0;
        fs::write(&run, &text[..=end]).unwrap();
        let output = place.command(&out, &[&flags(resumed)[..], &["--resume"]].concat()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains(&format!("batch differs (in the file {begun}, now {resumed})")),
            "{:?} {error}",
            output.status
        );
        place.certify(&out, &[&flags(begun)[..], &["--resume"]].concat());
    }
    for (shard, batch) in [("1/2", "1"), ("2/2", "64")] {
        place.certify(&shard.replace('/', "of"), &[&flags(batch)[..], &["--shard", shard]].concat());
    }
    let output = place.run(&["merge", "1of2", "2of2", "--out", "mixed.jsonl"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("its batch is 64, and 1 in 1of2"), "{error}");
}

/// Votes that were kept and are not there any more have a hash, and a replay makes them all again.
#[test]
fn a_replay_finds_a_wrong_hash_of_votes() {
    let place = Place::new();
    let run = place.certify("kept.jsonl", &["--n", "200", "--keep-votes"]);
    fs::remove_file(votes_path(&run)).unwrap();
    let verified = |name: &str| place.verify_replayed(name, "model.onnx", &[]);
    assert_eq!(verified("kept.jsonl").status.code(), Some(0));
    let forged = forgery::forge(&place, "kept.jsonl", "forged.jsonl", |_, records| {
        records[1].votes_sha256 = Some("00".repeat(32));
    });
    let _ = fs::remove_file(votes_path(&forged));
    let output = verified("forged.jsonl");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(3) && text.contains("1 of "), "{text}");
}
