//! Runs the noise of inputs through a model again and compares the votes with those of the evidence.

use std::{path::Path, str::FromStr};

use anyhow::{Context, ensure};

use super::{
    device::DeviceArguments,
    model::{InputArguments, ModelArguments},
    note,
    probe::ProbeArguments,
};
use crate::{
    backend::{MAX_VALUES, OnnxModel, OnnxRuntime},
    certify::{Certificate, Certifier, Input, Instances, Settings, StoppingRule, Vote},
    data::Dataset,
    evidence::{Change, EvidenceError, Header, KeptVotes, Record, Replay, replayed},
    noise::{NoiseMode, seed_from_os},
    terminal::Progress,
    units::parse_count,
};

/// How many inputs to replay.
#[derive(Clone, Copy)]
pub(super) enum Share {
    All,
    Some(usize),
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" { Ok(Self::All) } else { parse_count(text).map(Self::Some) }
    }
}

impl Share {
    /// Numbers of the inputs to replay, in order. Nobody who wrote the file can have known which.
    pub fn choose(self, inputs: usize) -> anyhow::Result<Vec<usize>> {
        let count = match self {
            Self::All => inputs,
            Self::Some(count) => count.min(inputs),
        };
        let mut order: Vec<usize> = (0..inputs).collect();
        for position in 0..count {
            let drawn = seed_from_os().context("cannot draw which inputs to replay; replay all")?;
            let left = (inputs - position) as u64;
            order.swap(position, position + (drawn % left) as usize);
        }
        let mut chosen = order[..count].to_vec();
        chosen.sort_unstable();
        Ok(chosen)
    }
}

/// A model that was opened, and what runs it.
#[derive(Clone)]
pub(super) struct Opened<'a> {
    pub path: &'a Path,
    pub runtime: OnnxRuntime,
    pub model: OnnxModel,
    pub device: DeviceArguments,
    pub threads: Option<usize>,
}

/// Makes sure that a model has as many classes as evidence says.
pub(super) fn check_classes(model: &OnnxModel, path: &Path, header: &Header) -> anyhow::Result<()> {
    let (found, expected) = (model.classes(), header.model.classes);
    ensure!(found == expected, "{} has {found} classes and the evidence is of {expected}", path.display());
    Ok(())
}

/// A run whose inputs are replayed, with what is known of its votes one by one.
pub(super) struct Replayed<'a> {
    pub header: &'a Header,
    /// The inputs chosen.
    pub records: Vec<&'a Record>,
    /// The vote of each sample, if they were kept.
    pub kept: Option<&'a mut KeptVotes>,
    /// Records and votes of the run of the earlier model that the inputs rest on, if they are there.
    pub earlier: Option<(&'a [Record], &'a mut KeptVotes)>,
}

impl<'a> Replayed<'a> {
    /// Samples that it takes.
    pub fn samples(&self) -> u64 {
        let of = |record: &&Record| {
            let Settings { n0, n, .. } = settings(self.header, record);
            n0.saturating_add(n)
        };
        self.runnable().iter().map(of).fold(0, u64::saturating_add)
    }

    /// Seconds that the samples took when the run was made, all instances of the model together.
    pub fn seconds(&self) -> f64 {
        self.records.iter().map(|record| record.seconds).sum()
    }

    /// Inputs with samples. Where a deadline left none, there is nothing to compare.
    fn runnable(&self) -> Vec<&'a Record> {
        let has_samples = |record: &&Record| record.samples > 0 || record.selection.samples() > 0;
        self.records.iter().copied().filter(has_samples).collect()
    }

    /// Runs the inputs through the model.
    pub fn run(&mut self, opened: Opened<'_>, data: &Dataset) -> anyhow::Result<Vec<Replay>> {
        let Opened { path, runtime, model, device, threads } = opened;
        let header = self.header;
        check_classes(&model, path, header)?;
        let shared = match (header.noise.mode, &header.recertification) {
            (NoiseMode::Shared, None) => header.settings.shared_noise(),
            // A bank holds the noise of one seed, and inputs that rest on an earlier model have another.
            _ => None,
        };
        let options = InputArguments::default();
        let arguments = ModelArguments {
            probe: ProbeArguments::default(),
            model: path.to_owned(),
            device,
            batch: Some(other_batch(header, &model)),
            threads,
            input: options,
        };
        let samples = self.samples();
        let ready = arguments.ready(runtime, model, shared.as_ref(), samples)?;
        let mut progress = Progress::new(&format!("replaying {}", header.model.file), samples, "samples");
        let mut instances = ready.instances;
        let mut replays = Vec::new();
        for record in self.runnable() {
            let image = data.image(record.index as usize);
            let input = Input { index: record.index, label: record.label, image };
            let keep_votes = self.kept.is_some() || self.earlier.is_some();
            let mut certifier = certifier(instances, header, record, ready.plan.batch, keep_votes)?;
            let mut found = None;
            certifier.certify_with_votes(
                std::iter::once(input),
                |samples| progress.advance(samples),
                |again, votes| {
                    found = Some((again, votes.unwrap_or_default()));
                    Ok(())
                },
            )?;
            instances = certifier.into_models();
            let (again, votes) = found.with_context(|| format!("input {} gave no votes", record.index))?;
            replays.push(self.compare(record, again, &votes)?);
        }
        progress.finish();
        Ok(replays)
    }

    fn compare(
        &mut self,
        record: &Record,
        mut again: Certificate,
        votes: &[Vote],
    ) -> Result<Replay, EvidenceError> {
        // The class was chosen by the earlier model.
        let n0 = if self.header.recertification.is_some() {
            again.selection = record.selection.clone();
            0
        } else {
            record.selection.samples()
        };
        if record.samples == 0 {
            again.estimation = record.estimation.clone();
        }
        let mut replay = replayed(record, &again, n0);
        if let Some(kept) = self.kept.as_deref_mut().filter(|_| record.samples > 0) {
            replay.compare(&kept.of(record)?, votes);
        }
        if let (Some((records, kept)), Some(change)) = (&mut self.earlier, &record.change) {
            let before = records.binary_search_by_key(&record.index, |before| before.index);
            let before = before.ok().map_or(Ok(Vec::new()), |place| kept.of(&records[place]))?;
            let class = record.class.unwrap_or_default();
            let counted = Change::new(class, change.p_lower, &before, votes);
            let wrong = counted.lost.abs_diff(change.lost).max(counted.changed.abs_diff(change.changed));
            replay.differing = replay.differing.max(wrong);
        }
        Ok(replay)
    }
}

/// Settings that give an input the samples that it had, whenever the run stopped. One sample is the least that can be
/// asked for: where it is compared with nothing, it is for that.
fn settings(header: &Header, record: &Record) -> Settings {
    let (seed, n0) = match (&header.recertification, &record.change) {
        // Classes of inputs that rest on an earlier model were chosen by that.
        (Some(from), Some(_)) => (from.seed, 1),
        (Some(_), None) => (header.settings.seed, 1),
        (None, _) => (header.settings.seed, record.selection.samples().max(1)),
    };
    let n = record.samples.max(1);
    Settings { n0, n, stop: StoppingRule::Fixed, seed, ..header.settings.clone() }
}

/// What certifies an input again: everything that replay sets up is here.
fn certifier(
    instances: Instances,
    header: &Header,
    record: &Record,
    batch: usize,
    keep_votes: bool,
) -> anyhow::Result<Certifier> {
    let mut certifier = Certifier::new(instances, settings(header, record), batch)?;
    certifier.set_noise_mode(header.noise.mode);
    certifier.verify_votes();
    if keep_votes {
        certifier.keep_votes();
    }
    Ok(certifier)
}

/// Most inputs in a batch of a replay.
const MOST_REPLAYED: usize = 4096;

/// A batch size that the run did not have, so that votes which depend on the others of a batch are not made again alike; 1
/// for a run in batches of 1, whose votes can't.
fn other_batch(header: &Header, model: &OnnxModel) -> usize {
    let values = model.image_shape().iter().product::<usize>().max(1);
    // A header may say anything.
    let most = MOST_REPLAYED.min(MAX_VALUES / values).max(1);
    match header.execution.plan.batch {
        0 | 1 => 1,
        few @ 2..4 => (few + 1).min(most),
        batch => (batch.min(most) * 3 / 4).max(1),
    }
}

/// Says what a replay will cost before it begins, and refuses one that nobody can have meant.
pub(super) fn state_cost(runs: &[&Replayed<'_>], limit: u64) -> anyhow::Result<()> {
    let inputs = runs.first().map_or(0, |run| run.runnable().len());
    let samples = runs.iter().map(|run| run.samples()).fold(0, u64::saturating_add);
    let seconds: f64 = runs.iter().map(|run| run.seconds()).sum();
    ensure!(
        samples <= limit,
        "replaying {inputs} inputs takes {samples} samples, more than --samples-limit {limit}; replay fewer inputs, or \
         raise the limit"
    );
    announce("replaying", inputs, samples, seconds);
    Ok(())
}

/// Says what running inputs again will take, where that is long. The seconds are those of the evidence, whose writer may
/// have put any number there.
pub(super) fn announce(doing: &str, inputs: usize, samples: u64, seconds: f64) {
    if seconds >= LONG || samples >= MANY {
        note(&format!(
            "{doing} {inputs} inputs takes {samples} samples; when the run was made they took {seconds:.0} s, all \
             instances of the model together"
        ));
    }
}

/// Seconds from which on a replay is announced, by the times in the evidence.
const LONG: f64 = 10.0;
/// Samples from which on it is announced.
const MANY: u64 = 5_000_000;
