use std::{
    cell::RefCell,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;

use super::{
    data::{DataArguments, check_labels, inputs, order_classes},
    interruption::{Stoppable, unwritten},
    model::{ModelArguments, ReadyModel, model_source},
    note,
    smoothing::{SmoothingArguments, check_noise},
};
use crate::{
    audit::{Audit, Run, summarize, to_text},
    backend::OnnxModel,
    certify::{Certifier, Notices, Plan, Settings, StoppingRule, Timings},
    data::Dataset,
    evidence::{
        DataSource, Earlier, EvidenceWriter, Execution, Header, Machine, NoiseSource, Record, SCHEMA, Shard,
        Simultaneous, VotesWriter, challenge_seed, is_table, parse_challenge, read_evidence, to_table,
        votes_path,
    },
    files::{check_place, check_replaceable, is_same, write_atomically},
    noise::NoiseMode,
    statistics::SequenceForm,
    terminal::{self, Progress, printable},
    units::parse_count,
};

#[derive(Args)]
#[allow(clippy::struct_excessive_bools)] // Flags.
#[command(after_help = "Example:
  rscert certify --model lenet.onnx --data data/mnist --sigma 0.25 --class 8 --max 100 --out run.jsonl")]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    smoothing: SmoothingArguments,
    /// Samples that choose the class, before n fresh ones bound its probability
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    n0: u64,
    /// When to stop sampling an input before n: fixed (never), radius:R[,R...] (when each of these radii is certified, or
    /// n samples would hardly certify it), precision:T or T% (when n samples would hardly add more than T to the radius),
    /// deadline:MS, loss:C (a number chosen from the selection votes, to lose at most C of the radius)
    #[arg(long, value_name = "RULE", default_value = "fixed")]
    stop: StoppingRule,
    /// How bounds are made that hold whenever sampling stops: looks, geometric or betting
    #[arg(long, value_name = "FORM", default_value = "looks")]
    sequence: SequenceForm,
    /// Keep the vote of every estimation sample, in a file beside the evidence: `rscert recertify` needs it
    #[arg(long)]
    keep_votes: bool,
    /// Make one claim about all inputs chosen: with probability 1 - alpha, all certificates are right at once
    #[arg(long)]
    simultaneous: bool,
    /// Derive the seed from the model, the data, the settings and this text, named by somebody else or public and later than
    /// the model, so that nobody can have tried seeds until one certified; `rscert verify` computes it again
    #[arg(long, value_name = "TEXT", group = "origin_of_seed", value_parser = parse_challenge)]
    challenge: Option<String>,
    /// Certify part I of N of these inputs only; `rscert merge` joins the parts. Give each the same --seed or --challenge
    #[arg(long, value_name = "I/N", requires = "origin_of_seed", allow_hyphen_values = true)]
    shard: Option<Shard>,
    /// The evidence file [default: the model's name with .evidence.jsonl]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also write the table that the field uses, separated by tabs, with radii rounded down
    #[arg(long, value_name = "FILE")]
    tsv: Option<PathBuf>,
    /// Continue an interrupted run where it stopped
    #[arg(long)]
    resume: bool,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| default_out(&arguments.model.model));
    let path = &arguments.model.model;
    check_places(arguments, &out)?;
    let (sigma, distribution) = (arguments.smoothing.sigma(path)?, arguments.smoothing.distribution()?);
    let mut data = arguments.data.open()?;
    let (runtime, model) = arguments.model.open_for(Some(data.shape()), Some(sigma))?;
    order_classes(&mut data, &model)?;
    let selected = arguments.data.select(path, &data, model.classes())?;
    check_labels(&runtime, &model, &data, &selected)?;
    let SmoothingArguments { n, alpha, .. } = arguments.smoothing;
    let simultaneous =
        arguments.simultaneous.then_some(Simultaneous { alpha, inputs: selected.len() as u64 });
    let alpha = simultaneous.as_ref().map_or(Ok(alpha), Simultaneous::alpha_each)?;
    let earlier = if arguments.resume && out.exists() { Some(Earlier::read(&out)?) } else { None };
    // A run is resumed with its own seed, or challenge.
    let own = earlier.as_ref().and_then(Earlier::header).filter(|_| arguments.smoothing.seed.is_none());
    let challenge = arguments.challenge.clone().or_else(|| own?.challenge.clone());
    let seed = match own {
        Some(own) => own.settings.seed,
        None if challenge.is_some() => 0,
        None => arguments.smoothing.seed()?,
    };
    let settings = Settings {
        sigma,
        distribution,
        alpha,
        n0: arguments.n0,
        n,
        stop: arguments.stop.clone(),
        sequence: arguments.sequence,
        seed,
    };
    settings.check()?;
    let engine = format!("ONNX Runtime {}", runtime.version());
    let mut header = header(arguments, engine, &data, settings, simultaneous, &model, selected.len());
    if let Some(challenge) = challenge {
        header.settings.seed = challenge_seed(&header, &challenge)?;
        header.challenge = Some(challenge);
    }
    check_noise(&header.settings, header.noise.mode, &selected, &data, &model.input_precision())?;
    if let Some(earlier) = &earlier
        && earlier.is_finished(&header)?
    {
        return report(arguments, &out, None);
    }
    let indices: Vec<usize> = match arguments.shard {
        Some(shard) => {
            shard.positions(selected.len() as u64).map(|position| selected[position as usize]).collect()
        }
        None => selected,
    };
    let shared = match arguments.smoothing.noise_mode {
        NoiseMode::Shared => header.settings.shared_noise(),
        NoiseMode::Independent => None,
    };
    let samples = likely_samples(&header.settings).saturating_mul(indices.len() as u64);
    let ready = arguments.model.ready(runtime, model, shared.as_ref(), samples)?;
    header.execution.plan = ready.plan;
    let (writer, done) = match earlier {
        Some(earlier) => {
            let there = earlier.inputs();
            let (writer, done) = earlier.resume(&header)?;
            if done < there {
                note(&format!(
                    "{} inputs are certified again, because {} lacks their votes",
                    there - done,
                    votes_path(&out).display()
                ));
            }
            (writer, done)
        }
        None => (EvidenceWriter::create(&out, &header)?, 0),
    };
    let work = Stoppable::new(&out);
    let timings = certify(ready, &header, &data, &indices, (writer, done), &work)?;
    report(arguments, &out, Some(timings))
}

/// Makes sure that all results can be written, and that nothing is lost by it.
fn check_places(arguments: &Arguments, out: &Path) -> anyhow::Result<()> {
    let votes = votes_path(out);
    let table = arguments.tsv.as_deref();
    for place in table.into_iter().chain([out]).chain(arguments.keep_votes.then_some(&*votes)) {
        check_place(place).with_context(|| format!("cannot write {}", place.display()))?;
    }
    if !arguments.resume {
        EvidenceWriter::check_new(out)?;
        if arguments.keep_votes {
            VotesWriter::check_new(&votes)?;
        }
    }
    let Some(table) = table else { return Ok(()) };
    let name = table.display();
    ensure!(
        ![out, &*votes].into_iter().any(|place| is_same(place, table)),
        "--tsv {name} is the place of the evidence; give the table another name"
    );
    ensure!(
        arguments.resume || !table.exists(),
        "{name} exists; add --resume to continue that run, or choose another name with --tsv"
    );
    check_replaceable(table, "table of results", is_table).with_context(|| format!("cannot write {name}"))
}

/// A rough guess at the samples that an input will take, to know how long a run will be.
fn likely_samples(settings: &Settings) -> u64 {
    let estimation = match settings.stop {
        StoppingRule::Fixed | StoppingRule::Loss(_) | StoppingRule::Precision(_) => settings.n,
        StoppingRule::Radius(_) | StoppingRule::Deadline(_) => settings.n / 50,
    };
    settings.n0.saturating_add(estimation)
}

fn certify(
    ready: ReadyModel,
    header: &Header,
    data: &Dataset,
    indices: &[usize],
    (mut writer, done): (EvidenceWriter, u64),
    work: &Stoppable,
) -> anyhow::Result<(Timings, Duration)> {
    // How many samples an input takes is known beforehand if the rule is to take all.
    let (samples, unit) = match header.settings.stop {
        StoppingRule::Fixed => (header.settings.n0 + header.settings.n, "samples"),
        _ => (1, "inputs"),
    };
    let title = format!("certifying {}", header.model.file);
    let mut progress = Progress::new(&title, indices.len() as u64 * samples, unit);
    progress.resume_at(done * samples);
    let progress = RefCell::new(progress);
    let mut certifier = Certifier::new(ready.instances, header.settings.clone(), ready.plan.batch)?;
    certifier.set_noise_threads(ready.plan.noise_threads);
    certifier.set_noise_mode(header.noise.mode);
    let notices: Notices = Arc::new(|text: &str| note(text));
    certifier.on_notice(&notices);
    certifier.stop_when(work.stop());
    if header.keeps_votes {
        certifier.keep_votes();
    }
    let inputs = inputs(data, &indices[done as usize..]);
    let started = Instant::now();
    let mut failure = None;
    let result = certifier.certify_with_votes(
        inputs,
        |run| {
            if samples > 1 {
                progress.borrow_mut().advance(run);
            }
        },
        |certificate, votes| {
            if samples == 1 {
                progress.borrow_mut().advance(1);
            }
            let record = Record::new(certificate, header);
            writer.record_with_votes(record, &votes.unwrap_or_default()).map_err(|error| {
                let message = error.to_string();
                failure = Some(error);
                std::io::Error::other(message)
            })
        },
    );
    progress.into_inner().finish();
    if let Some(error) = failure {
        return Err(unwritten(error));
    }
    result?;
    writer.finish().map_err(unwritten)?;
    Ok((certifier.timings(), started.elapsed()))
}

fn report(arguments: &Arguments, out: &Path, timings: Option<(Timings, Duration)>) -> anyhow::Result<()> {
    let evidence = read_evidence(out)?;
    let norm = evidence.header.settings.distribution.norm();
    let summary = summarize(&Run::of_evidence(&file_name(out), &evidence), &[], norm);
    if let Some(path) = &arguments.tsv {
        write_atomically(path, |file| file.write_all(to_table(&evidence.records).as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.json {
        let document = json!({
            "evidence": out.to_string_lossy(),
            "run": summary,
            "seed": evidence.header.settings.seed,
            "challenge": evidence.header.challenge,
            "plan": evidence.header.execution.plan,
            "overhead": timings.map(|(timings, _)| timings.overhead()),
            "timings": timings.map(|(timings, wall)| json!({
                "samples": timings.samples,
                "wall": wall.as_secs_f64(),
                "noise": timings.noise.as_secs_f64(),
                "forward": timings.forward.as_secs_f64(),
                "count": timings.count.as_secs_f64(),
                "comparison": timings.comparison.as_secs_f64(),
            })),
            "compared": timings.map(|(timings, _)| timings.compared),
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let mut text =
        to_text(&Audit { radii: vec![], runs: vec![summary], baseline: None, comparisons: vec![] });
    let footer = &evidence.footer;
    if let Some((timings, _)) = timings {
        text += &format!(
            "{} samples of these were answered again, alone or in another batch, and all got the same answer\n",
            timings.compared
        );
    }
    text += &format!("{} samples; evidence in {}\n", footer.samples, printable(&out.display().to_string()));
    Ok(terminal::print(&text)?)
}

fn header(
    arguments: &Arguments,
    engine: String,
    data: &Dataset,
    settings: Settings,
    simultaneous: Option<Simultaneous>,
    model: &OnnxModel,
    count: usize,
) -> Header {
    Header {
        schema: SCHEMA.into(),
        tool: concat!("rscert ", env!("CARGO_PKG_VERSION")).into(),
        model: model_source(model, settings.sigma),
        data: DataSource {
            file: file_name(&data.path),
            images_sha256: data.images_sha256.clone(),
            labels_sha256: data.labels_sha256.clone(),
            shape: data.shape(),
            range: [0.0, 1.0],
            preparation: arguments.data.preparation(),
            class_names: data.class_names().unwrap_or_default(),
        },
        // One description for each subset, so that a challenge has one seed.
        subset: arguments.data.subset(count as u64).in_normal_form(data),
        shard: arguments.shard,
        noise: NoiseSource {
            mode: arguments.smoothing.noise_mode,
            generator: settings.distribution.generator().into(),
        },
        keeps_votes: arguments.keep_votes,
        recertification: None,
        settings,
        simultaneous,
        challenge: None,
        execution: Execution {
            engine,
            provider: arguments.model.device.provider.to_string(),
            precision: arguments.model.device.device(1).precision_of(model.precision()).into(),
            // Not known before it is measured.
            plan: Plan { sessions: 0, threads: 0, batch: 0, noise_threads: 0 },
        },
        machine: Machine::this(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
    }
}

pub(super) fn default_out(model: &Path) -> PathBuf {
    let stem = model.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
    PathBuf::from(format!("{stem}.evidence.jsonl"))
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
