use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use mithridate_onnx::ModelFile;
use serde_json::json;

use super::{
    certify::{default_out, file_name},
    data::{SplitArgument, open_certified},
    interruption::{Stoppable, unwritten},
    model::{ModelArguments, ReadyModel, model_source},
    note,
    smoothing::check_noise,
};
use crate::{
    audit::{Audit, Run, summarize, to_text},
    backend::{InputOptions, OnnxModel, OnnxRuntime},
    certify::{Certificate, Certifier, Decision, Input, Notices, Procedure, Settings, Vote},
    data::Dataset,
    evidence::{
        Change, Earlier, Evidence, EvidenceWriter, Execution, Header, KeptVotes, Machine, Problem,
        Recertification, Record, SCHEMA, Verification, challenge_seed, is_other_numbering, parse_challenge,
        read_evidence, unfit, votes_path,
    },
    files::check_place,
    noise::seed_from_os,
    terminal::{self, Progress, printable},
    units::{Alpha, parse_count},
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert certify --model lenet.onnx --data data/mnist --sigma 0.25 --keep-votes --out lenet.jsonl
  rscert recertify --from lenet.jsonl --model lenet-int8.onnx --data data/mnist --n 10000")]
pub(super) struct Arguments {
    /// Evidence of the earlier model, made with --keep-votes and the stopping rule fixed
    #[arg(long, value_name = "RUN")]
    from: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// The data set of that run
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// Part of a data set in a folder
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// Samples of the earlier noise run through the changed model, for each input that is not certified anew
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    n: u64,
    /// Samples of an input that is certified anew, because that promises a larger radius [default: as --n]
    #[arg(long, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    fresh_n: Option<u64>,
    /// Probability, beside the alpha of the earlier run, that the result for an input may be wrong
    #[arg(long, default_value = "0.001", value_name = "ALPHA", allow_negative_numbers = true)]
    alpha_change: Alpha,
    /// Seed of fresh noise [default: from the operating system]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Derive the seed of fresh noise from the changed model, the data, the settings, the earlier run and this text, and certify
    /// every input anew: the noise of the earlier run was known before the changed model
    #[arg(long, value_name = "TEXT", conflicts_with = "seed", value_parser = parse_challenge)]
    challenge: Option<String>,
    /// The evidence file [default: the model's name with .evidence.jsonl]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Continue an interrupted run where it stopped
    #[arg(long)]
    resume: bool,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| default_out(&arguments.model.model));
    check_place(&out).with_context(|| format!("cannot write {}", out.display()))?;
    if !arguments.resume {
        EvidenceWriter::check_new(&out)?;
    }
    // Nothing is to rest on what does not hold: whatever can be checked without other files, reading checks.
    let old = read_evidence(&arguments.from)?;
    let before = &old.header.settings;
    let from = arguments.from.display();
    if let Some(problem) = unfit(&old.header) {
        bail!("{from} {problem}");
    }
    ensure!(
        arguments.n <= before.n,
        "--n {} is more than the {} samples of {from}, whose noise is run again",
        arguments.n,
        before.n
    );
    let mut kept = KeptVotes::open(&votes_path(&arguments.from))?;
    kept.is_of(&old.records)?;
    let mut data = open_certified(&arguments.data, arguments.split, &old.header, &old.records)?;
    let mut found = Verification::from(&old);
    found.check_data(&mut data);
    if let Some(Problem { line, problem }) = found.problems.first() {
        bail!("{} is not the data of {from}: line {line}: {problem}", arguments.data.display());
    }
    let (runtime, model) = open_changed(&arguments.model, &old.header)?;
    ensure!(
        model.classes() == old.header.model.classes && model.image_shape() == old.header.data.shape,
        "{} has {} classes of images {:?}, and the model of {from} {} of {:?}",
        arguments.model.model.display(),
        model.classes(),
        model.image_shape(),
        old.header.model.classes,
        old.header.data.shape
    );
    let earlier = if arguments.resume && out.exists() { Some(Earlier::read(&out)?) } else { None };
    let own = earlier.as_ref().and_then(Earlier::header).filter(|_| arguments.seed.is_none());
    let challenge = arguments.challenge.clone().or_else(|| own?.challenge.clone());
    let seed = match arguments.seed.or(own.map(|own| own.settings.seed)) {
        Some(seed) => seed,
        None if challenge.is_some() => 0,
        None => seed_from_os().context("cannot draw a seed; give one with --seed")?,
    };
    let mut header = header(arguments, &old, &runtime, &model, seed)?;
    if let Some(challenge) = challenge {
        header.settings.seed = challenge_seed(&header, &challenge)?;
        header.challenge = Some(challenge);
    }
    // Fresh samples are to be fresh.
    let seed = header.settings.seed;
    ensure!(seed != before.seed, "--seed {seed} is that of {from}; fresh noise needs another one");
    if let Some(earlier) = &earlier
        && earlier.is_finished(&header)?
    {
        return report(arguments, &out);
    }
    let indices: Vec<usize> = old.records.iter().map(|record| record.index as usize).collect();
    check_noise(&header.settings, header.noise.mode, &indices, &data, &model.input_precision())?;
    let samples = arguments.n.saturating_mul(indices.len() as u64);
    let ready = arguments.model.ready(runtime, model, None, samples)?;
    header.execution.plan = ready.plan;
    let (writer, done) = match earlier {
        Some(earlier) => earlier.resume(&header)?,
        None => (EvidenceWriter::create(&out, &header)?, 0),
    };
    let work = Stoppable::new(&out);
    recertify(ready, &header, &data, &old.records[done as usize..], &mut kept, (writer, &work))?;
    report(arguments, &out)
}

/// Opens the changed model. It gets images as the earlier one did, but for what the flags say.
fn open_changed(arguments: &ModelArguments, old: &Header) -> anyhow::Result<(OnnxRuntime, OnnxModel)> {
    let keep_batch = arguments.batch == Some(1);
    let options = InputOptions { keep_batch, ..arguments.input.instead_of(old.input_options()) };
    let (runtime, model) = arguments.probe.load(ModelFile::read(&arguments.model)?, &[options])?;
    let path = arguments.model.display();
    arguments.input.note_differences(&model);
    let (now, before) = (&model.preprocessing, &old.model.r#use.preprocessing);
    if now != before {
        note(&format!(
            "{path} gets images otherwise than the earlier model: {now:?}, and before {before:?}; make sure that this is \
             meant"
        ));
    }
    let (own, named) = (model.metadata.class_names.as_deref().unwrap_or_default(), &old.data.class_names);
    ensure!(
        !is_other_numbering(named, own),
        "{path} numbers its classes otherwise than the earlier model: its class names are {own:?}, and those of the \
         earlier run {named:?}; no class can be kept"
    );
    Ok((runtime, model))
}

fn recertify(
    ready: ReadyModel,
    header: &Header,
    data: &Dataset,
    records: &[Record],
    kept: &mut KeptVotes,
    (mut writer, work): (EvidenceWriter, &Stoppable),
) -> anyhow::Result<()> {
    let Some(from) = &header.recertification else { bail!("the header names no earlier run") };
    let route = |record: &Record| {
        let hits = record.class.map_or(0, |class| record.selection.by_class()[class]);
        let is_incremental = header.is_incremental(hits);
        (is_incremental, if is_incremental { from.replayed } else { header.settings.n })
    };
    let samples = records.iter().map(|record| route(record).1).sum();
    let mut progress = Progress::new(&format!("recertifying {}", header.model.file), samples, "samples");
    let notices: Notices = Arc::new(|text: &str| note(text));
    let mut instances = ready.instances;
    for record in records {
        let (is_incremental, n) = route(record);
        // The class is the old one, so a single selection sample will do, of which nothing is kept.
        let seed = if is_incremental { from.seed } else { header.settings.seed };
        let settings = Settings { n0: 1, n, seed, ..header.settings.clone() };
        let mut certifier = Certifier::new(instances, settings, ready.plan.batch)?;
        certifier.set_noise_threads(ready.plan.noise_threads);
        certifier.set_noise_mode(header.noise.mode);
        certifier.on_notice(&notices);
        certifier.stop_when(work.stop());
        certifier.keep_votes();
        let input =
            Input { index: record.index, label: record.label, image: data.image(record.index as usize) };
        let mut sampled = None;
        certifier.certify_with_votes(
            std::iter::once(input),
            |samples| progress.advance(samples),
            |certificate, votes| {
                sampled = Some((certificate, votes.unwrap_or_default()));
                Ok(())
            },
        )?;
        instances = certifier.into_models();
        let Some((certificate, after)) = sampled else { bail!("input {} gave no votes", record.index) };
        let new = if is_incremental {
            let before = kept.of(record)?;
            incremental(record, certificate, &before, &after, header, from)?
        } else {
            fresh(record, certificate, header)?
        };
        writer.record(&new).map_err(unwritten)?;
    }
    progress.finish();
    writer.finish().map_err(unwritten)?;
    Ok(())
}

/// The record of an input whose bound rests on the old one.
fn incremental(
    old: &Record,
    certificate: Certificate,
    before: &[Vote],
    after: &[Vote],
    header: &Header,
    from: &Recertification,
) -> anyhow::Result<Record> {
    let Some(class) = old.class else { bail!("input {} has no class to keep", old.index) };
    let change = Change::new(class, old.p_lower, before, after);
    let p_lower = change.bound(certificate.samples, from.alpha_change)?;
    let certificate = Certificate {
        class: old.class,
        selection: old.selection.clone(),
        p_lower,
        radius: header.settings.radius(p_lower),
        ..certificate
    };
    Ok(Record { change: Some(change), ..Record::new(certificate, header) })
}

/// The record of an input certified anew, for the class that the old selection samples chose.
fn fresh(old: &Record, certificate: Certificate, header: &Header) -> anyhow::Result<Record> {
    let procedure = Procedure::new(header.settings.clone())?;
    let Decision { class, p_lower, radius } =
        procedure.decide(&old.selection, &certificate.estimation, certificate.samples)?;
    let certificate = Certificate { class, selection: old.selection.clone(), p_lower, radius, ..certificate };
    Ok(Record::new(certificate, header))
}

fn header(
    arguments: &Arguments,
    old: &Evidence,
    runtime: &OnnxRuntime,
    model: &OnnxModel,
    seed: u64,
) -> anyhow::Result<Header> {
    let before = &old.header.settings;
    let from = Recertification {
        from: old.footer.chain.clone(),
        from_model_sha256: old.header.model.sha256.clone(),
        alpha: before.alpha,
        alpha_change: arguments.alpha_change,
        seed: before.seed,
        n: before.n,
        replayed: arguments.n,
    };
    let settings = from
        .settings(before, arguments.fresh_n.unwrap_or(arguments.n), seed)
        .with_context(|| format!("--alpha-change {} is too much beside {}", from.alpha_change, from.alpha))?;
    settings.check()?;
    Ok(Header {
        schema: SCHEMA.into(),
        tool: concat!("rscert ", env!("CARGO_PKG_VERSION")).into(),
        model: model_source(model, settings.sigma),
        data: old.header.data.clone(),
        subset: old.header.subset.clone(),
        shard: old.header.shard,
        settings,
        simultaneous: None,
        challenge: None,
        noise: old.header.noise.clone(),
        keeps_votes: false,
        recertification: Some(from),
        execution: Execution {
            engine: format!("ONNX Runtime {}", runtime.version()),
            provider: arguments.model.device.provider.to_string(),
            precision: arguments.model.device.device(1).precision_of(model.precision()).into(),
            plan: old.header.execution.plan,
        },
        machine: Machine::this(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
    })
}

fn report(arguments: &Arguments, out: &Path) -> anyhow::Result<()> {
    let evidence = read_evidence(out)?;
    let norm = evidence.header.settings.distribution.norm();
    let summary = summarize(&Run::of_evidence(&file_name(out), &evidence), &[], norm);
    let changes = || evidence.records.iter().filter_map(|record| record.change.as_ref());
    let (incremental, all) = (changes().count(), evidence.records.len());
    let replayed = evidence.header.recertification.as_ref().map_or(0, |from| from.replayed);
    let samples = incremental as u64 * replayed;
    let share = |count: u64| count as f64 / samples.max(1) as f64;
    let changed = share(changes().map(|change| change.changed).sum());
    let lost = share(changes().map(|change| change.lost).sum());
    if arguments.json {
        let document = json!({
            "evidence": out.to_string_lossy(),
            "run": summary,
            "from": arguments.from.to_string_lossy(),
            "incremental": incremental,
            "fresh": all - incremental,
            "share_of_votes_changed": changed,
            "share_of_votes_lost": lost,
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let mut text =
        to_text(&Audit { radii: vec![], runs: vec![summary], baseline: None, comparisons: vec![] });
    text += &format!(
        "{incremental} inputs by the incremental rule, {} certified anew; of the votes of the former {:.2} % changed and \
         {:.2} % were lost\n{} samples; evidence in {}\n",
        all - incremental,
        100.0 * changed,
        100.0 * lost,
        evidence.records.iter().map(|record| record.samples).sum::<u64>(),
        printable(&out.display().to_string())
    );
    Ok(terminal::print(&text)?)
}
