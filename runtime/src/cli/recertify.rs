use std::path::PathBuf;

use clap::Args;

use super::{
    certify::{default_out, table},
    data::SplitArgument,
    model::ModelArguments,
    observer::control,
};
use crate::{
    evidence::parse_challenge,
    jobs::{Recertified, Recertify},
    terminal::{self, printable},
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
    /// Part of the data set, if it is a folder
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// Number of samples of the earlier noise to run through the changed model, for each input that is not certified
    /// anew
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    n: u64,
    /// Number of samples of an input that is certified anew, because this is expected to give a larger radius [default:
    /// as --n]
    #[arg(long, value_name = "N", value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    fresh_n: Option<u64>,
    /// Failure probability of the bound on lost votes, in addition to the alpha of the earlier run
    #[arg(long, default_value = "0.001", value_name = "ALPHA", allow_negative_numbers = true)]
    alpha_change: Alpha,
    /// Seed of fresh noise [default: from the operating system]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Derive the seed of fresh noise from the changed model, the data, the settings, the earlier run and TEXT, and
    /// certify every input anew, because the noise of the earlier run was known before the changed model
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
    let job = Recertify {
        split: arguments.split.into(),
        n: arguments.n,
        fresh_n: arguments.fresh_n,
        alpha_change: arguments.alpha_change,
        seed: arguments.seed,
        challenge: arguments.challenge.clone(),
        resume: arguments.resume,
        ..Recertify::new(&arguments.from, arguments.model.settings(), &arguments.data, &out)
    };
    let done = job.run(&control(arguments.model.probe))?;
    if arguments.json {
        return Ok(terminal::print(&format!("{:#}\n", job.to_json(&done)))?);
    }
    let Recertified { evidence, incremental, share_changed, share_lost } = &done;
    let anew = evidence.records.len() - incremental;
    let mut text = table(&out, evidence);
    text += &format!(
        "{incremental} inputs by the incremental rule, {anew} certified anew; of the votes of the former {:.2} % changed and \
         {:.2} % were lost\n{} samples; evidence in {}\n",
        100.0 * share_changed,
        100.0 * share_lost,
        evidence.records.iter().map(|record| record.samples).sum::<u64>(),
        printable(&out.display().to_string())
    );
    Ok(terminal::print(&text)?)
}
