//! Hostile and odd models, each with what must happen when `rscert certify` gets it.
//!
//! | part | models |
//! | --- | --- |
//! | `mixing` | whose answer to an input depends on the others of its batch, openly or hidden |
//! | `random` | that draw numbers, or are in training mode |
//! | `outputs` | whose output is no score for each class, or that say two things |
//! | `numbers` | with logits that are infinite, no number, equal, constant, huge, or rounded |
//! | `files` | whose file is made to do harm |
//! | `forms` | that are odd and right |

mod files;
mod forms;
mod mixing;
mod net;
mod numbers;
mod outputs;
mod random;

use std::{fs, path::Path, sync::OnceLock, time::Duration};

use anyhow::{Context, ensure};
use mithridate_onnx::messages::ModelProto;
use mithridate_runtime::evidence::{Evidence, read_evidence};
use mithridate_testkit::{
    place::zoo_images,
    program::{Ended, Program, certification},
    zoo,
};

pub use net::write_linear;

/// Longest that a model may take; one that never ends is given less by its flags.
const PATIENCE: Duration = Duration::from_mins(1);
/// Estimation samples of an input.
const N: u64 = 400;

/// What must happen to a model.
#[derive(Clone, Copy, Debug)]
pub enum Must {
    /// Certified. For each input at most this number of votes differs from those of the plain classifier, by rounding.
    Votes(u64),
    /// As [`Votes`](Self::Votes), and the evidence has these class labels, by which the labels of the data are numbered;
    /// or refused with a message about labels.
    Labelled([usize; zoo::CLASSES]),
    /// Never certified in batches: refused, stopped, or certified one input at a time. If a number is given, at most this
    /// number of votes of an input differs from those of the plain classifier.
    NotBatched(Option<u64>),
    /// Refused before the run, with one sentence that contains all of these words.
    Refused(&'static [&'static str]),
    /// Stopped in one sentence that names the sample and the way out.
    Stopped,
    /// Certified, and more is asked of the evidence.
    Certified(fn(&Evidence) -> Result<(), String>),
}

/// A model and what must happen.
#[derive(Debug)]
pub struct Entry {
    /// Names it.
    pub name: String,
    /// Kind of fault, or oddness.
    pub kind: &'static str,
    /// The file.
    file: Vec<u8>,
    /// Other files in its folder.
    beside: Vec<(&'static str, Vec<u8>)>,
    /// A link in its folder, and where it leads.
    link: Option<(&'static str, &'static str)>,
    /// σ.
    sigma: &'static str,
    /// Flags of `rscert certify` besides.
    flags: Vec<&'static str>,
    /// What must happen.
    pub must: Must,
}

impl Entry {
    fn new(kind: &'static str, name: impl Into<String>, model: &ModelProto, must: Must) -> Self {
        Self::of_bytes(kind, name, mithridate_onnx::to_bytes(model), must)
    }

    fn of_bytes(kind: &'static str, name: impl Into<String>, file: Vec<u8>, must: Must) -> Self {
        let (beside, link, sigma, flags) = (Vec::new(), None, "0.25", Vec::new());
        Self { name: name.into(), kind, file, beside, link, sigma, flags, must }
    }

    fn flags(self, flags: &[&'static str]) -> Self {
        Self { flags: flags.to_vec(), ..self }
    }

    fn sigma(self, sigma: &'static str) -> Self {
        Self { sigma, ..self }
    }

    fn beside(mut self, name: &'static str, content: Vec<u8>) -> Self {
        self.beside.push((name, content));
        self
    }

    fn link(self, name: &'static str, target: &'static str) -> Self {
        Self { link: Some((name, target)), ..self }
    }
}

/// All models. To add one, add it to the list of its part.
pub fn all() -> Vec<Entry> {
    [mixing::all(), random::all(), outputs::all(), numbers::all(), files::all(), forms::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// What became of a model.
enum Outcome {
    Certified(Box<Evidence>),
    /// The sentence.
    Refused(String),
}

/// Runs a model and compares what happened with what must.
///
/// # Errors
/// What happened instead.
pub fn check(program: &Program, entry: &Entry) -> Result<String, String> {
    let outcome = run(program, entry).map_err(|error| format!("{error:#}"))?;
    let (what, evidence) = match &outcome {
        Outcome::Certified(evidence) => (summary(evidence), Some(&**evidence)),
        Outcome::Refused(sentence) => (sentence.clone(), None),
    };
    let is_as_asked = match (entry.must, evidence) {
        (Must::Votes(slack), Some(evidence)) => same_votes(program, evidence, slack),
        (Must::Labelled(labels), Some(evidence)) => {
            same_votes(program, evidence, 0).and_then(|()| same_labels(program, evidence, &labels))
        }
        (Must::Labelled(_), None) => contains(&what, &["label"]),
        (Must::NotBatched(slack), Some(evidence)) => {
            let batch = evidence.header.execution.plan.batch;
            if batch != 1 {
                Err(format!("it was certified in batches of {batch}"))
            } else if let Some(slack) = slack {
                same_votes(program, evidence, slack)
            } else {
                Ok(())
            }
        }
        (Must::NotBatched(_), None) => Ok(()),
        (Must::Refused(words), None) => contains(&what, words),
        (Must::Stopped, None) => contains(&what, &["sample ", "of input ", "--batch 1"]),
        (Must::Certified(check), Some(evidence)) => check(evidence),
        _ => Err("that is not what must happen".to_owned()),
    };
    is_as_asked.map_err(|problem| format!("{problem}: {what}"))?;
    Ok(what)
}

fn contains(text: &str, words: &[&str]) -> Result<(), String> {
    match words.iter().find(|&&words| !text.contains(words)) {
        Some(words) => Err(format!("'{words}' is not in its sentence")),
        None => Ok(()),
    }
}

fn summary(evidence: &Evidence) -> String {
    let footer = &evidence.footer;
    let batch = evidence.header.execution.plan.batch;
    format!("certified {} of {} inputs, batch {batch}", footer.certified, footer.inputs)
}

fn run(program: &Program, entry: &Entry) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    zoo_images(root);
    fs::write(root.join("model.onnx"), &entry.file)?;
    for (name, content) in &entry.beside {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, content)?;
    }
    #[cfg(unix)]
    if let Some((name, target)) = entry.link {
        std::os::unix::fs::symlink(target, root.join(name))?;
    }
    certify(program, root, entry.sigma, &entry.flags)
}

fn certify(program: &Program, root: &Path, sigma: &str, flags: &[&str]) -> anyhow::Result<Outcome> {
    let n = N.to_string();
    let settings = ["--out", "run.jsonl", "--sigma", sigma, "--n", &n, "--n0", "50", "--seed", "3"];
    let batch: &[&str] = if flags.contains(&"--batch") { &[] } else { &["--batch", "64"] };
    let flags = [&settings[..], &["--threads", "1"], batch, flags].concat();
    let Ended { status, errors, .. } =
        program.run(root, &certification("model.onnx", ".", &flags), PATIENCE)?;
    ensure!(!errors.contains("panicked"), "it panicked: {errors}");
    let sentences: Vec<&str> = errors.lines().filter(|line| !line.starts_with("rscert: note: ")).collect();
    let path = root.join("run.jsonl");
    match status {
        Some(0) => {
            ensure!(sentences.is_empty(), "it was certified with an error: {errors}");
            let evidence = read_evidence(&path).context("its evidence can't be read")?;
            Ok(Outcome::Certified(Box::new(evidence)))
        }
        Some(1) => {
            ensure!(sentences.len() == 1, "it ended in no single sentence: {errors}");
            ensure!(read_evidence(&path).is_err(), "it left finished evidence and ended in: {errors}");
            Ok(Outcome::Refused(sentences[0].trim_start_matches("rscert: ").to_owned()))
        }
        None => anyhow::bail!("it was still running after {} s", PATIENCE.as_secs()),
        Some(status) => anyhow::bail!("it ended with status {status}: {errors}"),
    }
}

/// The run of the plain classifier.
fn plain(program: &Program) -> Result<&'static Evidence, String> {
    static PLAIN: OnceLock<Result<Evidence, String>> = OnceLock::new();
    let plain = PLAIN.get_or_init(|| {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        zoo_images(folder.path());
        mithridate_onnx::write(&zoo::plain(0), folder.path().join("model.onnx"))
            .map_err(|error| error.to_string())?;
        match certify(program, folder.path(), "0.25", &[]) {
            Ok(Outcome::Certified(evidence)) => Ok(*evidence),
            Ok(Outcome::Refused(sentence)) => Err(format!("the plain classifier is refused: {sentence}")),
            Err(error) => Err(format!("{error:#}")),
        }
    });
    plain.as_ref().map_err(Clone::clone)
}

/// Compares votes with those of the plain classifier for the same noise.
fn same_votes(program: &Program, evidence: &Evidence, slack: u64) -> Result<(), String> {
    for (record, expected) in evidence.records.iter().zip(&plain(program)?.records) {
        let (votes, found) = (expected.estimation.by_class(), record.estimation.by_class());
        let differing: u64 = votes
            .iter()
            .enumerate()
            .map(|(class, votes)| found.get(class).map_or(N, |found| found.abs_diff(*votes)))
            .sum();
        if differing > 2 * slack {
            return Err(format!("input {} has votes {found:?} and not {votes:?}", record.index));
        }
    }
    Ok(())
}

/// Looks whether evidence has these labels of the classes, and whether the labels of the inputs are numbered by them.
fn same_labels(program: &Program, evidence: &Evidence, labels: &[usize]) -> Result<(), String> {
    let named = &evidence.header.model.r#use.class_labels;
    if *named != labels.iter().map(usize::to_string).collect::<Vec<_>>() {
        return Err(format!("the evidence has the class labels {named:?}"));
    }
    for (record, expected) in evidence.records.iter().zip(&plain(program)?.records) {
        let label = expected.label.and_then(|label| labels.iter().position(|&name| name == label));
        if record.label != label {
            return Err(format!(
                "the label of input {} is {:?} and not {label:?}",
                record.index, record.label
            ));
        }
    }
    Ok(())
}
