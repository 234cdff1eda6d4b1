use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use anyhow::{Context, ensure};
use clap::Args;
use mithridate_onnx::ModelFile;
use serde_json::json;

use super::{
    data::{SplitArgument, open_certified},
    device::DeviceArguments,
    fresh,
    model::{ModelArguments, ReadingArguments},
    note,
    origin::{self, Origin, OriginArguments},
};
use crate::{
    backend::{OnnxModel, OnnxRuntime, Reading},
    certify::{Certifier, Input, Settings, StoppingRule, Vote},
    data::{Dataset, sha256},
    evidence::{
        Change, Evidence, EvidenceError, ExternalSource, FreshComparison, Header, KeptVotes, Problem, Record,
        Replay, Verification, read_evidence, replayed, verify, votes_path,
    },
    noise::{NoiseMode, seed_from_os},
    terminal::{self, Progress, printable},
    units::parse_count,
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert verify run.jsonl --model lenet.onnx --data data/mnist --replay 5

Exit status: 0 everything holds, 1 an error, 2 wrong usage, 3 something does not hold")]
pub(super) struct Arguments {
    /// The evidence file
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The model: is it the one that was certified?
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The data set: is it the one whose images were certified, and are these the inputs that the header names?
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Part of the data set, if it is a folder
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// The run of the earlier model that these certificates rest on: check that it is the one, and its bounds
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Run the noise of so many inputs, chosen at random, through the model again and compare the votes; or of all
    #[arg(long, value_name = "K|all", requires_all = ["model", "data"])]
    replay: Option<Share>,
    /// Let up to so many votes of a replayed input differ, as another provider or version of the engine rounds otherwise
    #[arg(long, value_name = "N", default_value_t = 0, requires = "replay")]
    differing: u64,
    /// Certify so many inputs, chosen at random, anew with a seed that is drawn now, and compare the votes; or all inputs
    #[arg(long, value_name = "K|all", requires_all = ["model", "data"])]
    fresh_seed: Option<Share>,
    #[command(flatten)]
    origin: OriginArguments,
    #[command(flatten)]
    device: DeviceArguments,
    /// Threads to use on the processor [default: all]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// How many inputs to replay.
#[derive(Clone, Copy)]
enum Share {
    All,
    Some(usize),
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" { Ok(Self::All) } else { parse_count(text).map(Self::Some) }
    }
}

impl Arguments {
    /// How to run a model, as evidence says it is to be read.
    fn of_model(&self, path: &Path) -> ModelArguments {
        let (device, threads, reading) = (self.device, self.threads, ReadingArguments::default());
        ModelArguments { model: path.to_owned(), device, batch: None, threads, reading }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut found = verify(&arguments.run)?;
    if let Some(model) = &arguments.model {
        let file = ModelFile::read(model)?;
        found.check_model(&sha256(&file.bytes), &ExternalSource::of(&file));
    }
    if found.header.as_ref().is_some_and(|header| header.keeps_votes) {
        let votes = votes_path(&arguments.run);
        if votes.exists() {
            found.check_votes(&votes);
        } else {
            note(&format!("the votes one by one are not checked, because there is no {}", votes.display()));
        }
    }
    if let Some(from) = &arguments.from {
        found.check_from(from)?;
    } else if found.header.as_ref().is_some_and(|header| header.recertification.is_some()) {
        note(
            "bounds of the earlier model, and votes that changed, are taken as they are; check them with --from",
        );
    }
    let origin = origin::check(&arguments.run, &arguments.origin, &mut found)?;
    let data = match (&arguments.data, &found.header) {
        (Some(path), Some(header)) => Some(open_certified(path, arguments.split, header, &found.records)?),
        _ => None,
    };
    if let Some(data) = &data {
        found.check_data(data);
    }
    let replays = match (arguments.replay, &arguments.model, &data, &found.header) {
        (Some(_), ..) if !found.holds() => {
            note("nothing is replayed, because the file does not hold as it is");
            Vec::new()
        }
        (Some(share), Some(model), Some(data), Some(header)) => {
            replay(arguments, share, model, data, header, &found.records)?
        }
        _ => Vec::new(),
    };
    let fresh = match (arguments.fresh_seed, &arguments.model, &data, &found.header) {
        (Some(_), ..) if !found.holds() => {
            note("nothing is certified anew, because the file does not hold as it is");
            None
        }
        (Some(share), Some(model), Some(data), Some(header)) => {
            let chosen = choose(share, &found.records)?;
            Some(fresh::compare(&arguments.of_model(model), data, header, &chosen)?)
        }
        _ => None,
    };
    let is_compatible = fresh.as_ref().is_none_or(FreshComparison::is_compatible);
    let holds = found.holds()
        && is_compatible
        && replays.iter().all(|replay| replay.differing <= arguments.differing);
    print(arguments, &found, &origin, &replays, fresh.as_ref(), holds)?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Certifies inputs again, with the noise that their keys stand for.
fn replay(
    arguments: &Arguments,
    share: Share,
    path: &Path,
    data: &Dataset,
    header: &Header,
    records: &[Record],
) -> anyhow::Result<Vec<Replay>> {
    let chosen = choose(share, records)?;
    let device = arguments.device;
    let arguments_of_model = arguments.of_model(path);
    let runtime = OnnxRuntime::load()?;
    let model = OnnxModel::open(&runtime, path, &Reading::of(header))?;
    ensure!(
        model.classes() == header.model.classes,
        "{} has {} classes and the evidence is of {}",
        path.display(),
        model.classes(),
        header.model.classes
    );
    let engine = format!("ONNX Runtime {}", runtime.version());
    let (provider, precision) =
        (device.provider.to_string(), device.device(1).precision_of(model.precision()));
    let used = &header.execution;
    if engine != used.engine || provider != used.provider || precision != used.precision {
        note(&format!(
            "the votes were made by {} on {} in {}, and are made again by {engine} on {provider} in \
             {precision}, which may round otherwise; a few differing votes then mean little",
            used.engine, used.provider, used.precision
        ));
    }
    let mode = header.noise.mode;
    // A bank holds the noise of one seed, and inputs that rest on an earlier model have another.
    let shared = match (mode, &header.recertification) {
        (NoiseMode::Shared, None) => header.settings.shared_noise(),
        _ => None,
    };
    let samples: u64 = chosen.iter().map(|record| header.settings.n0.saturating_add(record.samples)).sum();
    let ready = arguments_of_model.ready(runtime, model, shared.as_ref(), samples)?;
    let mut progress = Progress::new("replaying", samples, "samples");
    let mut instances = ready.instances;
    let mut replays = Vec::new();
    let mut earlier = match &arguments.from {
        Some(from) => Some(EarlierVotes::open(from)?),
        None => None,
    };
    // Without a sample there is no certificate either.
    for record in chosen.iter().filter(|record| record.samples > 0) {
        let input =
            Input { index: record.index, label: record.label, image: data.image(record.index as usize) };
        // Whenever the run stopped, these are the samples that it had.
        let seed = match (&header.recertification, &record.change) {
            (Some(from), Some(_)) => from.seed,
            _ => header.settings.seed,
        };
        let settings =
            Settings { n: record.samples, stop: StoppingRule::Fixed, seed, ..header.settings.clone() };
        let mut certifier = Certifier::new(instances, settings, ready.plan.batch)?;
        certifier.set_noise_mode(mode);
        certifier.keep_votes();
        certifier.certify_with_votes(
            std::iter::once(input),
            |samples| progress.advance(samples),
            |mut again, votes| {
                // The class was chosen by the earlier model.
                if header.recertification.is_some() {
                    again.selection = record.selection.clone();
                }
                let mut replay = replayed(record, &again, header.settings.n0);
                if let (Some(earlier), Some(change)) = (&mut earlier, &record.change) {
                    let before = earlier.votes_of(record.index).map_err(std::io::Error::other)?;
                    let counted = Change::new(
                        record.class.unwrap_or_default(),
                        change.p_lower,
                        &before,
                        &votes.unwrap_or_default(),
                    );
                    let wrong =
                        counted.lost.abs_diff(change.lost).max(counted.changed.abs_diff(change.changed));
                    replay.differing = replay.differing.max(wrong);
                }
                replays.push(replay);
                Ok(())
            },
        )?;
        instances = certifier.into_models();
    }
    progress.finish();
    Ok(replays)
}

/// Votes of the run of an earlier model.
struct EarlierVotes {
    evidence: Evidence,
    kept: KeptVotes,
}

impl EarlierVotes {
    fn open(run: &Path) -> anyhow::Result<Self> {
        Ok(Self { evidence: read_evidence(run)?, kept: KeptVotes::open(&votes_path(run))? })
    }

    fn votes_of(&mut self, index: u64) -> Result<Vec<Vote>, EvidenceError> {
        let record = self.evidence.records.iter().find(|record| record.index == index);
        let (samples, hash) =
            record.map_or((0, None), |record| (record.samples, record.votes_sha256.as_deref()));
        self.kept.get(index, samples, hash)
    }
}

/// Inputs to replay, in order. Nobody who wrote the file can have known which.
fn choose(share: Share, records: &[Record]) -> anyhow::Result<Vec<&Record>> {
    let count = match share {
        Share::All => records.len(),
        Share::Some(count) => count.min(records.len()),
    };
    let mut order: Vec<usize> = (0..records.len()).collect();
    for position in 0..count {
        let drawn = seed_from_os().context("cannot draw which inputs to replay; replay all")?;
        let left = (records.len() - position) as u64;
        order.swap(position, position + (drawn % left) as usize);
    }
    let mut chosen = order[..count].to_vec();
    chosen.sort_unstable();
    Ok(chosen.into_iter().map(|position| &records[position]).collect())
}

fn listed(found: &Verification) -> String {
    let mut text = String::new();
    for Problem { line, problem } in &found.problems {
        let place = if *line == 0 { String::new() } else { format!("line {line}: ") };
        text += &format!("- {place}{}\n", printable(problem));
    }
    text
}

fn print(
    arguments: &Arguments,
    found: &Verification,
    origin: &Origin,
    replays: &[Replay],
    fresh: Option<&FreshComparison>,
    holds: bool,
) -> anyhow::Result<()> {
    if arguments.json {
        let document = json!({
            "evidence": arguments.run.to_string_lossy(),
            "holds": holds,
            "inputs": found.records.len(),
            "chain": found.chain,
            "problems": found.problems,
            "origin": origin,
            "replays": replays,
            "differing_allowed": arguments.replay.map(|_| arguments.differing),
            "fresh": fresh,
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let name = printable(&arguments.run.display().to_string());
    let mut text = String::new();
    if found.holds() {
        text += &format!(
            "{name}: all {} inputs hold: form, chain, order, totals, and class, bound and radius of each, computed again \
             from the votes\n",
            found.records.len()
        );
    } else {
        text += &format!("{name}: {} things do not hold\n{}", found.problems.len(), listed(found));
    }
    if found.holds() {
        let is_labelled = found.header.as_ref().is_some_and(|header| !header.data.labels_sha256.is_empty());
        let data = if is_labelled {
            "the images, labels and selection of inputs are those certified"
        } else {
            "the images and the selection of inputs are those certified; their true classes are not known"
        };
        for (given, what) in
            [(arguments.model.is_some(), "the model is the one certified"), (arguments.data.is_some(), data)]
        {
            text += if given { what } else { continue };
            text += "\n";
        }
    }
    if replays.is_empty() && arguments.replay.is_some() && found.holds() {
        text += "nothing to replay: none of the inputs chosen has a sample behind its bound\n";
    }
    if !replays.is_empty() {
        let samples: u64 = replays.iter().map(|replay| replay.samples).sum();
        let differing: u64 = replays.iter().map(|replay| replay.differing).sum();
        text += &format!("replayed {} inputs, {samples} samples: ", replays.len());
        text += &if differing == 0 {
            "every vote is the same\n".to_owned()
        } else {
            let allowed = match arguments.differing {
                0 => String::new(),
                most => format!("; up to {most} of each input may, by --differing"),
            };
            format!("{differing} votes differ{allowed}\n")
        };
        for Replay { index, differing, samples } in replays.iter().filter(|replay| replay.differing > 0) {
            text += &format!("- input {index}: {differing} of {samples} votes differ\n");
        }
    }
    text += &fresh.map(fresh::describe).unwrap_or_default();
    for sentence in origin.checked.iter().chain(&origin.stated) {
        text += &format!("{}\n", printable(sentence));
    }
    for sentence in &origin.not_checked {
        text += &format!("not checked: {}\n", printable(sentence));
    }
    text += &format!("result {}\n", found.chain);
    Ok(terminal::print(&text)?)
}
