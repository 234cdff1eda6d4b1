use std::path::{Path, PathBuf};

use clap::Args;

use super::{data::DataArguments, model::ModelArguments, observer::control, smoothing::SmoothingArguments};
use crate::{
    audit::{Audit, to_text},
    certify::StoppingRule,
    evidence::{Evidence, Shard, parse_challenge},
    jobs::{Certified, Certify, summary},
    statistics::SequenceForm,
    terminal::{self, printable},
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
    /// Number of selection samples, which choose the class
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = crate::units::parse_count::<u64>, allow_negative_numbers = true)]
    n0: u64,
    /// Stopping rule, when to stop sampling an input before --n samples: fixed (never), radius:R[,R...] (when each
    /// radius R is certified or very unlikely to be), precision:T or precision:T% (when more samples are very unlikely
    /// to add more than T to the radius), deadline:MS (after MS milliseconds), loss:C (after a number of samples
    /// computed from the selection votes, to lose about C of the radius at most)
    #[arg(long, value_name = "RULE", default_value = "fixed")]
    stop: StoppingRule,
    /// Form of the confidence sequence for the rules radius, precision and deadline: looks, geometric or betting
    #[arg(long, value_name = "FORM", default_value = "looks")]
    sequence: SequenceForm,
    /// Keep the vote of every estimation sample in a file beside the evidence; `rscert recertify` needs this file
    #[arg(long)]
    keep_votes: bool,
    /// Make one claim about all inputs: with probability 1 - alpha, all certificates are valid at once
    #[arg(long)]
    simultaneous: bool,
    /// Derive the seed from the model, the data, the settings and TEXT, so that nobody can have tried several seeds.
    /// TEXT must come from somebody else, or be public and newer than the model; `rscert verify` derives the seed again
    #[arg(long, value_name = "TEXT", group = "origin_of_seed", value_parser = parse_challenge)]
    challenge: Option<String>,
    /// Certify part I of N of the inputs; `rscert merge` joins the parts. Give all parts the same --seed or --challenge
    #[arg(long, value_name = "I/N", requires = "origin_of_seed", allow_hyphen_values = true)]
    shard: Option<Shard>,
    /// The evidence file [default: the model's name with .evidence.jsonl]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also write a table of results, tab-separated and in the form of Cohen et al., with radii rounded down
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
    let job = Certify {
        sigma: arguments.smoothing.sigma,
        distribution: arguments.smoothing.distribution()?,
        noise_mode: arguments.smoothing.noise_mode,
        n0: arguments.n0,
        n: arguments.smoothing.n,
        alpha: arguments.smoothing.alpha,
        stop: arguments.stop.clone(),
        sequence: arguments.sequence,
        seed: arguments.smoothing.seed,
        challenge: arguments.challenge.clone(),
        keep_votes: arguments.keep_votes,
        simultaneous: arguments.simultaneous,
        shard: arguments.shard,
        table: arguments.tsv.clone(),
        resume: arguments.resume,
        ..Certify::new(arguments.model.settings(), arguments.data.settings(), &out)
    };
    let done = job.run(&control(arguments.model.probe))?;
    Ok(terminal::print(&if arguments.json {
        format!("{:#}\n", job.to_json(&done))
    } else {
        in_words(&out, &done)
    })?)
}

fn in_words(out: &Path, done: &Certified) -> String {
    let mut text = table(out, &done.evidence);
    if let Some(time) = done.time {
        text += &format!(
            "{} of these samples were answered again, alone or in another batch, and no answer differed by more than \
             rounding\n",
            time.timings.compared
        );
    }
    let place = printable(&out.display().to_string());
    text += &format!("{} samples; evidence in {place}\n", done.evidence.footer.samples);
    text
}

/// The results of a run, as `audit` prints them.
pub(super) fn table(out: &Path, evidence: &Evidence) -> String {
    let runs = vec![summary(out, evidence)];
    to_text(&Audit { radii: vec![], runs, baseline: None, comparisons: vec![] })
}

/// Default path of the evidence file: the model's name with `.evidence.jsonl`.
pub(super) fn default_out(model: &Path) -> PathBuf {
    let stem = model.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
    PathBuf::from(format!("{stem}.evidence.jsonl"))
}
