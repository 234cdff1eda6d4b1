//! The comparison: a share of the samples of a run is answered again, alone and in another batch. It tests what
//! certificates assume, that the answer to an input depends on that input alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand_core::Rng;

use super::batch_buffer::Piece;
use crate::{
    backend::{BackendError, Classifier, Difference, Rounding, SINGLE, make_room},
    certify::Vote,
    noise::{BLOCK, Role, keyed_stream},
};

/// One of this number of blocks has a sample that is answered again alone.
const ALONE: u64 = 8;
/// Number of samples answered alone in the first block of each role of an input.
const FIRST: usize = 2;
/// Number of samples answered alone in the first block of each role of the first input of a certifier.
const FIRST_INPUT: usize = 32;
/// Number of samples answered alone in every block of a replay.
const DENSE: usize = 4;
/// One of this number of the samples that are answered alone is answered in another batch too.
const OTHER_BATCH: u64 = 2;
/// Number of waiting samples from which on they are answered again.
const BATCH: usize = 32;
/// Largest number of samples that wait.
const ROOM: usize = 96;
/// Largest number of bytes of the noisy inputs that wait; [`LEAST_ROOM`] samples may wait in any case.
const ROOM_BYTES: usize = 16 << 20;
/// Number of samples that may wait even if they exceed [`ROOM_BYTES`].
const LEAST_ROOM: usize = 8;
/// One vote in this number of samples may differ by rounding in single precision: near ties are rare.
const TIES: u64 = 2_000;
/// The same for lower precision, in which near ties are more frequent.
const TIES_HALF: u64 = 100;
/// Probability with which one input may have more near ties than allowed, if near ties occur at that rate.
const SUSPICIOUS: f64 = 1e-5;
/// Number of inputs, the most recent ones, whose differences are counted separately: more than are ever in flight.
const MOST_INPUTS: usize = 8192;
/// One answer in this number of samples may differ by more than rounding. A model with discontinuities, where rounding
/// can change the answer, has about that rate, and a run of several days must not fail because of it.
const JUMPS: u64 = 100_000;

/// A sample of a batch buffer that is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    /// Its row among all samples of the batch buffer.
    pub row: usize,
    /// Index of its piece, and its position in the piece.
    pub piece: usize,
    pub position: usize,
    /// Whether it is answered in another batch too.
    pub in_other: bool,
}

/// A sample with the answer that was counted.
pub(super) struct Answered<'a> {
    /// The pieces of its batch buffer.
    pub pieces: &'a [Piece],
    /// The sample.
    pub chosen: Chosen,
    /// Its noisy input, C·H·W values.
    pub input: &'a [f32],
    /// The vote that is counted.
    pub vote: Vote,
    /// The logits that the vote was read from; `None` from an engine that gives votes only.
    pub logits: Option<&'a [f32]>,
}

/// A sample that waits for comparison.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Number of its input in the run, and index of the input in the data set.
    input: u64,
    index: u64,
    role: Role,
    /// Its number among the samples of its role.
    number: u64,
    vote: Vote,
    /// Whether its logits are known; otherwise only its vote is.
    has_logits: bool,
    /// Whether it is answered in another batch too.
    in_other: bool,
}

/// Answers a share of the samples of one instance of a model again, and compares votes and logits. Each chosen sample
/// is answered alone; some are also answered in another batch, with other neighbours and at another position.
///
/// A random stream keyed by seed, role, input and block chooses the samples, so that a run chooses the same samples for
/// any batch size and number of threads. On average, one in eight blocks has one such sample, which makes one sample in
/// 512. The first block of each role of every input has two, because a model could misbehave for one input only; for
/// the first input of a certifier it has 32. Half of these samples, on average, are also answered in another batch. A
/// replay compares four samples of every block.
pub(super) struct Comparison {
    /// Shared by all instances of the model: any of them may answer the samples of one input.
    tally: Arc<Mutex<Tally>>,
    compared: u64,
    samples: Vec<Sample>,
    /// Noisy inputs of the waiting samples, and their logits.
    inputs: Vec<f32>,
    logits: Vec<f32>,
    /// Buffers for the inputs in their new order, for one input alone, and for logits.
    again: Vec<f32>,
    room: Vec<f32>,
    answers: Vec<f32>,
    /// Indices of the samples in their order in the other batch.
    order: Vec<usize>,
    /// Largest number of samples that wait.
    most: usize,
}

/// Results of the comparisons so far.
struct Tally {
    rounding: Rounding,
    /// One vote in this number of samples may differ by rounding.
    for_each_tie: u64,
    compared: u64,
    /// Other votes between near ties.
    ties: u64,
    /// Other answers.
    jumps: u64,
    /// Results of the most recent inputs, by number. Without them, a model that answers one input differently could
    /// pass as one with rare rounding differences.
    inputs: BTreeMap<u64, OfInput>,
}

/// Results of the comparisons of one input.
#[derive(Clone, Copy, Debug, Default)]
struct OfInput {
    compared: u64,
    /// Other votes between near ties.
    ties: u64,
    /// Other answers.
    jumps: u64,
}

/// Writes to `samples` which samples of the pieces of a batch buffer are compared. With a `secret`, for a replay, there
/// are more of them.
pub(super) fn choose(pieces: &[Piece], secret: Option<u64>, samples: &mut Vec<Chosen>) {
    samples.clear();
    let mut start = 0;
    for (number, piece) in pieces.iter().enumerate() {
        let chosen = chosen(piece, secret);
        samples.extend(chosen.map(|(position, in_other)| Chosen {
            row: start + position,
            piece: number,
            position,
            in_other,
        }));
        start += piece.samples;
    }
}

/// The samples of a piece that are compared, in order: the position of each, and whether it is also answered in another
/// batch. `secret` is given for a replay: a number that nobody knew when the model was made.
fn chosen(piece: &Piece, secret: Option<u64>) -> impl Iterator<Item = (usize, bool)> + use<> {
    let (key, samples) = (&piece.key, piece.samples);
    let mut stream = keyed_stream(
        "mithridate comparison of samples v2",
        &[key.seed, key.role as u64, piece.index, key.block, secret.unwrap_or(0)][..4 + secret.iter().len()],
    );
    let wanted = match (secret, key.block, piece.input) {
        (Some(_), ..) => DENSE,
        (None, 0, 0) => FIRST_INPUT,
        (None, 0, _) => FIRST,
        (None, ..) => usize::from(stream.next_u64().is_multiple_of(ALONE)),
    };
    // Divides the samples into `wanted` equal parts and chooses one sample from each; a last block may have few.
    let wanted = wanted.min(samples);
    let part = samples / wanted.max(1);
    (0..wanted).map(move |number| {
        let position = number * part + (stream.next_u64() % part as u64) as usize;
        (position, stream.next_u64().is_multiple_of(OTHER_BATCH))
    })
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Comparison {
    /// The comparison for one instance of a model. Allocates all memory that it needs.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn new(model: &dyn Classifier) -> Result<Self, BackendError> {
        let (len, classes, alone) = (model.input_len(), model.classes(), model.fixed_batch().unwrap_or(1));
        let most = (ROOM_BYTES / (4 * len.max(1))).clamp(LEAST_ROOM, ROOM);
        let batch = most.next_multiple_of(alone);
        let room = |inputs: usize, values: usize| -> Result<Vec<f32>, BackendError> {
            let mut room = Vec::new();
            make_room(&mut room, inputs.saturating_mul(values), inputs)?;
            room.clear();
            Ok(room)
        };
        let relative = model.rounding();
        let for_each_tie = if relative > SINGLE { TIES_HALF } else { TIES };
        let rounding = Rounding::new(relative);
        Ok(Self {
            tally: Arc::new(Mutex::new(Tally {
                rounding,
                for_each_tie,
                compared: 0,
                ties: 0,
                jumps: 0,
                inputs: BTreeMap::new(),
            })),
            compared: 0,
            samples: Vec::with_capacity(most),
            inputs: room(most, len)?,
            logits: room(most, classes)?,
            again: room(batch, len)?,
            room: room(alone, len)?,
            answers: room(batch, classes)?,
            order: Vec::with_capacity(most),
            most,
        })
    }

    /// Number of samples compared so far.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Counts differences together with another instance of the same model.
    pub fn count_with(&mut self, other: &Self) {
        self.tally = other.tally.clone();
    }

    /// The lowest number of an input with waiting samples; `u64::MAX` if none wait.
    pub fn first_waiting(&self) -> u64 {
        self.samples.iter().map(|sample| sample.input).min().unwrap_or(u64::MAX)
    }

    /// Adds a sample to those that wait. If there is no room, the waiting samples are compared first. `batch` is the
    /// largest number of inputs in one call of the model.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn add(
        &mut self,
        model: &mut dyn Classifier,
        batch: usize,
        answered: &Answered<'_>,
    ) -> Result<(), BackendError> {
        if self.samples.len() == self.most {
            self.finish(model, batch)?;
        }
        let &Answered { pieces, chosen: Chosen { piece, position, in_other, .. }, input, vote, logits } =
            answered;
        let piece = &pieces[piece];
        self.samples.push(Sample {
            input: piece.input,
            index: piece.index,
            role: piece.key.role,
            number: piece.key.block * BLOCK + position as u64,
            vote,
            has_logits: logits.is_some(),
            in_other,
        });
        self.inputs.extend_from_slice(input);
        if let Some(logits) = logits {
            lock(&self.tally).rounding.see(logits);
            self.logits.extend_from_slice(logits);
        } else {
            self.logits.resize(self.logits.len() + model.classes(), 0.0);
        }
        Ok(())
    }

    /// Compares the waiting samples if there are at least [`BATCH`] of them or there is no more room.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn go_on(&mut self, model: &mut dyn Classifier, batch: usize) -> Result<(), BackendError> {
        if self.samples.len() >= BATCH.min(self.most) { self.finish(model, batch) } else { Ok(()) }
    }

    /// Compares all waiting samples.
    ///
    /// # Errors
    /// [`BackendError::Dependent`] if more answers differ than rounding explains; otherwise the error of the model.
    pub fn finish(&mut self, model: &mut dyn Classifier, batch: usize) -> Result<(), BackendError> {
        let (count, len, classes) = (self.samples.len(), model.input_len(), model.classes());
        if count == 0 {
            return Ok(());
        }
        // With a batch of one, the answer can't depend on other inputs.
        let is_single = model.fixed_batch().unwrap_or(batch) == 1;
        let how = if is_single { Company::Again } else { Company::Alone };
        let samples = self.samples.iter().zip(self.inputs.chunks(len)).zip(self.logits.chunks(classes));
        for ((sample, input), logits) in samples {
            model.alone(input, &mut self.room, &mut self.answers)?;
            let answer = self.answers.get(..classes).unwrap_or_default();
            lock(&self.tally).check(sample, logits, answer, how)?;
        }
        if !is_single {
            self.run_reversed(model, batch)?;
        }
        lock(&self.tally).compared += count as u64;
        self.compared += count as u64;
        self.samples.clear();
        self.inputs.clear();
        self.logits.clear();
        Ok(())
    }

    /// Answers the samples with `in_other` in reverse order, so that each has other neighbours and another position.
    /// The last batch of a model with a fixed batch size is filled up with copies of these samples.
    fn run_reversed(&mut self, model: &mut dyn Classifier, batch: usize) -> Result<(), BackendError> {
        let (len, classes) = (model.input_len(), model.classes());
        self.order.clear();
        self.order.extend((0..self.samples.len()).rev().filter(|&place| self.samples[place].in_other));
        let count = self.order.len();
        if count == 0 {
            return Ok(());
        }
        let (size, rows) = match model.fixed_batch() {
            Some(size) => (size, count.next_multiple_of(size)),
            None => (batch.min(count), count),
        };
        self.again.clear();
        for row in 0..rows {
            self.again.extend_from_slice(&self.inputs[self.order[row % count] * len..][..len]);
        }
        for (number, inputs) in self.again.chunks(size * len).enumerate() {
            model.logits(inputs, &mut self.answers)?;
            for (row, answer) in (number * size..count).zip(self.answers.chunks(classes)) {
                let place = self.order[row];
                let logits = &self.logits[place * classes..][..classes];
                lock(&self.tally).check(&self.samples[place], logits, answer, Company::OtherBatch)?;
            }
        }
        Ok(())
    }
}

/// How a sample is answered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Alone,
    OtherBatch,
    /// In a batch of one, as the first time.
    Again,
}

impl Tally {
    fn check(
        &mut self,
        sample: &Sample,
        logits: &[f32],
        answer: &[f32],
        company: Company,
    ) -> Result<(), BackendError> {
        self.rounding.see(answer);
        let difference = if sample.has_logits {
            self.rounding.compare(logits, answer)
        } else {
            self.rounding.compare_vote(sample.vote, answer)
        };
        if self.inputs.len() >= MOST_INPUTS && !self.inputs.contains_key(&sample.input) {
            // Inputs come in order, so the first entry is the oldest.
            self.inputs.pop_first();
        }
        let of_input = self.inputs.entry(sample.input).or_default();
        of_input.compared += 1;
        let problem = match difference {
            None => return Ok(()),
            Some(Difference::Vote) => {
                self.ties += 1;
                of_input.ties += 1;
                let few_of_all = self.ties <= self.compared / self.for_each_tie;
                if few_of_all && of_input.ties <= most_by_chance(of_input.compared, self.for_each_tie) {
                    return Ok(());
                }
                if few_of_all {
                    let OfInput { compared, ties, .. } = of_input;
                    format!("{ties} of {compared} compared votes of this input differ, all at near ties")
                } else {
                    let compared = self.compared + 1;
                    format!("{} of about {compared} compared votes differ, all at near ties", self.ties)
                }
            }
            Some(Difference::Answer { difference, allowed }) => {
                self.jumps += 1;
                of_input.jumps += 1;
                let few_of_all = self.jumps <= self.compared / JUMPS;
                if few_of_all && of_input.jumps <= most_by_chance(of_input.compared, JUMPS) {
                    return Ok(());
                }
                format!("its logits differ by {difference:.3e}, and rounding explains at most {allowed:.3e}")
            }
        };
        let (what, advice) = match company {
            Company::Alone => ("alone", OTHERS),
            Company::OtherBatch => ("in another batch", OTHERS),
            Company::Again => ("in a second run", RANDOM),
        };
        Err(BackendError::Dependent {
            index: sample.index,
            role: sample.role.name(),
            number: sample.number,
            problem: format!("gets another answer {what} ({problem}): {advice}"),
        })
    }
}

/// Largest number of differences allowed among `compared` samples of one input, if each sample differs with probability
/// 1 / `for_each`: the smallest number that is exceeded with probability [`SUSPICIOUS`] at most.
fn most_by_chance(compared: u64, for_each: u64) -> u64 {
    let p = 1.0 / for_each as f64;
    // `probability` is the binomial probability of `ties` near ties, `more` that of more than `ties`.
    let mut probability = (1.0 - p).powf(compared as f64);
    let mut more = 1.0 - probability;
    let mut ties = 0;
    while more > SUSPICIOUS && ties < compared {
        probability *= (compared - ties) as f64 / (ties + 1) as f64 * p / (1.0 - p);
        ties += 1;
        more -= probability;
    }
    ties
}

/// Advice for an answer that depends on the other inputs of the batch.
const OTHERS: &str = "the model's answer to an input depends on the other inputs of its batch, or is random, so that \
                      votes prove nothing; certify it with `batch` 1";
/// Advice for an answer that differs in a batch of one.
const RANDOM: &str =
    "the model draws random numbers, so that no result could be verified; export it in inference mode";

#[cfg(test)]
mod tests;
