use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use mithridate_onnx::ModelFile;
use serde_json::{Value, json};

use super::{
    data::{SplitArgument, open_certified},
    device::DeviceArguments,
    fresh,
    model::model_source,
    note,
    origin::{self, OriginArguments},
    probe::ProbeArguments,
    replay::{Opened, Replayed, Share, state_cost},
};
use crate::{
    backend::BackendError,
    certify::CertifyError,
    data::{DataError, Dataset},
    evidence::{
        Check, FreshComparison, Header, KeptVotes, Problem, Record, Replay, Verification, verify, votes_path,
    },
    terminal::{self, printable},
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
    /// The earlier model: is it the one of that run? With --replay, the noise of that run goes through it again too
    #[arg(long, value_name = "FILE", requires = "from")]
    from_model: Option<PathBuf>,
    /// Run the noise of so many inputs, chosen at random, through the model again and compare the votes; or of all
    #[arg(long, value_name = "K|all", requires_all = ["model", "data"])]
    replay: Option<Share>,
    /// Let up to so many votes of a replayed input differ, as another provider or version of the engine rounds otherwise
    #[arg(long, value_name = "N", default_value_t = 0, requires = "replay")]
    differing: u64,
    /// Most samples to replay; more are refused before any is run
    #[arg(long, value_name = "N", default_value_t = 10_000_000_000, requires = "replay", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    samples_limit: u64,
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
    #[command(flatten)]
    probe: ProbeArguments,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut found = verify(&arguments.run)?;
    // Read once: what was hashed is what runs.
    let model = read_model(arguments.model.as_deref(), |file| found.check_model(file))?;
    let mut kept = open_votes(&arguments.run, &mut found);
    let mut earlier = match &arguments.from {
        Some(path) => Some(EarlierRun::open(path, &mut found)?),
        None => None,
    };
    let earlier_model = match &mut earlier {
        Some(earlier) => read_model(arguments.from_model.as_deref(), |file| {
            found.check_earlier_model(&mut earlier.run, file)
        })?,
        None => None,
    };
    let mut data = match (&arguments.data, &found.header) {
        (Some(path), Some(header)) => match open_certified(path, arguments.split, header, &found.records) {
            Ok(data) => Some(data),
            // What the header says of them can't be done to these.
            Err(error @ (DataError::Option { .. } | DataError::ClassLabel { .. })) => {
                found.add(1, format!("the data can't be read as the header says: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        },
        _ => None,
    };
    if let Some(data) = &mut data {
        found.check_data(data);
    }
    let opened = match (model, &arguments.model) {
        (Some(file), Some(path)) => open_model(arguments, path, file, &mut found)?,
        _ => None,
    };
    origin::check(&arguments.run, &arguments.origin, &mut found)?;
    let fresh = match (arguments.fresh_seed, &opened, &data) {
        (Some(_), ..) if !found.holds() => {
            note("nothing is certified anew, because the file does not hold as it is");
            None
        }
        (Some(share), Some(opened), Some(data)) => fresh_comparison(share, opened, data, &mut found)?,
        _ => None,
    };
    let replays = match (arguments.replay, opened, data) {
        (Some(_), ..) if !found.holds() => {
            note("nothing is replayed, because the file does not hold as it is");
            Replays::default()
        }
        (Some(share), Some(opened), Some(data)) => {
            let earlier_model = earlier_model.zip(arguments.from_model.as_deref());
            match replay(arguments, share, opened, &data, &mut found, kept.as_mut(), earlier, earlier_model) {
                Ok(replays) => replays,
                Err(error) => {
                    let Some(CertifyError::Backend(BackendError::Dependent { .. })) = error.downcast_ref()
                    else {
                        return Err(error);
                    };
                    found.add(0, format!("its votes prove nothing: {error}"));
                    Replays::default()
                }
            }
        }
        _ => Replays::default(),
    };
    let lists = [("", &replays.now), ("earlier run: ", &replays.earlier)];
    let all = lists.into_iter().flat_map(|(whose, list)| list.iter().map(move |replay| (whose, replay)));
    for (whose, Replay { index, differing, samples }) in
        all.filter(|(_, replay)| replay.differing > arguments.differing)
    {
        let problem = format!(
            "{whose}input {index}: {differing} of {samples} votes differ when its noise is run again"
        );
        found.add(0, problem);
    }
    if fresh.as_ref().is_some_and(|fresh| !fresh.is_compatible()) {
        found.add(0, "the recorded votes are not as honest certification gives them".into());
    }
    let holds = found.holds();
    print(arguments, &found, &replays, fresh.as_ref(), holds)?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Certifies inputs anew, and lists that.
fn fresh_comparison(
    share: Share,
    opened: &Opened<'_>,
    data: &Dataset,
    found: &mut Verification,
) -> anyhow::Result<Option<FreshComparison>> {
    let Some(header) = &found.header else { return Ok(None) };
    let inputs = found.records.len();
    let chosen: Vec<&Record> =
        share.choose(inputs)?.into_iter().map(|number| &found.records[number]).collect();
    let comparison = fresh::compare(opened.clone(), data, header, &chosen)?;
    let detail = format!("{} of {inputs} inputs, certified anew with a seed drawn now", chosen.len());
    found.add_checked("fresh seed", detail);
    Ok(Some(comparison))
}

/// Reads a model, if one is given, and keeps it if it is the one that is meant.
fn read_model(
    path: Option<&Path>,
    is_meant: impl FnOnce(&ModelFile) -> bool,
) -> anyhow::Result<Option<ModelFile>> {
    let file = path.map(ModelFile::read).transpose()?;
    Ok(file.filter(is_meant))
}

/// The votes kept beside a run, checked, if it keeps any.
fn open_votes(run: &Path, found: &mut Verification) -> Option<KeptVotes> {
    if !found.header.as_ref().is_some_and(|header| header.keeps_votes) {
        return None;
    }
    let path = votes_path(run);
    if !path.exists() {
        found.add_not_checked("votes", format!("the vote of each sample: there is no {}", path.display()));
        return None;
    }
    found.check_votes(&path)
}

/// The run of the earlier model, with its votes if they are there.
struct EarlierRun {
    run: Verification,
    kept: Option<KeptVotes>,
}

impl EarlierRun {
    fn open(path: &Path, found: &mut Verification) -> anyhow::Result<Self> {
        let mut run = verify(path)?;
        let mut kept = open_votes(path, &mut run);
        found.check_earlier(&run, kept.as_mut());
        if kept.is_none() {
            found.add_not_checked(
                "votes of the earlier run",
                format!("which of them changed: there is no {}", votes_path(path).display()),
            );
        }
        Ok(Self { run, kept })
    }
}

/// Loads the model that was certified, as the run did, and compares how it is used.
fn open_model<'a>(
    arguments: &Arguments,
    path: &'a Path,
    file: ModelFile,
    found: &mut Verification,
) -> anyhow::Result<Option<Opened<'a>>> {
    let Some(header) = found.header.clone() else { return Ok(None) };
    let opened = load(arguments, path, file, &header);
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            if let Some(BackendError::Unsupported { problem, .. }) = error.downcast_ref() {
                found.add(1, format!("the model can't be used as the header says: {problem}"));
            } else if arguments.replay.is_some() {
                return Err(error);
            } else {
                found.add_not_checked("use of the model", format!("it can't be tried here: {error:#}"));
            }
            return Ok(None);
        }
    };
    let Opened { runtime, model, device, .. } = &opened;
    found.check_use(&model_source(model, header.settings.sigma), model.precision());
    let engine = format!("ONNX Runtime {}", runtime.version());
    let (provider, precision) =
        (device.provider.to_string(), device.device(1).precision_of(model.precision()));
    let used = &header.execution;
    let here = format!("{engine} on {provider} in {precision}");
    let there = format!("{} on {} in {}", used.engine, used.provider, used.precision);
    if here == there {
        found.add_stated("engine", format!("{there}, as here"));
    } else {
        found.add_stated("engine", format!("{there}; here {here}"));
        if arguments.replay.is_some() {
            note(&format!(
                "the votes were made by {there}, and are made again by {here}, which may round otherwise; a few differing \
                 votes then mean little"
            ));
        }
    }
    Ok(Some(opened))
}

fn load<'a>(
    arguments: &Arguments,
    path: &'a Path,
    file: ModelFile,
    header: &Header,
) -> anyhow::Result<Opened<'a>> {
    let (runtime, model) = arguments.probe.load(file, &[header.input_options()])?;
    Ok(Opened { path, runtime, model, device: arguments.device, threads: arguments.threads })
}

/// What came of replaying.
#[derive(Default)]
struct Replays {
    /// Inputs of the run.
    now: Vec<Replay>,
    /// The same inputs of the run of the earlier model.
    earlier: Vec<Replay>,
}

/// Runs the noise of inputs through the model again, and that of the earlier run through the earlier model.
#[allow(clippy::too_many_arguments)]
fn replay(
    arguments: &Arguments,
    share: Share,
    opened: Opened<'_>,
    data: &Dataset,
    found: &mut Verification,
    kept: Option<&mut KeptVotes>,
    mut earlier: Option<EarlierRun>,
    earlier_model: Option<(ModelFile, &Path)>,
) -> anyhow::Result<Replays> {
    let Some(header) = found.header.clone() else { return Ok(Replays::default()) };
    let chosen = share.choose(found.records.len())?;
    let records: Vec<&Record> = chosen.iter().map(|&number| &found.records[number]).collect();
    let of_earlier = earlier_model.zip(earlier.as_ref().and_then(|earlier| earlier.run.header.clone()));
    let earlier_cost = match (&of_earlier, &earlier) {
        (Some((_, header)), Some(earlier)) => {
            let records = chosen.iter().filter_map(|&number| earlier.run.records.get(number)).collect();
            Some(Replayed { header, records, kept: None, earlier: None })
        }
        _ => None,
    };
    let mut now = Replayed { header: &header, records, kept, earlier: None };
    let runs: Vec<&Replayed<'_>> = [Some(&now), earlier_cost.as_ref()].into_iter().flatten().collect();
    state_cost(&runs, arguments.samples_limit)?;
    let has_earlier_votes = earlier.as_ref().is_some_and(|earlier| earlier.kept.is_some());
    if let Some(EarlierRun { run, kept: Some(kept) }) = &mut earlier {
        now.earlier = Some((&run.records, kept));
    }
    let mut replays = Replays { now: now.run(opened, data)?, ..Replays::default() };
    drop(now);
    if let (Some(((file, path), header)), Some(EarlierRun { run, kept })) = (of_earlier, &mut earlier) {
        let opened = load(arguments, path, file, &header)?;
        let records = chosen.iter().filter_map(|&number| run.records.get(number)).collect();
        let mut before = Replayed { header: &header, records, kept: kept.as_mut(), earlier: None };
        replays.earlier = before.run(opened, data)?;
    }
    state_replays(found, &replays, has_earlier_votes);
    Ok(replays)
}

/// Lists what was replayed as checked.
fn state_replays(found: &mut Verification, replays: &Replays, has_earlier_votes: bool) {
    let inputs = found.records.len();
    for (subject, replays) in [("replay", &replays.now), ("earlier model", &replays.earlier)] {
        if !replays.is_empty() {
            let detail =
                format!("the noise of {} of {inputs} inputs, through the model again", replays.len());
            found.add_checked(subject, detail);
        }
    }
    // With all inputs replayed nothing of it is only stated.
    if replays.now.len() == inputs && has_earlier_votes {
        found.stated.retain(|check| check.subject != "changed votes");
        found.add_checked(
            "changed votes",
            "how many changed and were lost, counted again from both runs' votes",
        );
    }
}

/// The settings that certificates hold for, as one line.
fn settings_line(header: &Header) -> String {
    let settings = &header.settings;
    let claim = match &header.simultaneous {
        Some(claim) => format!("alpha {} for all inputs at once", claim.alpha),
        None => format!("alpha {} for each input", settings.alpha),
    };
    let origin = match &header.challenge {
        Some(_) => "from a challenge",
        None => "drawn or chosen by whoever certified",
    };
    format!(
        "sigma {}, {} noise, {}; {claim}; n0 {}, n {}, stopping rule {}; seed {} {origin}\n",
        settings.sigma,
        settings.distribution,
        header.noise.mode,
        settings.n0,
        settings.n,
        settings.stop,
        settings.seed
    ) + &inputs_line(header)
}

/// Which inputs they are of, and what the model gets and is read from.
fn inputs_line(header: &Header) -> String {
    let mut text = header.subset.in_words();
    if let Some(shard) = header.shard {
        text += &format!("; part {shard} of these alone");
    }
    let used = &header.model.r#use;
    let preprocessing = &used.preprocessing;
    if !preprocessing.is_none() {
        let [low, high] = preprocessing.range;
        text += &format!("; the model gets values from {low} to {high} ({})", preprocessing.layout);
        for (name, values) in [("mean", &preprocessing.mean), ("std", &preprocessing.std)] {
            if !values.is_empty() {
                let values: Vec<String> = values.iter().map(f64::to_string).collect();
                text += &format!(", {name} {}", values.join(","));
            }
        }
    }
    if let Some(output) = &used.output {
        text += &format!("; output {}", printable(output));
    }
    format!("{text}\n")
}

fn settings_json(header: &Header) -> Value {
    let settings = &header.settings;
    json!({
        "sigma": settings.sigma,
        "distribution": settings.distribution,
        "noise_mode": header.noise.mode,
        "alpha": settings.alpha,
        "simultaneous": header.simultaneous,
        "n0": settings.n0,
        "n": settings.n,
        "stopping_rule": settings.stop,
        "seed": settings.seed,
        "challenge": header.challenge,
        "sequence": settings.sequence,
        "selection": header.subset,
        "shard": header.shard,
        "use": header.model.r#use,
    })
}

fn listed(found: &Verification) -> String {
    let mut text = String::new();
    for Problem { line, problem } in &found.problems {
        let place = if *line == 0 { String::new() } else { format!("line {line}: ") };
        text += &format!("- {place}{}\n", printable(problem));
    }
    text
}

fn list(title: &str, checks: &[Check]) -> String {
    if checks.is_empty() {
        return String::new();
    }
    let line = |Check { subject, detail }: &Check| format!("- {subject}: {}\n", printable(detail));
    format!("{title}:\n{}", checks.iter().map(line).collect::<String>())
}

fn print(
    arguments: &Arguments,
    found: &Verification,
    replays: &Replays,
    fresh: Option<&FreshComparison>,
    holds: bool,
) -> anyhow::Result<()> {
    if arguments.json {
        let document = json!({
            "evidence": arguments.run.to_string_lossy(),
            "holds": holds,
            "inputs": found.records.len(),
            "chain": found.chain,
            "settings": found.header.as_ref().map(settings_json),
            "problems": found.problems,
            "checked": found.checked,
            "stated": found.stated,
            "not_checked": found.not_checked,
            "replays": replays.now,
            "earlier_replays": replays.earlier,
            "fresh": fresh,
            "differing_allowed": arguments.replay.map(|_| arguments.differing),
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let name = printable(&arguments.run.display().to_string());
    let mut text = match found.problems.len() {
        0 => format!("{name}: all {} inputs hold\n", found.records.len()),
        1 => format!("{name}: 1 thing does not hold\n{}", listed(found)),
        count => format!("{name}: {count} things do not hold\n{}", listed(found)),
    };
    text += &found.header.as_ref().map_or_else(String::new, settings_line);
    text += &list("checked", &found.checked);
    text += &list("only stated in the file", &found.stated);
    text += &list("not checked", &found.not_checked);
    if replays.now.is_empty() && arguments.replay.is_some() && found.holds() {
        text += "nothing to replay: none of the inputs chosen has a sample\n";
    }
    for (what, replays) in [("", &replays.now), (" of the earlier run", &replays.earlier)] {
        text += &replays_text(arguments, what, replays);
    }
    text += &fresh.map(fresh::describe).unwrap_or_default();
    text += &format!("result {}\n", found.chain);
    Ok(terminal::print(&text)?)
}

fn replays_text(arguments: &Arguments, what: &str, replays: &[Replay]) -> String {
    if replays.is_empty() {
        return String::new();
    }
    let total = |number: fn(&Replay) -> u64| replays.iter().map(number).fold(0, u64::saturating_add);
    let (samples, differing) = (total(|replay| replay.samples), total(|replay| replay.differing));
    let mut text = format!("replayed {} inputs{what}, {samples} samples: ", replays.len());
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
    text
}
