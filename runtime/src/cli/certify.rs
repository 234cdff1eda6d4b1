use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use mithridate_onnx::ModelMetadata;
use serde_json::json;

use super::model::{ModelArguments, ReadyModel, model_source};
use crate::{
    audit::{Audit, summarize, to_text},
    certify::{Certifier, Input, Notices, Settings, Timings},
    data::{Dataset, Split},
    evidence::{
        DataSource, EvidenceWriter, Execution, Header, Machine, NoiseSource, Record, SCHEMA, Selection,
        read_evidence, read_header,
    },
    noise::{GENERATOR, seed_from_os},
    terminal::{self, Progress},
    units::{Alpha, Sigma, parse_count},
};

#[derive(Args)]
#[command(after_help = "Example:
  rscert certify --model lenet.onnx --data data/mnist --sigma 0.25 --class 8 --max 100 --out run.jsonl")]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The data set: a folder of IDX files, CIFAR-10 or CIFAR-100 binary files or train.npz and test.npz; or
    /// one .npz, .npy or .bin file, or IDX file of images with its labels beside it
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Part of the data set, if it is a folder
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// Standard deviation of the noise, in units of the data set (images in [0, 1]) [default: the
    /// training sigma in the model's metadata]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    sigma: Option<Sigma>,
    /// Samples that choose the class
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    n0: u64,
    /// Fresh samples that bound its probability
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    n: u64,
    /// Probability that a certificate may be wrong
    #[arg(long, default_value = "0.001", value_name = "ALPHA", allow_negative_numbers = true)]
    alpha: Alpha,
    /// Only inputs of these classes, such as 8 or 0,1,2
    #[arg(long, value_delimiter = ',', value_name = "CLASSES")]
    class: Vec<usize>,
    /// Certify at most so many inputs
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>)]
    max: Option<usize>,
    /// Take every N-th of the inputs chosen by --class
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = parse_count::<usize>)]
    skip: usize,
    /// Seed of all noise [default: from the operating system, written into the evidence]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
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

#[derive(Clone, Copy, ValueEnum)]
enum SplitArgument {
    Train,
    Test,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| default_out(&arguments.model.model));
    let sigma =
        choose_sigma(arguments, &ModelMetadata::of(&mithridate_onnx::read(&arguments.model.model)?)?)?;
    let split = match arguments.split {
        SplitArgument::Train => Split::Train,
        SplitArgument::Test => Split::Test,
    };
    let data = Dataset::open(&arguments.data, split)?;
    let (runtime, model) = arguments.model.open_for(Some(data.shape()))?;
    let classes = model.classes();
    let indices = select(arguments, &data, classes)?;
    let seed = match (arguments.seed, arguments.resume) {
        (Some(seed), _) => seed,
        (None, true) => seed_of(&out)?,
        (None, false) => seed_from_os().context("cannot draw a seed; give one with --seed")?,
    };
    let settings = Settings { sigma, alpha: arguments.alpha, n0: arguments.n0, n: arguments.n, seed };
    settings.check()?;
    let ready = arguments.model.ready(runtime, model)?;
    let header = header(arguments, &ready, &data, settings, indices.len());

    let (writer, done) = if arguments.resume && out.exists() {
        match EvidenceWriter::resume(&out, &header)? {
            Some(resumed) => resumed,
            None => return report(arguments, &out, None),
        }
    } else {
        (EvidenceWriter::create(&out, &header)?, 0)
    };
    let timings = certify(ready, &header, &data, &indices, writer, done)?;
    report(arguments, &out, Some(timings))
}

fn certify(
    ready: ReadyModel,
    header: &Header,
    data: &Dataset,
    indices: &[usize],
    mut writer: EvidenceWriter,
    done: u64,
) -> anyhow::Result<Timings> {
    let samples = header.settings.n0 + header.settings.n;
    let mut progress = Progress::new(
        &format!("certifying {}", header.model.file),
        indices.len() as u64 * samples,
        "samples",
    );
    progress.resume_at(done * samples);
    let mut certifier = Certifier::new(ready.instances, header.settings, ready.plan.batch)?;
    let notices: Notices = Arc::new(|text| eprintln!("rscert: note: {text}"));
    certifier.on_notice(&notices);
    let inputs = indices.iter().skip(done as usize).map(|&index| Input {
        index: index as u64,
        label: Some(usize::from(data.labels()[index])),
        image: data.image(index),
    });
    let mut failure = None;
    let result = certifier.certify_all(
        inputs,
        |samples| progress.advance(samples),
        |certificate| {
            let label = certificate.label.unwrap_or_default();
            writer.record(Record::new(certificate, label, header.settings.n), header).map_err(|error| {
                let message = error.to_string();
                failure = Some(error);
                std::io::Error::other(message)
            })
        },
    );
    progress.finish();
    if let Some(error) = failure {
        return Err(error.into());
    }
    result?;
    writer.finish()?;
    Ok(certifier.timings())
}

fn report(arguments: &Arguments, out: &Path, timings: Option<Timings>) -> anyhow::Result<()> {
    let evidence = read_evidence(out)?;
    let summary = summarize(&file_name(out), &evidence, &[]);
    if arguments.json {
        let document = json!({
            "evidence": out,
            "run": summary,
            "seed": evidence.header.settings.seed,
            "plan": evidence.header.execution.plan,
            "overhead": timings.map(|timings| timings.overhead()),
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let mut text =
        to_text(&Audit { radii: vec![], runs: vec![summary], baseline: None, comparisons: vec![] });
    let footer = &evidence.footer;
    if let [first, ..] = &evidence.header.model.r#use.sigma_in_model[..] {
        let scale = evidence.header.model.r#use.sigma_in_model.iter();
        let all: Vec<String> = scale.map(|sigma| format!("{sigma:.4}")).collect();
        let values =
            if all.iter().all(|one| *one == all[0]) { format!("{first:.4}") } else { all.join(", ") };
        text += &format!("sigma and radii are in units of the data set; to the model, sigma is {values}\n");
    }
    text += &format!("{} samples; evidence in {}\n", footer.samples, out.display());
    Ok(terminal::print(&text)?)
}

fn choose_sigma(arguments: &Arguments, metadata: &ModelMetadata) -> anyhow::Result<Sigma> {
    match (arguments.sigma, metadata.training_sigma) {
        (Some(sigma), trained) => {
            if let Some(trained) = trained
                && trained.to_bits() != sigma.get().to_bits()
            {
                eprintln!(
                    "rscert: note: certifying at sigma {sigma} a model that was trained at sigma {trained}"
                );
            }
            Ok(sigma)
        }
        (None, Some(trained)) => Ok(Sigma::new(trained)?),
        (None, None) => bail!(
            "{} doesn't say at which sigma it was trained; give one with --sigma",
            arguments.model.model.display()
        ),
    }
}

fn select(arguments: &Arguments, data: &Dataset, classes: usize) -> anyhow::Result<Vec<usize>> {
    if let Some(class) = arguments.class.iter().find(|&&class| class >= classes) {
        bail!(
            "class {class} is outside the {classes} classes of {} (0 to {})",
            arguments.model.model.display(),
            classes - 1
        );
    }
    if let Some(index) = data.labels().iter().position(|&label| usize::from(label) >= classes) {
        bail!(
            "label {} of image {index} in {} is outside the {classes} classes of {}",
            data.labels()[index],
            data.path.display(),
            arguments.model.model.display()
        );
    }
    let indices: Vec<usize> = (0..data.len())
        .filter(|&index| {
            arguments.class.is_empty() || arguments.class.contains(&usize::from(data.labels()[index]))
        })
        .step_by(arguments.skip)
        .take(arguments.max.unwrap_or(usize::MAX))
        .collect();
    ensure!(!indices.is_empty(), "no image of {} has a label in {:?}", data.path.display(), arguments.class);
    Ok(indices)
}

fn header(
    arguments: &Arguments,
    ready: &ReadyModel,
    data: &Dataset,
    settings: Settings,
    count: usize,
) -> Header {
    let mut classes = arguments.class.clone();
    classes.sort_unstable();
    classes.dedup();
    Header {
        schema: SCHEMA.into(),
        tool: concat!("rscert ", env!("CARGO_PKG_VERSION")).into(),
        model: model_source(&ready.model, settings.sigma),
        data: DataSource {
            file: file_name(&data.path),
            images_sha256: data.images_sha256.clone(),
            labels_sha256: data.labels_sha256.clone(),
            shape: data.shape(),
            range: [0.0, 1.0],
        },
        selection: Selection { classes, skip: arguments.skip, max: arguments.max, count: count as u64 },
        settings,
        stopping_rule: "fixed".into(),
        noise: NoiseSource {
            distribution: "gaussian".into(),
            mode: "independent".into(),
            generator: GENERATOR.into(),
        },
        execution: Execution {
            engine: format!("ONNX Runtime {}", ready.runtime.version()),
            provider: arguments.model.provider.to_string(),
            precision: ready.model.precision().into(),
            plan: ready.plan,
        },
        machine: Machine::this(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
    }
}

/// A run is resumed with its own seed.
fn seed_of(out: &Path) -> anyhow::Result<u64> {
    let header = if out.exists() { read_header(out)? } else { None };
    match header {
        Some(header) => Ok(header.settings.seed),
        None => seed_from_os().context("cannot draw a seed; give one with --seed"),
    }
}

fn default_out(model: &Path) -> PathBuf {
    let stem = model.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
    PathBuf::from(format!("{stem}.evidence.jsonl"))
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
