//! Replay: runs the recorded noise of inputs through a model again and compares the votes with those of the evidence.

use std::{path::Path, str::FromStr};

use super::{
    Control, JobError, ModelSettings, Work,
    dataset::input_of,
    error::{ensure, set_aside},
};
use crate::{
    backend::{MAX_VALUES, OnnxModel, OnnxRuntime},
    certify::{CountedVotes, Settings, StoppingRule, VoteRequest},
    data::Dataset,
    evidence::{Change, EvidenceError, Header, KeptVotes, Record, Replay, replayed},
    noise::{NoiseMode, seed_from_os},
    units::parse_count,
};

/// Number of inputs of a run to replay or certify again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of them.
    All,
    /// This number, chosen at random.
    Some(usize),
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" { Ok(Self::All) } else { parse_count(text).map(Self::Some) }
    }
}

impl Share {
    /// Chooses among `inputs` inputs and returns their positions, in order. The choice is random, so that the writer of
    /// the file could not know it.
    pub(super) fn choose(self, inputs: usize) -> Result<Vec<usize>, JobError> {
        let count = match self {
            Self::All => inputs,
            Self::Some(count) => count.min(inputs),
        };
        let mut order: Vec<usize> = (0..inputs).collect();
        for position in 0..count {
            let drawn = drawn("cannot draw which inputs to replay; replay all")?;
            let left = (inputs - position) as u64;
            order.swap(position, position + (drawn % left) as usize);
        }
        let mut chosen = order[..count].to_vec();
        chosen.sort_unstable();
        Ok(chosen)
    }
}

/// A random number from the operating system.
pub(super) fn drawn(doing: &str) -> Result<u64, JobError> {
    seed_from_os().map_err(|error| JobError::While { doing: doing.into(), source: error.into() })
}

/// An opened model and its settings.
#[derive(Clone)]
pub(super) struct Opened {
    pub settings: ModelSettings,
    pub runtime: OnnxRuntime,
    pub model: OnnxModel,
}

/// Checks that a model has the number of classes in the evidence.
pub(super) fn check_classes(model: &OnnxModel, path: &Path, header: &Header) -> Result<(), JobError> {
    let (found, expected) = (model.classes(), header.model.classes);
    ensure!(
        found == expected,
        "{} has {found} classes, and the model of the evidence has {expected}",
        path.display()
    );
    Ok(())
}

/// A run whose inputs are replayed, with its kept votes.
pub(super) struct Replayed<'a> {
    pub header: &'a Header,
    /// The inputs chosen.
    pub records: Vec<&'a Record>,
    /// The kept votes, if the run has any.
    pub kept: Option<&'a mut KeptVotes>,
    /// Records and kept votes of the earlier run of a recertification, if available.
    pub earlier: Option<(&'a [Record], &'a mut KeptVotes)>,
}

impl<'a> Replayed<'a> {
    /// Number of samples of the replay.
    pub fn samples(&self) -> u64 {
        let of = |record: &&Record| {
            let (_, n0, n) = samples(self.header, record);
            n0.saturating_add(n)
        };
        self.runnable().iter().map(of).fold(0, u64::saturating_add)
    }

    /// Time that the samples took when the run was made, in seconds, summed over the instances of the model.
    pub fn seconds(&self) -> f64 {
        self.records.iter().map(|record| record.seconds).sum()
    }

    /// Inputs with samples. An input may have none because of a deadline.
    fn runnable(&self) -> Vec<&'a Record> {
        let has_samples = |record: &&Record| record.samples > 0 || record.selection.samples() > 0;
        self.records.iter().copied().filter(has_samples).collect()
    }

    /// Runs the inputs through the model.
    pub fn run(
        &mut self,
        control: &Control,
        opened: Opened,
        data: &Dataset,
    ) -> Result<Vec<Replay>, JobError> {
        let Opened { settings, runtime, model } = opened;
        let header = self.header;
        check_classes(&model, &settings.path, header)?;
        let shared = match (header.noise.mode, &header.recertification) {
            (NoiseMode::Shared, None) => header.settings.shared_noise(),
            // A noise bank has the noise of one seed, and inputs based on the earlier run have another seed.
            _ => None,
        };
        let settings = ModelSettings { batch: Some(other_batch(header, &model)), ..settings };
        let ready = settings.ready(control, runtime, model, shared.as_ref(), self.samples())?;
        // The numbers of samples come from the records, so the stopping rule does not matter.
        let of_run = Settings { stop: StoppingRule::Fixed, n0: 1, n: 1, ..header.settings.clone() };
        let mut certifier = ready.certifier(control, of_run, header.noise.mode)?;
        certifier.verify_votes(drawn("cannot draw which samples to answer again")?);
        if self.kept.is_some() || self.earlier.is_some() || header.keeps_votes {
            certifier.keep_votes();
        }
        let records = self.runnable();
        let requests = records.iter().map(|record| {
            let (seed, n0, n) = samples(header, record);
            VoteRequest { input: input_of(data, record), seed, n0, n }
        });
        let title = format!("replaying {}", header.model.file);
        let work = Work { title: &title, steps: self.samples(), done: 0, unit: "samples", out: None };
        let (mut replays, mut failure) = (Vec::new(), None);
        let mut left = records.iter();
        let result = control.during(&work, || {
            certifier.count_votes(
                requests,
                |samples| control.observer.advance(samples),
                |again| {
                    let Some(record) = left.next() else { return Ok(()) };
                    replays.push(self.compare(record, &again).map_err(set_aside(&mut failure))?);
                    Ok(())
                },
            )
        });
        if let Some(error) = failure {
            return Err(error.into());
        }
        result?;
        Ok(replays)
    }

    fn compare(&mut self, record: &Record, again: &CountedVotes) -> Result<Replay, EvidenceError> {
        let (_, n0, _) = samples(self.header, record);
        let mut replay = replayed(record, again, n0);
        match self.kept.as_deref_mut().filter(|_| record.samples > 0) {
            Some(kept) => replay.compare(&kept.of(record)?, &again.votes),
            None => replay.compare_hash(record, &again.votes),
        }
        if let (Some((records, kept)), Some(change)) = (&mut self.earlier, &record.change) {
            let before = records.binary_search_by_key(&record.index, |before| before.index);
            let before = before.ok().map_or(Ok(Vec::new()), |place| kept.of(&records[place]))?;
            let class = record.class.unwrap_or_default();
            let counted = Change::new(class, change.p_lower, &before, &again.votes);
            let wrong = counted.lost.abs_diff(change.lost).max(counted.changed.abs_diff(change.changed));
            replay.differing = replay.differing.max(wrong);
        }
        Ok(replay)
    }
}

/// Seed of an input, and its recorded numbers of selection and estimation samples. Inputs of a recertification have no
/// selection samples of their own: the earlier run selected their classes.
fn samples(header: &Header, record: &Record) -> (u64, u64, u64) {
    match (&header.recertification, &record.change) {
        (Some(from), Some(_)) => (from.seed, 0, record.samples),
        (Some(_), None) => (header.settings.seed, 0, record.samples),
        (None, _) => (header.settings.seed, record.selection.samples(), record.samples),
    }
}

/// Largest number of inputs in a batch of a replay.
const MOST_REPLAYED: usize = 4096;

/// A batch size that the run did not have, so that votes that depend on other inputs of a batch do not come out the
/// same again. A run in batches of 1 is replayed in batches of 1, because its votes can't depend on other inputs.
fn other_batch(header: &Header, model: &OnnxModel) -> usize {
    let values = model.image_shape().iter().product::<usize>().max(1);
    // The header is untrusted, so the batch size is limited.
    let most = MOST_REPLAYED.min(MAX_VALUES / values).max(1);
    match header.execution.plan.batch {
        0 | 1 => 1,
        few @ 2..4 => (few + 1).min(most),
        batch => (batch.min(most) * 3 / 4).max(1),
    }
}

/// Sends a note about the cost of a replay before it begins, and refuses one with more than `limit` samples.
pub(super) fn state_cost(control: &Control, runs: &[&Replayed<'_>], limit: u64) -> Result<(), JobError> {
    let inputs = runs.first().map_or(0, |run| run.runnable().len());
    let samples = runs.iter().map(|run| run.samples()).fold(0, u64::saturating_add);
    let seconds: f64 = runs.iter().map(|run| run.seconds()).sum();
    ensure!(
        samples <= limit,
        "replaying {inputs} inputs takes {samples} samples, more than `samples_limit` {limit}; replay fewer inputs, or \
         raise the limit"
    );
    announce(control, "replaying", inputs, samples, seconds);
    Ok(())
}

/// Sends a note about the cost of running inputs again, if that takes long. `seconds` comes from the evidence and is
/// not checked.
pub(super) fn announce(control: &Control, doing: &str, inputs: usize, samples: u64, seconds: f64) {
    if seconds >= LONG || samples >= MANY {
        control.note(&format!(
            "{doing} {inputs} inputs takes {samples} samples; in the recorded run these took {seconds:.0} s, summed over \
             all instances of the model"
        ));
    }
}

/// Recorded time in seconds from which on a replay is announced.
const LONG: f64 = 10.0;
/// Number of samples from which on a replay is announced.
const MANY: u64 = 5_000_000;
