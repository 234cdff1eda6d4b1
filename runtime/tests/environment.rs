//! What surrounds a run and is not its business: nothing is reported or left anywhere, nobody need listen to what is said
//! beside the results, and what the system refuses ends in a sentence.

#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    io::Read,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Stdio},
};

use mithridate_testkit::{
    place::{place, png, put},
    program::{self, rscert},
};

/// A short run, with flags beside the usual ones.
fn certify(folder: &Path, flags: &[&str]) -> Command {
    program::certify(folder, &[&["--sigma", "0.25", "--n", "200", "--seed", "1"], flags].concat())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_reported_to_anybody_and_nothing_left() {
    let folder = place();
    let root = folder.path();
    for name in ["home", "temporary"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    let before = names(root);
    let mut command = certify(root, &["--out", "run.jsonl"]);
    command.env_remove("ORT_DISABLE_TELEMETRY").env_remove("XDG_CACHE_HOME");
    command.env("HOME", root.join("home")).env("TMPDIR", root.join("temporary"));
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    // ONNX Runtime keeps there what it is to report, and in the log that it is.
    assert!(!std::env::temp_dir().join(format!("mat-debug-{}.log", child.id())).exists());
    assert!(names(&root.join("home")).is_empty() && names(&root.join("temporary")).is_empty());
    let mut after = names(root);
    after.retain(|name| name != "run.jsonl");
    assert_eq!(after, before);
}

/// A pipe that nobody reads.
fn unread() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

#[test]
fn a_run_goes_on_when_nobody_hears_its_notes() {
    let folder = place();
    let root = folder.path();
    put(root, "one.png", &png(2, 2, &[200, 190, 20, 10]));
    let full = || File::options().write(true).open("/dev/full").map_or_else(|_| unread(), Stdio::from);
    for (out, errors) in [("full.jsonl", full()), ("unread.jsonl", unread())] {
        // The true class is not known, which is said on standard error.
        let run = ["certify", "--model", "model.onnx", "--data", "one.png", "--sigma", "0.25", "--n", "200"];
        let output = rscert(root, &run).args(["--seed", "1", "--out", out]).stderr(errors).output().unwrap();
        assert!(output.status.success() && root.join(out).exists(), "{out}: {}", output.status);
    }
    // An error keeps its exit status.
    let failed = ["--precision", "tf32", "--out", "none.jsonl"];
    let output = certify(root, &failed).stderr(unread()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_name_that_is_no_text_is_no_obstacle() {
    let folder = place();
    let root = folder.path();
    let out = std::ffi::OsStr::from_bytes(b"o\xff.jsonl");
    let output = certify(root, &["--json", "--out"]).arg(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["evidence"], "o\u{fffd}.jsonl");
    let output = rscert(root, &["verify", "--json"]).arg(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn threads_that_the_system_refuses_end_the_run_in_a_sentence() {
    let folder = place();
    for flags in [
        &["--threads", "1"][..],
        &["--threads", "2"],
        &["--threads", "2", "--batch", "64"],
        &["--threads", "2", "--noise-mode", "shared", "--smoothing-graph"],
    ] {
        // No address space holds such a stack.
        let mut command = certify(folder.path(), &[flags, &["--out", "run.jsonl"]].concat());
        let output = command.env("RUST_MIN_STACK", (1_u64 << 50).to_string()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {error}");
        assert!(
            error.contains("a thread can't be started") && error.lines().count() == 1,
            "{flags:?}: {error}"
        );
        let _ = fs::remove_file(folder.path().join("run.jsonl"));
    }
}

#[test]
fn parts_that_can_not_be_joined_leave_nothing() {
    let folder = place();
    let root = folder.path();
    for part in ["1", "2"] {
        let output = certify(
            root,
            &["--keep-votes", "--shard", &format!("{part}/2"), "--out", &format!("{part}.jsonl")],
        )
        .output()
        .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let merge = || rscert(root, &["merge", "1.jsonl", "2.jsonl", "--out", "whole.jsonl"]).output().unwrap();
    let good = fs::read(root.join("2.jsonl.votes")).unwrap();
    let mut bad = good.clone();
    bad[8] ^= 0x40;
    put(root, "2.jsonl.votes", &bad);
    let before = names(root);
    assert_eq!(merge().status.code(), Some(1));
    assert_eq!(names(root), before);
    put(root, "2.jsonl.votes", &good);
    assert!(merge().status.success());
    assert_eq!(names(root).len(), before.len() + 2);
    let verify = ["verify", "whole.jsonl", "--model", "model.onnx", "--data", "data", "--replay", "all"];
    assert!(rscert(root, &verify).output().unwrap().status.success());
    let again = merge();
    let error = String::from_utf8_lossy(&again.stderr);
    assert!(error.ends_with("whole.jsonl exists; remove it, or choose another name with --out\n"), "{error}");

    // Bytes after the last votes are somebody else's.
    let mut votes = fs::read(root.join("whole.jsonl.votes")).unwrap();
    votes.extend(b"more");
    put(root, "whole.jsonl.votes", &votes);
    let output = rscert(root, &verify).output().unwrap();
    let mut said = String::new();
    output.stdout.as_slice().read_to_string(&mut said).unwrap();
    assert!(output.status.code() == Some(3) && said.contains("the votes of the run take"), "{said}");
}

#[test]
fn bytes_that_are_no_text_and_parts_without_inputs_get_a_verdict() {
    let folder = place();
    let root = folder.path();
    for (out, shard) in [("run.jsonl", "1/1"), ("empty.jsonl", "4/4")] {
        let output = certify(root, &["--shard", shard, "--out", out]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let verify = ["verify", out, "--model", "model.onnx", "--data", "data", "--replay", "all"];
        let output = rscert(root, &verify).output().unwrap();
        assert!(output.status.success(), "{out}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let good = fs::read(root.join("run.jsonl")).unwrap();
    let second = good.iter().position(|&byte| byte == b'\n').unwrap() + 30;
    for (at, line) in [(20, 1), (second, 2)] {
        let mut bad = good.clone();
        bad[at] ^= 0x80;
        put(root, "bad.jsonl", &bad);
        let output = rscert(root, &["verify", "bad.jsonl"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(&format!("line {line}: it contains bytes that are not UTF-8 text")), "{said}");
    }
}
