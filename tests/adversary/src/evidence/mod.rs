//! Evidence that was changed and written anew with good hashes, and what each command must say of it.
//!
//! | part | what was changed |
//! | --- | --- |
//! | `records` | numbers of an input |
//! | `headers` | what all inputs are said to have in common |
//! | `lines` | the text itself |
//! | `others` | what only the model, the data, another run, kept votes or a key can tell |

mod headers;
mod lines;
mod others;
mod records;

use std::{fs, path::Path, time::Duration};

use anyhow::ensure;
use mithridate_runtime::evidence::{Header, Record, votes_path};
use mithridate_testkit::{
    forgery,
    place::zoo_images,
    program::{Ended, Program, certification},
    zoo,
};

const PATIENCE: Duration = Duration::from_mins(2);

/// What is done to honest evidence.
#[derive(Clone, Copy)]
enum Change {
    /// Header and records, which are then written anew, hashes and all.
    Typed(fn(&mut Header, &mut Vec<Record>)),
    /// The text.
    Text(fn(&str) -> Vec<u8>),
    /// Files, in the folder.
    Files(fn(&Path) -> std::io::Result<()>),
}

/// What must be said of it.
#[derive(Clone, Copy, Debug)]
enum Must {
    /// `verify` finds it without another file and says these words; `audit` does not take it.
    Alone(&'static [&'static str]),
    /// `verify` finds it with these flags, and says these words.
    With(&'static [&'static str], &'static [&'static str]),
    /// Nobody can check it: it holds, and these words are in what `verify --json` lists as only stated.
    Stated(&'static [&'static str]),
    /// A command ends with this status and says these words, on either stream.
    Command(&'static [&'static str], i32, &'static [&'static str]),
}

/// Forged evidence, and what must be said of it.
pub struct Entry {
    /// Names it.
    pub name: &'static str,
    /// Kind of forgery.
    pub kind: &'static str,
    /// The honest run it was made from.
    from: &'static str,
    change: Change,
    must: Must,
}

impl Entry {
    fn new(kind: &'static str, name: &'static str, from: &'static str, change: Change, must: Must) -> Self {
        Self { name, kind, from, change, must }
    }
}

/// All forgeries. To add one, add it to the list of its part.
pub fn all() -> Vec<Entry> {
    [records::all(), headers::all(), lines::all(), others::all()].into_iter().flatten().collect()
}

/// Flags of every run.
const SETTINGS: [&str; 8] = ["--sigma", "0.25", "--n0", "50", "--seed", "3", "--batch", "64"];

/// A folder with honest runs.
pub struct Honest(tempfile::TempDir);

/// The honest runs: name, and flags besides. The first is the one most are made from.
const RUNS: [(&str, &[&str]); 8] = [
    ("run.jsonl", &["--n", "1000"]),
    ("adaptive.jsonl", &["--n", "4000", "--stop", "radius:0.05,0.2"]),
    ("uniform.jsonl", &["--n", "1000", "--noise", "uniform"]),
    ("shared.jsonl", &["--n", "1000", "--noise-mode", "shared"]),
    ("claim.jsonl", &["--n", "1000", "--simultaneous"]),
    ("part1.jsonl", &["--n", "1000", "--shard", "1/2"]),
    ("part2.jsonl", &["--n", "1000", "--shard", "2/2"]),
    ("old.jsonl", &["--n", "4000", "--keep-votes"]),
];

impl Honest {
    /// Makes the runs.
    ///
    /// # Errors
    /// If one fails.
    pub fn make(program: &Program) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        fs::create_dir(root.join("data"))?;
        zoo_images(&root.join("data"));
        fs::write(root.join("model.onnx"), mithridate_onnx::to_bytes(&zoo::plain(0)))?;
        let mut changed = zoo::plain(0);
        for tensor in changed.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            // A hundredth more of the bias.
            if tensor.name.as_deref() == Some("bias")
                && let Some(bytes) = &mut tensor.raw_data
            {
                let first = 0.1_f32.to_le_bytes();
                bytes[..4].copy_from_slice(&first);
            }
        }
        fs::write(root.join("changed.onnx"), mithridate_onnx::to_bytes(&changed))?;
        let honest = Self(folder);
        let root = honest.0.path();
        for (out, flags) in RUNS {
            let flags = [&["--threads", "1", "--out", out], &SETTINGS[..], flags].concat();
            succeed(program, root, &certification("model.onnx", "data", &flags))?;
        }
        let recertify = ["recertify", "--from", "old.jsonl", "--model", "changed.onnx", "--data", "data"];
        let flags = ["--n", "2000", "--seed", "5", "--batch", "64", "--threads", "1", "--out", "new.jsonl"];
        succeed(program, root, &[&recertify[..], &flags].concat())?;
        for (run, _) in RUNS {
            succeed(program, root, &["verify", run])?;
            succeed(program, root, &["audit", run])?;
        }
        succeed(program, root, &["verify", "new.jsonl", "--from", "old.jsonl"])?;
        Ok(honest)
    }
}

fn succeed(program: &Program, root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let Ended { status, output, errors } = program.run(root, arguments, PATIENCE)?;
    ensure!(status == Some(0), "`rscert {}` ended with {status:?}: {output}{errors}", arguments.join(" "));
    Ok(())
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// Makes a forgery and compares what is said of it with what must be.
///
/// # Errors
/// What was said instead.
pub fn check(program: &Program, honest: &Honest, entry: &Entry) -> Result<String, String> {
    let text = |error: &dyn std::fmt::Display| format!("{error:#}");
    let folder = tempfile::tempdir().map_err(|error| text(&error))?;
    let root = folder.path();
    copy(honest.0.path(), root).map_err(|error| text(&error))?;
    forge(root, entry).map_err(|error| text(&error))?;
    let run = |arguments: &[&str]| {
        let Ended { status, output, errors } =
            program.run(root, arguments, PATIENCE).map_err(|error| text(&error))?;
        if errors.contains("panicked") || output.contains('\u{1b}') || errors.contains('\u{1b}') {
            return Err(format!("it panicked, or wrote control characters: {errors}"));
        }
        Ok((status, output, errors))
    };
    let expect = |arguments: &[&str], wanted: i32, words: &[&str]| {
        let (status, output, errors) = run(arguments)?;
        let said = format!("{output}{errors}");
        if status != Some(wanted) {
            return Err(format!(
                "`rscert {}` ended with {status:?} and not {wanted}: {said}",
                arguments.join(" ")
            ));
        }
        match words.iter().find(|&&words| !said.contains(words)) {
            Some(words) => Err(format!("'{words}' is not in: {said}")),
            None => Ok(said
                .lines()
                .find(|line| line.starts_with('-'))
                .or(said.lines().next())
                .unwrap_or("")
                .to_owned()),
        }
    };
    match entry.must {
        Must::Alone(words) => {
            let said = expect(&["verify", FORGED], 3, words)?;
            let (status, _, errors) = run(&["audit", FORGED])?;
            if status != Some(1) || errors.lines().count() != 1 {
                return Err(format!("`rscert audit` ended with {status:?}: {errors}"));
            }
            Ok(said)
        }
        Must::With(flags, words) => expect(&[&["verify", FORGED], flags].concat(), 3, words),
        Must::Stated(words) => {
            let (status, output, errors) = run(&["verify", FORGED, "--json"])?;
            let document: serde_json::Value = serde_json::from_str(&output).map_err(|error| text(&error))?;
            let stated = document["stated"].to_string();
            if status != Some(0) {
                return Err(format!("it ended with {status:?}: {output}{errors}"));
            }
            match words.iter().find(|&&words| !stated.contains(words)) {
                Some(words) => Err(format!("'{words}' is not among what is only stated: {stated}")),
                None => Ok(format!("only stated: {}", words.join(", "))),
            }
        }
        Must::Command(arguments, status, words) => expect(arguments, status, words),
    }
}

const FORGED: &str = "forged.jsonl";

fn forge(root: &Path, entry: &Entry) -> anyhow::Result<()> {
    let (from, to) = (root.join(entry.from), root.join(FORGED));
    match entry.change {
        Change::Text(change) => fs::write(&to, change(&fs::read_to_string(&from)?))?,
        Change::Files(change) => {
            fs::copy(&from, &to)?;
            change(root)?;
        }
        Change::Typed(change) => forgery::rewrite(&from, &to, change)?,
    }
    if votes_path(&from).exists() && !matches!(entry.change, Change::Files(_)) {
        fs::copy(votes_path(&from), votes_path(&to))?;
    }
    Ok(())
}

/// Sets what follows from the votes of a record, as a forger would who knows the code; nothing where nothing follows.
fn follow(header: &Header, record: &mut Record) {
    let _ = forgery::prove(record, header);
}

/// Sets a radius, with those in other norms.
fn set_radius(header: &Header, record: &mut Record, radius: f64) {
    record.radius = radius;
    record.radii = Some(header.radii(radius));
    record.abstained = false;
}
