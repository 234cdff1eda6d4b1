//! What has no end, or waits for somebody: devices and pipes wherever a file is read.

use std::{path::Path, process::Command, time::Duration};

use mithridate_testkit::{
    place::{place, put},
    processes::Watched,
    program::rscert,
};

use super::{certify, sentences};

/// A named pipe that nobody writes to.
fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Fails if the command does not end by itself.
fn ends(folder: &Path, arguments: &[&str]) {
    let mut child = Watched::start(rscert(folder, arguments));
    child.ends_within(Duration::from_secs(30), &format!("{arguments:?}"));
}

#[test]
fn of_what_has_no_end() {
    let folder = place();
    let root = folder.path();
    for name in ["pipe", "pipe.png", "pipe.npz", "pipe.npy", "pipe.bin"] {
        pipe(&root.join(name));
    }
    put(root, "class/a/read.txt", b"");
    std::fs::remove_file(root.join("class/a/read.txt")).unwrap();
    pipe(&root.join("class/a/1.png"));
    std::fs::create_dir(root.join("idx")).unwrap();
    pipe(&root.join("idx/images"));
    pipe(&root.join("idx/labels"));
    let cases = [
        ("an audit of zeros", vec!["audit", "/dev/zero"]),
        ("an audit of a pipe", vec!["audit", "pipe"]),
        ("verifying zeros", vec!["verify", "/dev/zero"]),
        ("merging zeros", vec!["merge", "/dev/zero", "--out", "merged.jsonl"]),
        ("inspecting zeros", vec!["inspect", "/dev/zero"]),
        ("inspecting a pipe", vec!["inspect", "pipe"]),
        ("measuring zeros", vec!["bench", "--model", "/dev/zero"]),
        ("a model of zeros", certify(&["--model", "/dev/zero"])),
        ("data of zeros", certify(&["--data", "/dev/zero"])),
        ("an image that is a pipe", certify(&["--data", "pipe.png"])),
        ("an npz file that is a pipe", certify(&["--data", "pipe.npz"])),
        ("an npy file that is a pipe", certify(&["--data", "pipe.npy"])),
        ("a CIFAR file that is a pipe", certify(&["--data", "pipe.bin"])),
        ("an IDX file that is a pipe", certify(&["--data", "idx/images"])),
        ("an image of a class that is a pipe", certify(&["--data", "class"])),
        ("resuming zeros", certify(&["--resume", "--out", "/dev/zero"])),
        ("resuming a pipe", certify(&["--resume", "--out", "pipe"])),
    ];
    for (_, arguments) in &cases {
        ends(root, arguments);
    }
    insta::assert_snapshot!(sentences(root, &cases));
}
